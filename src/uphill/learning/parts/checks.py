"""What a setting must be. A mistake is one sentence: the field, its value, the mend."""

import math

from uphill.errors import UphillError
from uphill.learning.schedule import Schedule
from uphill.trajectory import Scalar


def require(condition: bool, field: str, value: object, mend: str) -> None:
    """Raises:
    UphillError: `field` is `value`: `mend`; unless the condition holds.
    """
    if not condition:
        raise UphillError(f"{field} is {value}: {mend}.")


def check_choice(choices: tuple[str, ...], **fields: str) -> None:
    """Each field is one of the choices."""
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
    for name, value in fields.items():
        require(value in choices, name, repr(value), f"choose {listed}")


def check_count(**fields: int) -> None:
    """Each field is at least 1."""
    for name, value in fields.items():
        require(value >= 1, name, value, "use at least 1")


def check_schedule(**fields: Schedule) -> None:
    """Each field is never negative, at either end."""
    for name, schedule in fields.items():
        ends = min(schedule.value, schedule.end)
        require(bool(ends >= 0), name, schedule, "use 0 or more")


def check_positive(**fields: Scalar) -> None:
    """Each field is above 0."""
    for name, value in fields.items():
        require(bool(0 < value < math.inf), name, value, "use a number above 0")


def check_not_negative(**fields: Scalar) -> None:
    """Each field is 0 or more."""
    for name, value in fields.items():
        require(bool(0 <= value < math.inf), name, value, "use a number that is 0 or more")


def check_below_one(**fields: Scalar) -> None:
    """Each field is from 0 to below 1."""
    for name, value in fields.items():
        require(bool(0 <= value < 1), name, value, "use a number from 0 to below 1")


def check_unit(**fields: Scalar) -> None:
    """Each field is from 0 to 1."""
    for name, value in fields.items():
        require(bool(0 <= value <= 1), name, value, "use a number from 0 to 1")
