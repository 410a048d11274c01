"""The space of a search: which settings vary, in which range, and on which scale."""

import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.parts.checks import Scale
from uphill.parts.schedule import Constant, Ramp, Schedule
from uphill.runs.configuration import encode, is_part, members_of
from uphill.studies.sweeps.changes import changed, stands_in
from uphill.studies.sweeps.grid import Setting, check_paths, literal, words_of, written
from uphill.words import is_typed

DIGITS = 4
"""Digits of a proposed number: more say nothing, and are long to read."""
_SCALES = typing.get_args(Scale)


@dataclass(frozen=True)
class Range:
    """A setting that is a number between two."""

    low: float
    high: float
    scale: Scale = "linear"
    is_whole: bool = False
    """whole numbers; on a scale of logarithms, powers of two"""
    ramp: Ramp | None = None
    """the schedule that it starts, of which all else is in proportion"""

    @property
    def is_log(self) -> bool:
        """Whether a search is to spread its coordinates by their logarithm."""
        return self.scale != "linear" and not self.is_whole

    @property
    def ends(self) -> tuple[float, float]:
        """Between which coordinates it lies: what is searched is a coordinate."""
        if self.scale == "log-to-one":
            return 1 - self.high, 1 - self.low
        if self.is_whole and self.scale == "log":
            return math.ceil(math.log2(self.low)), math.floor(math.log2(self.high))
        return self.low, self.high

    def value(self, coordinate: float) -> Any:
        """The setting at a coordinate."""
        if self.is_whole:
            return 2 ** int(coordinate) if self.scale == "log" else int(coordinate)
        short = float(f"{coordinate:.{DIGITS}g}")
        value = round(1 - short, 12) if self.scale == "log-to-one" else short
        value = min(max(value, self.low), self.high)
        if self.ramp is None:
            return value
        kind, start, stop = str(self.ramp).split(":")
        return f"{kind}:{value!r}:{float(f'{value * float(stop) / float(start):.{DIGITS}g}')!r}"

    def coordinate(self, value: Any) -> float | None:
        """The coordinate of a setting; None where it lies outside."""
        number = number_of(value)
        if not self.low <= number <= self.high:
            return None
        low, high = self.ends
        if self.scale == "log-to-one":
            number = 1 - number
        elif self.is_whole and self.scale == "log":
            number = math.log2(number)
        return min(max(number, low), high)


@dataclass(frozen=True)
class Choice:
    """A setting that is one of several."""

    values: tuple[Any, ...]

    def coordinate(self, value: Any) -> int | None:
        """Which one a setting is; None where it is another."""
        return self.values.index(value) if value in self.values else None


Space = dict[str, Range | Choice]
"""What is searched, by the paths of the fields."""


def space_of(algorithm: Algorithm, search: Mapping[str, Any]) -> tuple[Space, Setting]:
    """What is searched of an algorithm, and what is set to one value: its fields that say between
    which values they are searched, and what was asked for in their place.

    Raises:
        UphillError: if a field does not exist, or has not such values; it says what may be meant.
    """
    asked = {str(name).replace("-", "_"): value for name, value in search.items()}
    choices = {path: tuple(x) for path, x in asked.items() if isinstance(x, list | tuple)}
    check_paths({path: choices.get(path, ()) for path in asked}, algorithm)
    known = dict(annotated(algorithm))
    space: Space = {path: found for path, found in known.items() if path not in asked}
    fixed: Setting = {}
    for path, value in asked.items():
        if path not in choices:
            space[path] = _range(path, value, known.get(path), algorithm)
        elif len(choices[path]) == 1:
            fixed[path] = encode(choices[path][0])
        else:
            space[path] = Choice(tuple(encode(x) for x in choices[path]))
    changed(algorithm, fixed)
    if not space:
        raise UphillError(
            "search leaves nothing to search: give a range, as in optimizer.learning_rate=1e-5:0.1."
        )
    return space, fixed


