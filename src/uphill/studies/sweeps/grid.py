"""A grid: which settings of an algorithm vary, and what they may be."""

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from uphill.errors import UphillError
from uphill.meant import meant_by, remark
from uphill.parts import Algorithm
from uphill.runs.configuration import encode, is_part, part_types
from uphill.runs.settings import Options, Settings
from uphill.studies.sweeps.changes import changed, has, stands_in
from uphill.views.labels import setting_names, setting_of, setting_shown
from uphill.words import is_typed, listed, literal, option

Setting = dict[str, Any]
"""What one setting of a grid is: values by the paths of their fields."""
_LONGEST = 150  # characters of a folder's name


@dataclass(frozen=True)
class Grid:
    """All combinations of some values."""

    axes: dict[str, tuple[Any, ...]]
    """the values of each field, by its path: `{"optimizer.learning_rate": (1e-4, 3e-4)}`"""

    @property
    def size(self) -> int:
        """How many settings it has."""
        return math.prod(map(len, self.axes.values()))

    def settings(self) -> Iterator[Setting]:
        """All of them; the last field varies fastest."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))


def make_grid(grid: object, algorithm: Algorithm) -> Grid:
    """The requested grid, over the settings of an algorithm.

    Raises:
        UphillError: if it is not a grid, or has an unknown setting or one that can't be swept; it
        suggests what may be meant.
    """
    if not isinstance(grid, Mapping) or not grid:
        mend = "use --grid FIELD=VALUE,VALUE" if is_typed() else "give grid={'FIELD': [VALUE, …]}"
        raise UphillError(f"The grid is empty: {mend}, as for {written(_EXAMPLE)}.")
    axes: dict[str, tuple[Any, ...]] = {}
    for name, values in grid.items():
        path = str(name).replace("-", "_")
        values = getattr(values, "tolist", lambda same=values: same)()  # of an array
        if not isinstance(values, Sequence) or isinstance(values, str) or not len(values):
            raise UphillError(f"The grid has {values!r} for {written(path)}: give it a list.")
        if path in axes:
            raise UphillError(f"The grid has {written(path)} twice: list all its values once.")
        axes[path] = tuple(_plain(value) for value in values)
    check_paths(axes, algorithm)
    return Grid(axes)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    value = encode(value)
    return value if not isinstance(value, dict) or "$type" in value else dict(value)


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """`FIELD=VALUE,VALUE` of the command line, as often as it was given.

    Raises:
        UphillError: if one is something else.
    """
    how = "write FIELD=VALUE,VALUE, as in --grid optimizer.learning-rate=1e-4,3e-4,1e-3"
    words = words_of(texts, "--grid", how, "list all its values once")
    return {path: [value_of(word) for word in words] for path, words in words.items()}


def words_of(texts: Sequence[str], flag: str, how: str, once: str) -> dict[str, list[str]]:
    """What a flag such as `--grid FIELD=VALUE,VALUE` has for each field, by its path. `how` says
    what to write, and `once` what to do where a field is given twice.

    Raises:
        UphillError: if a text is something else.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, is_given, values = text.partition("=")
        path = name.strip().removeprefix("--").replace("-", "_")
        words = [word.strip() for word in values.split(",")]
        if not is_given or not path or not all(words):
            raise UphillError(f"{flag} is {text!r}: {how}.")
        if path in found:
            raise UphillError(f"{flag} has {written(path)} twice: {once}.")
        found[path] = words
    return found


def value_of(text: str) -> Any:
    """What a value is; several words are a list."""
    return [literal(word) for word in text.split()] if " " in text else literal(text)


def algorithms_of(grid: Grid, algorithm: Algorithm) -> list[tuple[Setting, Algorithm]]:
    """Every setting, and the algorithm that it makes.

    Raises:
        UphillError: if one does not fit together, or two are the same.
    """
    found: dict[str, Setting] = {}
    made = []
    for setting in grid.settings():
        try:
            one = changed(algorithm, setting)
        except UphillError as error:
            if grid.size == 1 or len(grid.axes) == 1:
                raise
            raise UphillError(f"The setting {setting_of(setting)} can't be: {error}") from error
        document = json.dumps(encode(one))
        if document in found:
            raise UphillError(
                f"The grid has {setting_of(found[document])} twice: leave out what is the same."
            )
        found[document] = setting
        made.append((setting, one))
    return made


