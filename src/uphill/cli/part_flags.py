"""Flags that choose an algorithm's parts: `--surrogate clipped-ratio`, or for a custom part
`--surrogate my_module:Name`."""

import copy
import typing
from collections.abc import Iterator
from typing import Any

from uphill.cli.errors import WrongCommandLine


def take_part_types(argv: list[str], algorithm: Any) -> tuple[list[str], Any]:
    """Arguments without those that change a part's type (`--surrogate clipped-ratio`), and the
    algorithm with these parts.

    Whether they fit together is not checked here, since a later flag may make them fit.
    """
    deepest = max((word.partition("=")[0].count(".") for word in argv), default=0)
    for depth in range(deepest + 1):  # --baseline value-function before --baseline.optimizer adam
        words, rest = iter(argv), []
        for word in words:
            flag, is_given, value = word.partition("=")
            path = flag.removeprefix("--").replace("-", "_").split(".")
            is_flag = flag.startswith("--") and len(path) == depth + 1
            if not is_flag or not _takes_part(algorithm, path):
                rest.append(word)
                continue
            value = value if is_given else next(words, "")
            if _is_schedule(algorithm, path, value):
                rest += [flag, value]
            else:
                algorithm = _with_part(algorithm, path, _type_named(algorithm, path, flag, value))
        argv = rest
    return argv, algorithm


def _takes_part(algorithm: Any, path: list[str]) -> bool:
    from uphill.runs.configuration import kinds_at, part_types, takes_own

    return bool(part_types(algorithm, path)) or takes_own(kinds_at(algorithm, path)[0])


def _is_schedule(algorithm: Any, path: list[str], value: str) -> bool:
    """Whether it is the text of a built-in schedule, which is a value rather than a part."""
    from uphill.runs.configuration import part_types
    from uphill.runs.own_parts import is_own_name

    return not part_types(algorithm, path) and not is_own_name(value)


def _type_named(algorithm: Any, path: list[str], flag: str, value: str) -> type | None:
    """The type that a flag chooses for the part at `path`; None for no part."""
    from uphill.runs.configuration import kinds_at, part_types, takes_own
    from uphill.runs.own_parts import checked, import_named, is_own_name

    types, (kinds, _) = part_types(algorithm, path), kinds_at(algorithm, path)
    if value in types:
        return types[value]
    if takes_own(kinds) and is_own_name(value):
        return checked(import_named(value, flag), value, kinds, flag)
    own = ", or module:Name for a custom one" if takes_own(kinds) else ""
    raise WrongCommandLine(f"{flag} is {value!r}: choose one of {', '.join(types)}{own}.")


def _with_part(part: Any, path: list[str], kind: type | None) -> Any:
    """`part` with a new part at `path`; one that has the type already keeps its settings."""
    from uphill.runs.configuration import part_of

    field, *inner = path
    old = getattr(part, field)
    if inner:
        return unchecked(part, field, _with_part(old, inner, kind))
    if type(old) is kind:
        return part
    return unchecked(part, field, None if kind is None else part_of(kind, {}, kind.__name__))


def unchecked(part: Any, field: str, value: Any) -> Any:
    """A copy of `part` with another value, without asking whether all fits together."""
    changed = copy.copy(part)
    object.__setattr__(changed, field, value)
    return changed


def switches_in(argv: list[str]) -> set[str]:
    """The flags of an algorithm that take no value: those of all built-in parts, and of the custom
    parts that `argv` names."""
    from uphill.parts import Algorithm
    from uphill.runs.configuration import is_part
    from uphill.runs.own_parts import import_named, is_own_name

    found, fields = set(_switches(Algorithm, "--")), typing.get_type_hints(Algorithm)
    for before, after in zip(argv, [*argv[1:], ""], strict=True):
        flag, is_given, value = before.partition("=")
        value = value if is_given else after
        is_of_algorithm = flag[2:].partition(".")[0].replace("-", "_") in fields
        if is_of_algorithm and flag not in found and is_own_name(value):
            part = import_named(value, flag)
            found |= set(_switches(part, f"{flag}.")) if is_part(part) else set()
    return found


def _switches(part: type, prefix: str) -> Iterator[str]:
    from uphill.runs.configuration import kinds_of, parts_of_kind

    for name, hint in typing.get_type_hints(part).items():
        flag = prefix + name.replace("_", "-")
        if hint is bool:
            yield flag
        for kind in kinds_of(hint):
            for choice in parts_of_kind(kind):
                yield from _switches(choice, f"{flag}.")