def parse_search(texts: Sequence[str]) -> dict[str, Any]:
    """`FIELD=LOW:HIGH`, `FIELD=LOW:HIGH:log` and `FIELD=VALUE,VALUE` of the command line.

    Raises:
        UphillError: if one is something else.
    """
    how = (
        "write FIELD=LOW:HIGH, FIELD=LOW:HIGH:log or FIELD=VALUE,VALUE, as in "
        "--search optimizer.learning-rate=1e-5:1e-2:log"
    )
    found = words_of(texts, "--search", how, "say it once")
    return {path: _searched_in(words) for path, words in found.items()}


def _searched_in(words: list[str]) -> Any:
    """The text of a range, or a list of values."""
    low, is_range, _ = words[0].partition(":")
    # linear:1e-3:0 is a schedule, and no range
    if len(words) == 1 and is_range and isinstance(literal(low), int | float):
        return words[0]
    return [literal(word) for word in words]


def default_in(space: Space, algorithm: Algorithm) -> Setting | None:
    """The algorithm's own values, where all of them are in the space."""
    setting = {path: value_at(algorithm, path) for path in space}
    try:
        inside = [x.coordinate(setting[path]) is not None for path, x in space.items()]
    except UphillError:  # what is no number there
        return None
    return setting if all(inside) else None


def value_at(algorithm: Algorithm, path: str) -> Any:
    """The setting of that path, as JSON has it."""
    part, name = stands_in(algorithm, path)
    return encode(getattr(part, name, None))


def annotated(part: Any, prefix: str = "") -> Iterator[tuple[str, Range]]:
    """The ranges that fields say of themselves, where they hold a number."""
    for field in fields(part):
        value, path = getattr(part, field.name), prefix + field.name
        if is_part(type(value)) and not isinstance(value, Schedule):
            yield from annotated(value, f"{path}.")
        elif (search := field.metadata.get("search")) and _is_number(value):
            yield path, Range(*search, ramp=_ramp(value))


def number_of(value: Any) -> float:
    """A setting that is a number, or the one that its schedule starts from."""
    return float(Schedule.parse(value).value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Constant) or _ramp(value) is not None


def _ramp(value: Any) -> Ramp | None:
    """A schedule that can be scaled as a whole."""
    return value if isinstance(value, Ramp) and value.start > 0 else None


def _range(path: str, value: Any, known: Range | None, algorithm: Algorithm) -> Range:
    """The requested range.

    Raises:
        UphillError: if it is none, or the field can't have its ends.
    """
    mend = "write LOW:HIGH or LOW:HIGH:log" if is_typed() else "give 'LOW:HIGH', or a list"
    low, high, scale = (*str(value).split(":"), "", "")[:3]
    try:
        ends = float(low), float(high)
    except ValueError:
        raise UphillError(f"search has {value!r} for {written(path)}: {mend}.") from None
    scale = scale or (known.scale if known else "linear")
    is_whole = _is_whole(algorithm, path)
    if scale not in _SCALES or str(value).count(":") > 2:
        raise UphillError(f"search has {value!r} for {written(path)}: {mend}.")
    if not ends[0] < ends[1]:
        raise UphillError(
            f"search has {value!r} for {written(path)}: the first number must be below the second, "
            f"so write {high}:{low}."
        )
    if scale == "log" and ends[0] <= 0:
        raise UphillError(f"search has {value!r} for {written(path)}: a logarithm needs LOW > 0.")
    if is_whole and not (ends[0].is_integer() and ends[1].is_integer()):
        raise UphillError(f"search has {value!r} for {written(path)}: use whole numbers.")
    found = Range(*ends, cast(Scale, scale), is_whole, known.ramp if known else None)
    for end in ends:
        changed(algorithm, {path: int(end) if is_whole else end}, is_whole=False)
    return found


def _is_whole(algorithm: Algorithm, path: str) -> bool:
    part, name = stands_in(algorithm, path)
    members = members_of(typing.get_type_hints(type(part)).get(name, Any))
    return int in members and float not in members
