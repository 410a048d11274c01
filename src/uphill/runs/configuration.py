"""Settings as JSON, without executing anything.

A part is `{"$type": its name, field: value, …}`. The name is looked up only among the types that
the field's annotation allows, so a file can't ask for anything else.
"""

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np

from uphill import parts
from uphill.errors import UphillError
from uphill.parts.names import NAMES
from uphill.parts.schedule import Schedule
from uphill.trajectory import Scalar

_SCHEDULE = "a finite number, linear:START:END or cosine:START:END"


def encode(value: Any) -> Any:
    """Anything that `decode` reads, as what `json.dumps` writes; NumPy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Schedule):
        return value.value if value.kind == "constant" else str(value)
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"$type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(annotation: Any, value: Any, path: str = "") -> Any:
    """The value that `annotation` describes.

    Raises:
        UphillError: if `value` is not one; it names the field.
    """
    if annotation is Any:
        return value
    if annotation is Schedule:
        if not isinstance(value, int | float | str) or isinstance(value, bool):
            raise _mismatch(path, value, "a number or a schedule")
        try:
            return Schedule.parse(value)
        except UphillError as error:
            raise _mismatch(path, value, _SCHEDULE) from error
    if annotation is Scalar:
        annotation = float
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(members_of(annotation), value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise _mismatch(path, value, "a list")
        item = typing.get_args(annotation)[0]
        return tuple(decode(item, x, f"{path}[{k}]") for k, x in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(path, value, "an object")
        return value
    if origin is typing.Literal:
        if value not in typing.get_args(annotation):
            raise _mismatch(path, value, f"one of {typing.get_args(annotation)}")
        return value
    if choices(annotation):
        return _decode_union(choices(annotation), value, path)
    if dataclasses.is_dataclass(annotation):
        return _decode_part(annotation, value, path)
    if annotation is float and type(value) in (int, float):
        if not abs(value) <= sys.float_info.max:
            raise _mismatch(path, value, "a finite number")
        return float(value)
    if annotation is type(None):
        annotation = types.NoneType
    if type(value) is not annotation:
        raise _mismatch(path, value, getattr(annotation, "__name__", str(annotation)))
    return value


def part_types(part: Any, document: Any, path: list[str]) -> list[str]:
    """The names of the types that the field at `path` may have; none where it has no choice.

    `document` is the encoded part, which says what its own parts are now.
    """
    hints = typing.get_type_hints(part)
    if path[0] not in hints:
        return []
    members = members_of(hints[path[0]])
    known = {m.__name__: m for m in members if _is_part(m)}
    if len(path) > 1:
        inner = document[path[0]]
        name = inner.get("$type") if isinstance(inner, dict) else None
        return part_types(known[name], inner, path[1:]) if name in known else []
    if len(members) < 2 or not known:
        return []
    return [*known, *(["none"] if types.NoneType in members else [])]


def part_paths(part: Any, prefix: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The paths of all fields of `part`, and of the parts in it, that a part may stand in."""
    for name, hint in typing.get_type_hints(type(part)).items():
        if any(map(_is_part, members_of(hint))):
            yield [*prefix, name]
            if _is_part(type(getattr(part, name))):
                yield from part_paths(getattr(part, name), (*prefix, name))


def choices(annotation: Any) -> tuple[type, ...]:
    """Our parts that a field of this kind may have; none where it is no kind of part."""
    names = NAMES.get(getattr(annotation, "__name__", ""), ())
    return tuple(getattr(parts, name) for name in names)


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The types that a field may have: kinds of parts as our parts, and numbers as floats."""
    if annotation is Scalar:
        return (float,)
    found = []
    for member in typing.get_args(annotation) or (annotation,):
        found += choices(member) or (member,)
    return tuple(m for m in found if m not in typing.get_args(Scalar)[1:])


def _is_part(annotation: Any) -> bool:
    is_type = isinstance(annotation, type) and dataclasses.is_dataclass(annotation)
    return is_type and annotation is not Schedule


def flags(start: Any, part: Any, prefix: str = "--") -> Iterator[str]:
    """The flags of the command line that turn `start` into `part`; a name is no setting."""
    for field in dataclasses.fields(part):
        old, new = getattr(start, field.name), getattr(part, field.name)
        flag = prefix + field.name.replace("_", "-")
        if _is_part(type(new)):
            if type(old) is not type(new):
                yield f"{flag} {kebab(type(new).__name__)}"
                old = type(new)()
            yield from flags(old, new, f"{flag}.")
        elif encode(old) == encode(new) or flag == "--name":
            continue
        elif isinstance(new, bool):
            yield flag if new else flag.replace("--", "--no-", 1)
        elif new is None:
            yield f"{flag} {'none' if _is_part(type(old)) else None}"
        else:
            words = new if isinstance(new, tuple) else (new,)
            if isinstance(new, dict):
                words = [word for pair in new.items() for word in pair]
            yield " ".join([flag, *map(str, words)])


def kebab(name: str) -> str:
    """ClippedRatio → clipped-ratio, GAE → gae, TDResidual → td-residual, RMSProp → rmsprop."""
    if name == "RMSProp":  # one word, whatever its capitals
        return "rmsprop"
    return re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _decode_union(members: tuple[Any, ...], value: Any, path: str) -> Any:
    for member in members:
        is_part = dataclasses.is_dataclass(member) and member is not Schedule
        name = value.get("$type") if isinstance(value, dict) else None
        if is_part and name == getattr(member, "__name__", ""):
            return decode(member, value, path)
        if is_part or isinstance(value, dict) != (typing.get_origin(member) is dict):
            continue
        try:
            return decode(member, value, path)
        except (UphillError, TypeError):
            continue
    names = [getattr(member, "__name__", str(member)) for member in members]
    listed = ", ".join("None" if name == "NoneType" else name for name in names)
    raise _mismatch(path, value, f"one of {listed}")


def _decode_part(part: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict) or value.get("$type") != part.__name__:
        raise _mismatch(path, value, part.__name__)
    hints = typing.get_type_hints(part)
    fields = {f.name for f in dataclasses.fields(part)}
    given = {name: x for name, x in value.items() if name != "$type"}
    whole, prefix = path or part.__name__, f"{path}." if path else ""
    unknown = set(given) - fields
    if unknown:
        raise UphillError(f"{whole} has no field {', '.join(sorted(unknown))}.")
    decoded = {name: decode(hints[name], x, prefix + name) for name, x in given.items()}
    try:
        return part(**decoded)
    except TypeError as error:
        raise UphillError(f"{whole} is incomplete: {error}.") from error


def _mismatch(path: str, value: Any, expected: str) -> UphillError:
    return UphillError(f"{path or 'the value'} is {value!r}: expected {expected}.")
