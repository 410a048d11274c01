"""The space of a search: which settings vary, in which range, and on which scale."""

import itertools
import math
import shlex
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, cast

from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.parts.checks import Spacing
from uphill.parts.schedule import Constant, Ramp, Schedule
from uphill.runs.configuration import encode, is_part, members_of, part_types
from uphill.studies.sweeps.changes import changed, has, stands_in, value_at
from uphill.studies.sweeps.grid import (
    Setting,
    check_paths,
    chooses,
    value_of,
    words_of,
    written,
)
from uphill.words import is_typed

DIGITS = 4
"""Digits of a proposed number: more say nothing, and are long to read."""
_SCALES = typing.get_args(Spacing)
_NEAR_ONE = 0.9999
_MOST_COMBINED = 1000
"""Combinations of other choices in which a value is tried, before it is refused."""


@dataclass(frozen=True)
class Range:
    """A setting that is a number between two."""

    low: float
    high: float
    scale: Spacing = "linear"
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
            number = round(math.log2(number))  # of a default that is no power of two, the nearest
        return min(max(number, low), high)


@dataclass(frozen=True)
class OneOf:
    """A setting that is one of several."""

    values: tuple[Any, ...]

    def coordinate(self, value: Any) -> int | None:
        """Which one a setting is; None where it is another."""
        return self.values.index(value) if value in self.values else None


Space = dict[str, Range | OneOf]
"""What is searched, by the paths of the fields."""


def space_of(algorithm: Algorithm, search: Mapping[str, Any]) -> tuple[Space, Setting]:
    """What is searched of an algorithm, and what is set to one value: its fields that say between
    which values they are searched, and what was asked for in their place.

    Raises:
        UphillError: if a field does not exist, or has not such values; it says what may be meant.
    """
    if not isinstance(search, Mapping):
        raise UphillError(
            f"search is {search!r}: give ranges by their fields, as in "
            "{'optimizer.learning_rate': '1e-5:1e-2:log'}."
        )
    asked = {str(name).replace("-", "_"): value for name, value in search.items()}
    choices = {path: tuple(x) for path, x in asked.items() if isinstance(x, list | tuple)}
    check_paths({path: choices.get(path, ()) for path in asked}, algorithm)
    fixed = {path: encode(values[0]) for path, values in choices.items() if len(values) == 1}
    start = changed(algorithm, fixed)
    space: Space = {path: found for path, found in annotated(start) if path not in asked}
    for path, value in asked.items():
        if path in fixed:
            continue
        if path in choices:
            space[path] = _choice(path, start, choices)
        else:
            within = _having(path, start, choices)
            space[path] = _range(path, value, dict(annotated(within)).get(path), within)
    if not space:
        raise UphillError(
            "search leaves nothing to search: give a range, as in optimizer.learning_rate=1e-5:0.1."
        )
    return space, fixed


def _choice(path: str, algorithm: Algorithm, choices: Mapping[str, Sequence[Any]]) -> OneOf:
    """The requested choice.

    Raises:
        UphillError: if a value is none that the field can have, whatever the other choices are.
    """
    values = tuple(encode(x) for x in choices[path])
    others = {name: each for name, each in choices.items() if name != path}
    for value in values:
        faults = []
        for chosen in itertools.islice(itertools.product(*others.values()), _MOST_COMBINED):
            setting = dict(zip(others, chosen, strict=True)) | {path: value}
            try:
                changed(algorithm, with_its_parts(setting, algorithm), is_whole=False)
                break
            except UphillError as error:
                faults.append(error)
        else:
            raise faults[0]
    return OneOf(values)


def _having(path: str, algorithm: Algorithm, choices: Mapping[str, Sequence[Any]]) -> Algorithm:
    """The algorithm, with the first of the parts that may be chosen which have a field of that
    path, if its own have none."""
    parts = {name: values for name, values in choices.items() if chooses(name, algorithm)}
    for values in itertools.product(*parts.values()) if not has(algorithm, path) else ():
        with suppress(UphillError):  # reported by the choice itself
            other = changed(algorithm, dict(zip(parts, values, strict=True)), is_whole=False)
            if has(other, path):
                return other
    return algorithm


