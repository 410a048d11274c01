"""Schedules: numbers that may change during training."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import wadler_lindig
from jax.core import Tracer

from uphill.errors import UphillError
from uphill.trajectory import Scalar


class Schedule(eqx.Module):
    """The value of a setting over the course of training. A custom schedule defines `at`:

    >>> class Warmup(Schedule):
    ...     peak: float = 1e-3
    ...
    ...     def at(self, progress):
    ...         return self.peak * jnp.minimum(1.0, 10.0 * progress)
    """

    @abstractmethod
    def at(self, progress: Scalar) -> Scalar:
        """Its value after the fraction `progress` (0 to 1, traced) of the training."""

    def now(self, progress: Scalar) -> "Constant":
        """The constant schedule with its value at `progress`."""
        return Constant(self.at(progress))

    @property
    def value(self) -> Scalar:
        """Its value at the start; for an evaluated schedule, its current value."""
        return self.at(0.0)

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The values between which it stays, where they are known without computing anything."""
        return ()

    @staticmethod
    def parse(value: "str | Scalar | Schedule", field: str = "") -> "Schedule":
        """Read a number, which may be traced, `linear:START:END` or `cosine:START:END`.

        Raises:
            UphillError: for anything else; it names the `field` whose value this is.
        """
        if isinstance(value, Schedule):
            return value if isinstance(value, Constant | Ramp) else _answering(value, field)
        if is_traced(value) and is_number(value):
            return Constant(value)
        written = f"constant:{float(value)!r}" if is_number(value) else str(value)
        kind, *texts = written.split(":") if ":" in written else ("constant", written)
        try:
            numbers = [float(text) for text in texts]
            if not all(map(math.isfinite, numbers)):
                raise ValueError
            return KINDS[kind](*numbers)
        except (KeyError, TypeError, ValueError):
            raise UphillError(
                f"{field or 'A schedule'} is {value!r}: write a number, linear:START:END or "
                "cosine:START:END."
            ) from None

    @staticmethod
    def of(field: str) -> "Callable[[str | Scalar | Schedule], Schedule]":
        """`parse`, for the field of that name."""
        return lambda value: Schedule.parse(value, field)


class Written(Schedule):
    """A schedule that can be written as a number or a text."""

    def __repr__(self) -> str:
        """As it is written in Python: a number, or a text in quotes."""
        return repr(str(self))

    def __pdoc__(self, **_: Any) -> Any:
        """The same within an Equinox module, which does not ask for the `repr` of its fields."""
        return wadler_lindig.TextDoc(repr(self))


class Constant(Written):
    """`3e-4`: constant."""

    number: Scalar

    def at(self, progress: Scalar) -> Scalar:
        return self.number

    @property
    def ends(self) -> tuple[Scalar, ...]:
        return (self.number,)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return eqx.tree_pformat(self.number)


class Ramp(Written):
    """From `start` to `stop` over the course of training."""

    start: Scalar
    stop: Scalar

    @property
    def value(self) -> Scalar:
        return self.start  # and JAX need not start to say so

    @property
    def ends(self) -> tuple[Scalar, ...]:
        return self.start, self.stop

    def __str__(self) -> str:
        return f"{type(self).__name__.lower()}:{self.start!r}:{self.stop!r}"


class Linear(Ramp):
    """`linear:3e-4:0`: linearly from the first value to the second.

    >>> Schedule.parse("linear:1:0").at(0.25)
    0.75
    """

    def at(self, progress: Scalar) -> Scalar:
        return self.start + (self.stop - self.start) * progress


class Cosine(Ramp):
    """`cosine:3e-4:0`: from the first value to the second along half a cosine, slowly at both
    ends."""

    def at(self, progress: Scalar) -> Scalar:
        progress = 0.5 - 0.5 * jnp.cos(jnp.pi * progress)
        return self.start + (self.stop - self.start) * progress


KINDS = {"constant": Constant, "linear": Linear, "cosine": Cosine}
"""How a text names them."""


def is_traced(value: Any) -> TypeGuard[Tracer]:
    """Whether it is a traced number, whose value is not known yet."""
    return isinstance(value, Tracer)


def is_number(value: Any) -> TypeGuard[Scalar]:
    """Whether it is one number: Python's, NumPy's or JAX's, traced or not."""
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array) and value.shape == ()
    return type(value) in (int, float) or (is_array and value.dtype.kind in "iuf")


def _answering(schedule: Schedule, field: str) -> Schedule:
    """A custom schedule, after a check.

    Raises:
        UphillError: unless it returns one number for a traced time.
    """
    try:
        answer = jax.eval_shape(schedule.at, jax.ShapeDtypeStruct((), jnp.float32))
        said = "gives an array" if answer.shape else ""
    except Exception as error:
        said = f"fails ({str(error).splitlines()[0]})"
    if said:
        raise UphillError(
            f"{field or 'A schedule'} is {schedule!r}, whose at(progress) {said}: compute one "
            "number from progress with jax.numpy."
        )
    return schedule