def numbered(names: Iterable[str]) -> list[str]:
    """The names; of several that would be one, each has a number, since a folder is called so."""
    found: dict[str, str] = {}
    for name in names:
        free = (f"{name}-{k}" if k > 1 else name for k in itertools.count(1))
        chosen = next(x for x in free if x.lower() not in found)
        found[chosen.lower()] = chosen
    return list(found.values())


def folder_name(setting: Setting) -> str:
    """What the run directory of a setting is called."""
    names = setting_names(list(setting))
    name = ",".join(f"{names[path]}={setting_shown(value)}" for path, value in setting.items())
    return re.sub("[^A-Za-z0-9_.=,+-]+", "-", name)[:_LONGEST]


# --- which settings there are --------------------------------------------------------------------

_EXAMPLE = "optimizer.learning_rate"


def paths_of(part: Any, prefix: str = "") -> Iterator[str]:
    """The paths of all settings of an algorithm, and of the parts that can be chosen."""
    for field in fields(part):
        value, path = getattr(part, field.name), prefix + field.name
        if part_types(part, [field.name]):
            yield path
        if is_part(type(value)):
            yield from paths_of(value, f"{path}.")
        elif field.name != "name" and not part_types(part, [field.name]):
            yield path


def check_paths(axes: Mapping[str, Sequence[Any]], algorithm: Algorithm) -> None:
    """Raises:
    UphillError: if a path is none of a setting, also with the parts that are swept themselves; it
        says what may be meant.
    """
    # With the parts that are swept themselves, whose settings may be swept, too.
    chosen: set[str] = set(paths_of(algorithm))
    parts = {path: values for path, values in axes.items() if chooses(path, algorithm)}
    for values in itertools.product(*parts.values()) if parts else ():
        try:
            chosen |= {*paths_of(changed(algorithm, dict(zip(parts, values, strict=True)), False))}
        except UphillError:
            continue  # reported with the whole setting
    for path in axes:
        if path not in chosen:
            raise UphillError(_no_such(path, sorted(chosen), algorithm))


def chooses(path: str, algorithm: Algorithm) -> bool:
    """Whether a field is one in which a part stands that could be another."""
    part, name = stands_in(algorithm, path)
    return has(algorithm, path) and bool(part_types(part, [name]))


def _no_such(path: str, known: Sequence[str], algorithm: Algorithm) -> str:
    if path.startswith("env."):
        return (
            f"{written(path)} can't be swept: only settings of the algorithm can, so make a sweep "
            "for each environment."
        )
    if path in {field.name for kind in (Settings, Options) for field in fields(kind)}:
        if path == "envs":
            return f"{written(path)} is {written('sampling.num_envs')} in a grid: write that."
        return (
            f"{written(path)} can't be swept: it is the same for all settings, so use "
            f"{option(path)}."
        )
    place, _, name = path.rpartition(".")
    if meant := [x for x in meant_by(path, known) if x.startswith(f"{place}.")]:
        return f"There is no setting {written(path)} to sweep: did you mean {written(meant[0])}?"
    if place in known and not any(x.startswith(f"{place}.{name[:3]}") for x in known):
        part = getattr(algorithm, place, None)
        return (
            f"There is no setting {written(path)} to sweep: the {place} is {type(part).__name__}, "
            f"which has no {written(name)}; choose another {option(place)}."
        )
    if meant := meant_by(path, known):
        mend = f"did you mean {listed([written(x) for x in meant], 'or')}{remark(path)}?"
    else:
        near = [x for x in known if x.rpartition(".")[0] == place] or known
        mend = f"use one of {', '.join(map(written, near))}."
    return f"There is no setting {written(path)} to sweep: {mend}"


def written(path: str) -> str:
    """The path of a field, as it is typed or as Python has it."""
    return path.replace("_", "-") if is_typed() else path