def with_its_parts(setting: Setting, algorithm: Algorithm) -> Setting:
    """The setting without the fields that the parts it chooses do not have."""
    found: Setting = {}
    for path in sorted(setting, key=lambda path: path.count(".")):
        if has(algorithm, path):
            found[path] = setting[path]
            with suppress(UphillError):  # reported with the whole setting
                algorithm = changed(algorithm, {path: setting[path]}, is_whole=False)
    return {path: value for path, value in setting.items() if path in found}


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
    if len(words) == 1 and is_range and isinstance(value_of(low), int | float):
        return words[0]
    return [value_of(word) for word in words]


def default_in(space: Space, algorithm: Algorithm) -> Setting | None:
    """The algorithm's own values, where all of them are in the space: choices as they are written
    there."""
    setting: Setting = {}
    for path, one in space.items():
        if not has(algorithm, path):
            continue  # of a part that only another choice has
        if isinstance(one, OneOf):
            own = [x for x in one.values if _is_own(x, path, algorithm)]
        else:
            own = [value_at(algorithm, path)]
            own = own if _is_inside(one, own[0]) else []
        if not own:
            return None
        setting[path] = own[0]
    return setting


def _is_own(value: Any, path: str, algorithm: Algorithm) -> bool:
    """Whether a value changes nothing."""
    return encode(changed(algorithm, {path: value}, is_whole=False)) == encode(algorithm)


def _is_inside(one: Range, value: Any) -> bool:
    try:
        return one.coordinate(value) is not None
    except UphillError:  # it is no number
        return False


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
    is_whole = _takes(int, algorithm, path) and not _takes(float, algorithm, path)
    if scale not in _SCALES or str(value).count(":") > 2:
        raise UphillError(f"search has {value!r} for {written(path)}: {mend}.")
    if fault := _fault(*ends, scale, is_whole):
        raise UphillError(f"search has {value!r} for {written(path)}: {fault}.")
    if not (is_whole or _takes(float, algorithm, path)):
        raise UphillError(
            f"search has {value!r} for {written(path)}, which is no number: "
            f"{_listed(path, algorithm)}."
        )
    found = Range(*ends, cast(Spacing, scale), is_whole, known.ramp if known else None)
    for end in ends:
        changed(algorithm, {path: int(end) if is_whole else end}, is_whole=False)
    if scale == "log-to-one" and ends[1] >= 1:
        raise UphillError(
            f"search has {value!r} for {written(path)}: log-to-one needs HIGH < 1, so write "
            f"{low}:{_NEAR_ONE}, or {low}:{high}:linear."
        )
    return found


def _fault(low: float, high: float, scale: str, is_whole: bool) -> str:
    """What is wrong with a range, and how to mend it; empty if nothing is."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "use two finite numbers"
    if low == high:
        return "the first number must be below the second, so give one value, or two numbers"
    if not low < high:
        most = min(low, _NEAR_ONE) if scale == "log-to-one" else low
        return f"the first number must be below the second, so write {_plain(high)}:{_plain(most)}"
    if scale == "log" and low <= 0:
        return "a logarithm needs LOW > 0"
    if not is_whole:
        return ""
    if not (low.is_integer() and high.is_integer()):
        return "use whole numbers"
    if scale == "log-to-one":
        return "whole numbers are searched as LOW:HIGH or LOW:HIGH:log"
    if scale == "log" and math.ceil(math.log2(low)) > math.floor(math.log2(high)):
        mend = f"{_plain(low)}:{_plain(high)}"
        return f"log proposes powers of two, and none lies there, so write {mend}"
    return ""


def _plain(x: float) -> str:
    return repr(x).removesuffix(".0")


def _listed(path: str, algorithm: Algorithm) -> str:
    """How to search a field that is no number."""
    part, name = stands_in(algorithm, path)
    value = value_at(algorithm, path)
    values = [*part_types(part, [name])][:2] or [value, value]
    if is_typed():
        shown = [" ".join(map(str, x)) if isinstance(x, list) else str(x) for x in values]
        end = ",".join(shown) if shown[0] != shown[1] else f"{shown[0]},…"
        return f"list its values, as in --search {shlex.quote(f'{written(path)}={end}')}"
    return f"give a list of its values, as in [{values[0]!r}, …]"


def _takes(kind: type, algorithm: Algorithm, path: str) -> bool:
    """Whether a field may be a number of this kind."""
    part, name = stands_in(algorithm, path)
    members = members_of(typing.get_type_hints(type(part)).get(name, Any))
    return kind in members or (kind is float and Schedule in members)
