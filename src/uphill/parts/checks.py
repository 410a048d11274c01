"""Checks of settings. An error is one sentence: the field, its value, how to fix it."""

import math
import typing
from dataclasses import fields
from types import NoneType
from typing import Any, Literal

import equinox as eqx
import numpy as np

from uphill.errors import UphillError
from uphill.parts.names import NAMES
from uphill.parts.schedule import Schedule, is_number, is_traced
from uphill.trajectory import Scalar
from uphill.words import listed


def require(condition: Any, field: str, value: object, mend: str) -> None:
    """A condition on a traced value is not checked: its value is not known yet.

    Raises:
        UphillError: `field` is `value`: `mend`; unless the condition holds.
    """
    if not is_traced(condition) and not condition:
        raise UphillError(f"{field} is {value}: {mend}.")


def one_of(*names: str) -> dict[str, tuple[str, ...]]:
    """The metadata of a field that is one of these words, for the command line's help."""
    return {"choices": names}


Spacing = Literal["linear", "log", "log-to-one"]
"""The scale of a setting's values: linear, logarithmic, or logarithmic in 1 − value."""


def searched(low: float, high: float, scale: Spacing = "linear") -> dict[str, tuple[Any, ...]]:
    """The metadata of a field that a search may vary: its range and scale."""
    return {"search": (low, high, scale)}


DISCOUNTS = searched(0.9, 0.9999, "log-to-one")
RATES = searched(1e-5, 0.1, "log")
NORMS = searched(0.1, 10.0, "log")
DIVERGENCES = searched(1e-3, 0.1, "log")


def check_choice(choices: tuple[str, ...], **fields: str) -> None:
    """Each field is one of the choices."""
    for name, value in fields.items():
        require(value in choices, name, repr(value), f"choose {listed(choices, 'or')}")


def check_count(**fields: Any) -> None:
    """Each field is a whole number, at least 1, and of 31 bits, which loops and arrays count by."""
    for name, value in fields.items():
        is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        require(is_whole, name, repr(value), "use a whole number")
        require(bool(value >= 1), name, value, "use at least 1")
        require(bool(value < 2**31), name, value, f"use at most {2**31 - 1:,}")


def check_number(**fields: Scalar) -> None:
    """Each field is a number, not a text that looks like one."""
    for name, value in fields.items():
        require(is_number(value), name, repr(value), "use a number")


def check_schedule(**fields: Schedule) -> None:
    """Each field is never negative; for a custom schedule, the user must ensure this."""
    for name, schedule in fields.items():
        for end in schedule.ends:
            require(end >= 0, name, schedule, "use 0 or more")


def check_positive(**fields: Scalar) -> None:
    """Each field is above 0."""
    check_number(**fields)
    for name, value in fields.items():
        require((value > 0) & (value < math.inf), name, value, "use a number above 0")


def check_not_negative(**fields: Scalar) -> None:
    """Each field is 0 or more."""
    check_number(**fields)
    for name, value in fields.items():
        require((value >= 0) & (value < math.inf), name, value, "use a number that is 0 or more")


def check_below_one(**fields: Scalar) -> None:
    """Each field is from 0 to below 1."""
    check_number(**fields)
    for name, value in fields.items():
        require((value >= 0) & (value < 1), name, value, "use a number from 0 to below 1")


def check_unit(**fields: Scalar) -> None:
    """Each field is from 0 to 1."""
    check_number(**fields)
    for name, value in fields.items():
        require((value >= 0) & (value <= 1), name, value, "use a number from 0 to 1")


def check_probabilities(**fields: Schedule) -> None:
    """Each field stays between 0 and 1; see `check_schedule` about custom schedules."""
    for name, schedule in fields.items():
        for end in schedule.ends:
            require((end >= 0) & (end <= 1), name, schedule, "use 0 to 1")


def check_static(part: eqx.Module) -> None:
    """No traced field is a text, a bool or an integer."""
    hints = typing.get_type_hints(type(part))
    for field in fields(part):
        if field.metadata.get("static", False):
            continue
        value, hint = getattr(part, field.name), hints[field.name]
        is_fixed = isinstance(value, str | bool) or (isinstance(value, int) and hint is int)
        require(
            not is_fixed,
            f"{field.name} of {type(part).__name__}",
            repr(value),
            "texts, switches and whole numbers are fixed when a program is compiled, so make it "
            "equinox.field(static=True)",
        )


def check_parts(whole: eqx.Module) -> None:
    """Each field for a part holds one of the right kind, built-in or custom."""
    for name, annotation in typing.get_type_hints(type(whole)).items():
        members = typing.get_args(annotation) or (annotation,)
        kinds = tuple(m for m in members if _is_part(m))
        value = getattr(whole, name)
        if not kinds or isinstance(value, (*kinds, *({NoneType} & {*members}))):
            continue
        if isinstance(value, type):
            require(False, name, f"the type {value.__name__}", f"write {value.__name__}()")
        shown = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
        ours = [part for kind in kinds for part in NAMES.get(kind.__name__, (kind.__name__,))]
        require(False, name, shown, f"use {listed(ours, 'or')} of uphill.parts")


def _is_part(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, eqx.Module) and member is not Schedule
