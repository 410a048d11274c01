"""Flags that choose an algorithm's parts: `--surrogate clipped-ratio`."""

import copy
from typing import Any, get_type_hints

from uphill.cli.errors import WrongCommandLine


def take_part_types(argv: list[str], algorithm: Any) -> tuple[list[str], Any]:
    """Arguments without those that change a part's type (`--surrogate clipped-ratio`), and the
    algorithm with these parts.

    The whole is not checked here: a flag that comes later may make it fit.
    """
    for depth in (1, 2, 3):  # --baseline value-function before --baseline.optimizer adam
        words, rest = iter(argv), []
        for word in words:
            flag, is_given, value = word.partition("=")
            path = flag.removeprefix("--").replace("-", "_").split(".")
            is_flag = flag.startswith("--") and len(path) == depth
            types = _part_types(algorithm, path) if is_flag else {}
            if not types:
                rest.append(word)
                continue
            value = value if is_given else next(words, "")
            if value not in types:
                raise WrongCommandLine(f"{flag} is {value!r}: choose one of {', '.join(types)}.")
            algorithm = _with_part(algorithm, path, types[value])
        argv = rest
    return argv, algorithm


def _part_types(algorithm: Any, path: list[str]) -> dict[str, str]:
    """The types that the part at `path` may have, by the names that flags give them."""
    from uphill.runs.configuration import encode, kebab, part_types

    return {kebab(name): name for name in part_types(type(algorithm), encode(algorithm), path)}


def _with_part(part: Any, path: list[str], type_name: str) -> Any:
    """`part` with a new part at `path`; one that has the type already keeps its settings."""
    from uphill.runs.configuration import decode

    field, *inner = path
    if inner:
        return unchecked(part, field, _with_part(getattr(part, field), inner, type_name))
    if type(getattr(part, field)).__name__ == type_name:
        return part
    document = None if type_name == "none" else {"$type": type_name}
    return unchecked(part, field, decode(get_type_hints(type(part))[field], document))


def unchecked(part: Any, field: str, value: Any) -> Any:
    """A copy of `part` with another value, without asking whether all fits together."""
    changed = copy.copy(part)
    object.__setattr__(changed, field, value)
    return changed


def describe_parts(algorithm: Any) -> str:
    """The flags that change a part's type, for the help."""
    from uphill.runs.configuration import part_paths

    lines = ["Flags that choose a part (its own settings follow below):"]
    for path in part_paths(algorithm):
        if types := _part_types(algorithm, path):
            flag = ".".join(path).replace("_", "-")
            lines.append(f"  --{flag} {{{','.join(types)}}}")
    return "\n".join(lines)
