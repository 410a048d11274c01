"""What a setting must be. A mistake is one sentence: the field, its value, the mend."""

import math
import typing
from collections.abc import Sequence
from types import NoneType
from typing import Any

import equinox as eqx
import jax
import numpy as np

from uphill.errors import UphillError
from uphill.parts.names import NAMES
from uphill.parts.schedule import Schedule
from uphill.trajectory import Scalar


def require(condition: bool, field: str, value: object, mend: str) -> None:
    """Raises:
    UphillError: `field` is `value`: `mend`; unless the condition holds.
    """
    if not condition:
        raise UphillError(f"{field} is {value}: {mend}.")


def check_choice(choices: tuple[str, ...], **fields: str) -> None:
    """Each field is one of the choices."""
    for name, value in fields.items():
        require(value in choices, name, repr(value), f"choose {_or(choices)}")


def check_count(**fields: int) -> None:
    """Each field is a whole number, at least 1."""
    for name, value in fields.items():
        require(isinstance(value, int | np.integer), name, repr(value), "use a whole number")
        require(bool(value >= 1), name, value, "use at least 1")


def check_number(**fields: Scalar) -> None:
    """Each field is a number, and no text that looks like one."""
    for name, value in fields.items():
        is_number = isinstance(value, int | float | np.generic | np.ndarray | jax.Array)
        require(is_number, name, repr(value), "use a number")


def check_schedule(**fields: Schedule) -> None:
    """Each field is never negative, at either end."""
    for name, schedule in fields.items():
        ends = min(schedule.value, schedule.end)
        require(bool(ends >= 0), name, schedule, "use 0 or more")


def check_positive(**fields: Scalar) -> None:
    """Each field is above 0."""
    check_number(**fields)
    for name, value in fields.items():
        require(bool(0 < value < math.inf), name, value, "use a number above 0")


def check_not_negative(**fields: Scalar) -> None:
    """Each field is 0 or more."""
    check_number(**fields)
    for name, value in fields.items():
        require(bool(0 <= value < math.inf), name, value, "use a number that is 0 or more")


def check_below_one(**fields: Scalar) -> None:
    """Each field is from 0 to below 1."""
    check_number(**fields)
    for name, value in fields.items():
        require(bool(0 <= value < 1), name, value, "use a number from 0 to below 1")


def check_unit(**fields: Scalar) -> None:
    """Each field is from 0 to 1."""
    check_number(**fields)
    for name, value in fields.items():
        require(bool(0 <= value <= 1), name, value, "use a number from 0 to 1")


def check_probabilities(**fields: Schedule) -> None:
    """Each field is from 0 to 1, at either end."""
    for name, schedule in fields.items():
        ends = (schedule.value, schedule.end)
        require(bool(min(ends) >= 0 and max(ends) <= 1), name, schedule, "use 0 to 1")


def check_parts(whole: eqx.Module) -> None:
    """Each field that is for parts has one, of the kind that it is for: ours or one's own."""
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
        require(False, name, shown, f"use {_or(ours)} of uphill.parts")


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _is_part(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, eqx.Module) and member is not Schedule
