"""A number that may change while training goes on."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from uphill.errors import UphillError
from uphill.trajectory import Scalar

_KINDS = ("constant", "linear", "cosine")


class Schedule(eqx.Module):
    """`3e-4`, or `linear:3e-4:0`: from the first value to the second as training goes on;
    `cosine:3e-4:0` likewise, slowly at both ends.

    >>> Schedule.parse("linear:1:0").at(0.25).value
    0.75
    """

    value: Scalar
    """its value at the start; of a schedule that was evaluated, its value now"""
    end: Scalar
    """its value at the end"""
    kind: str = eqx.field(static=True, default="constant")

    @classmethod
    def parse(cls, text: "str | Scalar | Schedule", field: str = "") -> "Schedule":
        """Read a number, `linear:START:END` or `cosine:START:END`.

        Raises:
            UphillError: for anything else; it names the `field` whose value this is.
        """
        if isinstance(text, Schedule):
            return text
        kind, *numbers = str(text).split(":") if ":" in str(text) else ("constant", str(text))
        try:
            values = [float(number) for number in numbers]
        except ValueError:
            values = []
        expected = 1 if kind == "constant" else 2
        if kind not in _KINDS or len(values) != expected or not all(map(math.isfinite, values)):
            raise UphillError(
                f"{field or 'A schedule'} is {text!r}: write a number, linear:START:END or "
                "cosine:START:END."
            )
        return cls(values[0], values[-1], kind)

    @classmethod
    def of(cls, field: str) -> "Callable[[str | Scalar | Schedule], Schedule]":
        """`parse`, for the field of that name."""
        return lambda text: cls.parse(text, field)

    def at(self, progress: Scalar) -> "Schedule":
        """The constant that it is when `progress` (0 to 1) of the training is done."""
        if self.kind == "constant":
            return self
        if self.kind == "cosine":
            progress = 0.5 - 0.5 * jnp.cos(jnp.pi * progress)
        now = self.value + (self.end - self.value) * progress
        return Schedule(now, now, "constant")

    def __repr__(self) -> str:
        """As it is written in Python: a number, or a text in quotes."""
        return str(self) if self.kind == "constant" else repr(str(self))

    def __pdoc__(self, **_: Any) -> Any:
        """The same within an Equinox module, which does not ask for the `repr` of its fields."""
        import wadler_lindig

        return wadler_lindig.TextDoc(repr(self))

    def __str__(self) -> str:
        if self.kind == "constant":
            return repr(self.value)
        return f"{self.kind}:{self.value!r}:{self.end!r}"
