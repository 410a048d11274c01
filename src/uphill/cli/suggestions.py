"""Suggestions for an unknown flag: which one may be meant."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uphill.cli.flags import Flag
from uphill.meant import absent, called_elsewhere, meant_by, remark
from uphill.words import listed

_ENV = ("env", "env_id", "environment", "environment_id", "task", "game")


def no_such_flag(
    unknown: Sequence[str], flags: Sequence[Flag], program: str, algorithm: Any = None
) -> str:
    """The message about words that no argument took. `flags` are the existing ones; `algorithm` is
    the one whose parts can be chosen and set."""
    word = next((word for word in unknown if word.startswith("-")), unknown[0])
    if not word.startswith("--"):
        return f"There is no place for {word!r}: `{program} --help` shows what there is."
    flag = word.partition("=")[0]
    known = {known.path: known.spellings for known in flags}
    path = _path(flag)
    if algorithm is not None:
        if names_environment(word):
            return without_flag(word, program.split()[1])
        slots = _slots(algorithm)
        if of_other := _of_other_part(path, known, slots):
            return f"There is no flag {flag} here: {of_other}."
    if why := absent(path):
        return f"There is no flag {flag}: {why}."
    meant = _spelled(flag, _meant(path, known), known)
    if not meant:
        return f"There is no flag {flag}: `{program} --help` shows all."
    return f"There is no flag {flag}: did you mean {listed(meant, 'or')}{remark(path)}?"


def names_environment(word: str) -> bool:
    """Whether other libraries use this name for the environment's flag."""
    return word.startswith("--") and _path(word.partition("=")[0]) in _ENV


def without_flag(word: str, name: str) -> str:
    """The sentence about such a flag of the command of this name."""
    flag = word.partition("=")[0]
    return f"There is no flag {flag}: ENV stands by itself, as in `uphill {name} ENV`."


def _path(flag: str) -> str:
    """--optimizer.learning-rate → optimizer.learning_rate, without the no- of a switch."""
    words = flag.removeprefix("--").replace("-", "_").split(".")
    return ".".join(word.removeprefix("no_") for word in words)


def _meant(path: str, known: Iterable[str]) -> list[str]:
    known = list(known)
    return [path] if path in known else meant_by(path, known)


def _spelled(flag: str, paths: Iterable[str], known: Mapping[str, Sequence[str]]) -> list[str]:
    """The flags, with the no- of a switch where it was typed."""
    is_no = any(word.startswith("no-") for word in flag.removeprefix("--").split("."))
    return [known[path][-1 if is_no else 0] for path in paths]


def _slots(algorithm: Any) -> dict[str, dict[str, type | None]]:
    """The fields whose part can be chosen, and the types that each may have."""
    from uphill.runs.configuration import part_paths, part_types

    found = {".".join(path): part_types(algorithm, path) for path in part_paths(algorithm)}
    return {path: types for path, types in found.items() if types}


def _of_other_part(
    path: str, known: Iterable[str], slots: dict[str, dict[str, type | None]]
) -> str:
    """The hint that it is a setting of other parts, and which algorithms have such a part; empty if
    it is not."""
    names = (path, *called_elsewhere(path))
    if any(name in known for name in names):
        return ""
    for named in names:
        slot, _, name = named.rpartition(".")
        those = {word: kind for word, kind in slots.get(slot, {}).items() if _has(kind, name)}
        if those:
            flag = f"--{slot.replace('_', '-')}"
            setting = f"{flag}.{name.replace('_', '-')}"
            having = _algorithms_with(slot, tuple(filter(None, those.values())))
            ones = f", which --algo {listed(having, 'or')} has" if having else ""
            return f"{setting} goes with {flag} {listed(list(those), 'or')}{ones}"
    return ""


def _has(kind: type | None, name: str) -> bool:
    from dataclasses import fields

    return kind is not None and name in {field.name for field in fields(kind)}


def _algorithms_with(slot: str, kinds: tuple[type, ...]) -> list[str]:
    """The algorithms that have such a part in that field."""
    from uphill.parts.algorithms import ALGORITHMS

    if "." in slot:
        return []
    return [algo for algo, make in ALGORITHMS.items() if isinstance(getattr(make(), slot), kinds)]
