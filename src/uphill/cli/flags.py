"""The flags of a command: spelling, value, help text and default of each. Help and suggestions are
made from them."""

import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from tyro.conf import Positional

from uphill.runs.settings import sentences

_POSITIONAL = get_args(Positional[str])[1]
_WORDS = {int: "INT", float: "FLOAT", Path: "PATH", str: "TEXT"}
SCHEDULE = "SCHEDULE"


@dataclass(frozen=True)
class Flag:
    """One argument of a command."""

    path: str
    """its place among the settings: steps, optimizer.learning_rate"""
    spellings: tuple[str, ...]
    """--steps; for a switch both spellings; for a positional argument its name, such as RUN"""
    takes: str = ""
    """what follows it; empty for a switch"""
    about: str = ""
    default: str = ""
    """as it is typed; empty if the help text says what happens without the flag"""
    may_be_none: bool = False
    """whether None may follow it, too"""

    @property
    def is_word(self) -> bool:
        """Whether it is a positional argument."""
        return not self.spellings[0].startswith("-")


NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def option_flags(kind: type, defaults: Mapping[str, Any] = NOTHING) -> list[Flag]:
    """The arguments that a dataclass of options describes: words, then its own flags, then those of
    its bases; `defaults` override the defaults."""
    said, hints = sentences(kind), typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in sorted(fields(kind), key=lambda field: _depth(kind, field.name)):
        hint, *notes = _unwrapped(hints[field.name])
        about, default = said.get(field.name, ""), defaults.get(field.name, field.default)
        name = next((n.name for n in notes if getattr(n, "name", None)), None)
        name = name or field.name.replace("_", "-")
        if _POSITIONAL in notes:
            called = next(n.metavar for n in notes if getattr(n, "metavar", None))
            is_needed = field.default is MISSING
            found.append(Flag(field.name, (called,), called if is_needed else f"[{called}]", about))
        elif hint is bool:
            spellings = (f"--{name}", f"--no-{name}")
            found.append(Flag(name.replace("-", "_"), spellings, "", about, _shown(default)))
        else:
            path = name.replace("-", "_")
            may_be_none = types.NoneType in get_args(hint)
            spelling = (f"--{name}",)
            called = next((n.metavar for n in notes if getattr(n, "metavar", None)), "")
            takes = called or _takes(hint)
            found.append(Flag(path, spelling, takes, about, _shown(default), may_be_none))
    return sorted(found, key=lambda flag: not flag.is_word)


def _depth(kind: type, name: str) -> int:
    """How far up among the bases a field is described."""
    described = [name in inspect.get_annotations(base) for base in kind.__mro__]
    return described.index(True)


def setting_flags(part: Any, prefix: str = "") -> Iterator[Flag]:
    """The flags that set what an algorithm is, or a part of it, and those that choose its parts."""
    from uphill.parts.schedule import Schedule
    from uphill.runs.configuration import is_part, kinds_of, members_of, part_types

    said, hints = sentences(type(part)), typing.get_type_hints(type(part))
    for field in fields(part):
        value, path = getattr(part, field.name), prefix + field.name
        flag, about = f"--{path.replace('_', '-')}", said.get(field.name, "")
        if types_of := part_types(part, [field.name]):
            now = [word for word, kind in types_of.items() if kind is (value and type(value))]
            about = about or first_paragraph(kinds_of(hints[field.name])[0].__doc__ or "")
            yield Flag(path, (flag,), f"{{{','.join(types_of)}}}", about, "".join(now))
        if is_part(type(value)):
            yield from setting_flags(value, f"{path}.")
        elif isinstance(value, bool):
            place, _, name = flag.rpartition(".")
            no = f"{place}.no-{name}" if place else flag.replace("--", "--no-", 1)
            yield Flag(path, (flag, no), "", about, _shown(value))
        elif not types_of and field.name != "name":
            choices = field.metadata.get("choices")
            members = [m for m in members_of(hints[field.name]) if m is not types.NoneType]
            takes = SCHEDULE if Schedule in kinds_of(hints[field.name]) else _takes_any(members)
            takes = f"{{{','.join(choices)}}}" if choices else takes
            may_be_none = types.NoneType in members_of(hints[field.name])
            takes += "|None" if may_be_none else ""
            yield Flag(path, (flag,), takes, about, _shown(value), may_be_none)


def first_paragraph(text: str) -> str:
    """The first paragraph of a docstring, in a line."""
    return " ".join(text.split("\n\n")[0].split())


def _unwrapped(hint: Any) -> tuple[Any, ...]:
    """A type without its notes, and these."""
    return get_args(hint) if get_origin(hint) is Annotated else (hint,)


def _takes(hint: Any) -> str:
    members = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    return _takes_any([m for m in members if m is not types.NoneType])


def _takes_any(members: Sequence[Any]) -> str:
    """What follows a flag of one of these types."""
    member = members[0] if members else str
    if get_origin(member) is Literal:
        return f"{{{','.join(map(str, get_args(member)))}}}"
    if get_origin(member) is Annotated:
        return _takes(get_args(member)[0])
    if get_origin(member) is tuple:
        return f"{_takes(get_args(member)[0])} …"
    if get_origin(member) is dict:
        return "KEY VALUE …"
    return _WORDS.get(member, "TEXT")


def _shown(value: Any) -> str:
    """A default as it is typed; empty if it only means that the option was not given."""
    if value is MISSING or value is None or value == () or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
