"""Settings as JSON, without executing anything.

A part is `{"$type": its name, field: value, …}`. The name is looked up only among the types that
the field's annotation allows, so a file can't request anything else. A custom part is called
`module:Name`, and comes from where the reader says (`OwnParts`).
"""

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import numpy as np
import optax
from jaxtyping import AbstractArray

from uphill import parts
from uphill.errors import UphillError
from uphill.meant import field_meant
from uphill.parts.changes import default_of
from uphill.parts.names import NAMES
from uphill.parts.schedule import Constant, Schedule, Written, is_traced
from uphill.runs.own_parts import (
    NOTHING_OWN,
    NotGivenError,
    OwnParts,
    Withheld,
    is_own_name,
    transformation_name,
    type_name,
)
from uphill.words import among, listed, quoted

_SCHEDULE = "a finite number, linear:START:END or cosine:START:END"


def encode(value: Any) -> Any:
    """Anything that `decode` reads, as what `json.dumps` writes; the numbers of NumPy and JAX as
    Python's."""
    if isinstance(value, np.generic) or (eqx.is_array(value) and value.shape == ()):
        return value if is_traced(value) else value.item()
    if isinstance(value, Written):
        return encode(value.number) if isinstance(value, Constant) else str(value)
    if isinstance(value, optax.GradientTransformation):
        return transformation_name(value)
    if isinstance(value, Withheld):
        return value.document
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"$type": type_name(type(value)), **fields}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(annotation: Any, value: Any, path: str = "", own: OwnParts = NOTHING_OWN) -> Any:
    """The value that `annotation` describes.

    Raises:
        NotGivenError: if it is, or has, a custom part that `own` does not know; unless the
            annotation says that it may be withheld.
        UphillError: if `value` is not one; it names the field.
    """
    if annotation is Any:
        return value
    members, kinds = members_of(annotation), kinds_of(annotation)
    if kinds and isinstance(value, dict):
        try:
            return _decode_part(members, value, path, own)
        except NotGivenError as error:
            if Withheld not in members:
                raise
            return Withheld(value, str(error))
    if Schedule in kinds and value is not None:
        return _decode_schedule(value, path)
    if len(members) > 1 or kinds:
        return _decode_union(members, value, path, own)
    return _decode_one(members[0], value, path, own)


def _decode_one(annotation: Any, value: Any, path: str, own: OwnParts) -> Any:
    """The value of a type that is no union, and no part."""
    origin = typing.get_origin(annotation)
    if tuple in (origin, annotation):
        if not isinstance(value, list):
            raise _mismatch(path, value, "a list")
        item, *_ = *typing.get_args(annotation), Any
        return tuple(decode(item, x, f"{path}[{k}]", own) for k, x in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(path, value, "an object")
        item = typing.get_args(annotation)[1]
        return {k: decode(item, x, f"{path}.{k}", own) for k, x in value.items()}
    if origin is typing.Literal:
        if value not in typing.get_args(annotation):
            raise _mismatch(path, value, f"one of {typing.get_args(annotation)}")
        return value
    if annotation is optax.GradientTransformation:
        return own.transformation(value, path)
    if annotation is float and type(value) in (int, float):
        if not abs(value) <= sys.float_info.max:
            raise _mismatch(path, value, "a finite number")
        return float(value)
    if type(value) is not annotation:
        raise _mismatch(path, value, getattr(annotation, "__name__", str(annotation)))
    if annotation is int and not -(2**63) <= value < 2**64:
        raise _mismatch(path, value, "a whole number of 64 bits")
    return value


# --- which parts a field is for -----------------------------------------------------------------


def members_of(annotation: Any) -> Sequence[Any]:
    """The types that a field may have: those of a union, else the annotation. Arrays are left out:
    a number may be traced, but a traced one is never written."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return (annotation,)
    members = typing.get_args(annotation)
    plain = [m for m in members if not (isinstance(m, type) and issubclass(m, AbstractArray))]
    return plain or members


def kinds_of(annotation: Any) -> tuple[type, ...]:
    """The types of parts and other settings among them."""
    return tuple(m for m in members_of(annotation) if is_part(m))


def is_part(annotation: Any) -> bool:
    """Whether it is a type that has settings of its own; a number that changes has none."""
    is_type = isinstance(annotation, type) and dataclasses.is_dataclass(annotation)
    return is_type and not issubclass(annotation, Written)


def parts_of_kind(kind: type) -> list[type]:
    """Our parts of a kind; of settings that are no kind, the settings themselves."""
    if not takes_own((kind,)):
        return [kind]
    return [getattr(parts, name) for name in NAMES[kind.__name__]]


def part_types(part: Any, path: list[str]) -> dict[str, type | None]:
    """The types that the field at `path` of a part may have, by the names that flags give them;
    nothing where it has no choice."""
    kinds, may_be_none = kinds_at(part, path)
    types = {kebab(choice.__name__): choice for kind in kinds for choice in parts_of_kind(kind)}
    if not types or (len(types) == 1 and not may_be_none and not takes_own(kinds)):
        return {}
    return {**types, **({"none": None} if may_be_none else {})}


def kinds_at(part: Any, path: list[str]) -> tuple[tuple[type, ...], bool]:
    """The kinds of part that the field at `path` is for, and whether it may be None."""
    for name in path[:-1]:
        part = getattr(part, name, None)
    hint = typing.get_type_hints(type(part)).get(path[-1]) if is_part(type(part)) else None
    return kinds_of(hint), types.NoneType in members_of(hint)


def takes_own(kinds: tuple[type, ...]) -> bool:
    """Whether one of the kinds is one that a user may have a part of."""
    return any(
        kind.__name__ in NAMES and kind is getattr(parts, kind.__name__, None) for kind in kinds
    )


def part_paths(part: Any, prefix: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The paths of all fields of `part`, and of the parts in it, that a part may stand in."""
    for name, hint in typing.get_type_hints(type(part)).items():
        if kinds_of(hint):
            yield [*prefix, name]
            if is_part(type(getattr(part, name))):
                yield from part_paths(getattr(part, name), (*prefix, name))


# --- as flags -----------------------------------------------------------------------------------


def flags(start: Any, part: Any, prefix: str = "--") -> Iterator[str]:
    """The flags of the command line that turn `start` into `part`; a name is no setting."""
    for field in dataclasses.fields(part):
        is_same = type(start) is type(part)
        old = getattr(start, field.name) if is_same else default_of(field)
        new, flag = getattr(part, field.name), prefix + field.name.replace("_", "-")
        if is_part(type(new)):
            if type(old) is not type(new):
                name = type_name(type(new))
                yield f"{flag} {name if is_own_name(name) else kebab(name)}"
            yield from flags(old, new, f"{flag}.")
        elif encode(old) == encode(new) or flag == "--name":
            continue
        elif isinstance(new, optax.GradientTransformation):
            continue  # no flag can express it
        elif isinstance(new, bool):
            yield flag if new else flag.replace(prefix, f"{prefix}no-", 1)
        elif new is None:
            yield f"{flag} {'none' if is_part(type(old)) else None}"
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


# --- reading ------------------------------------------------------------------------------------


def _decode_schedule(value: Any, path: str) -> Schedule:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise _mismatch(path, value, "a number or a schedule")
    try:
        return Schedule.parse(value)
    except UphillError as error:
        raise _mismatch(path, value, _SCHEDULE) from error


def _decode_union(members: Sequence[Any], value: Any, path: str, own: OwnParts) -> Any:
    lists = [member for member in members if typing.get_origin(member) is tuple]
    if lists and isinstance(value, list):
        return decode(lists[0], value, path, own)  # names what in it is wrong
    for member in members:
        if is_part(member) or isinstance(value, dict) != (typing.get_origin(member) is dict):
            continue
        try:
            return decode(member, value, path, own)
        except (UphillError, TypeError):
            continue
    raise _mismatch(path, value, _expected(members))


def _expected(members: Sequence[Any]) -> str:
    possible = [
        x for member in members for x in (parts_of_kind(member) if is_part(member) else [member])
    ]
    names = [getattr(x, "__name__", str(x)) for x in possible]
    listed = ", ".join("None" if name == "NoneType" else name for name in names)
    return listed if len(names) == 1 else f"one of {listed}"


def _decode_part(members: Sequence[Any], value: dict, path: str, own: OwnParts) -> Any:
    kinds, name = tuple(filter(is_part, members)), value.get("$type")
    if is_own_name(name) and takes_own(kinds):
        part = own.part(name, kinds, path)
    elif (part := _part_named(name, kinds)) is None:
        raise _mismatch(path, value, _expected(members))
    return part_of(part, {key: x for key, x in value.items() if key != "$type"}, path, own)


def _part_named(name: Any, kinds: tuple[type, ...]) -> type | None:
    """The type of that name, among those that are of one of the kinds."""
    if not isinstance(name, str):
        return None
    own_settings = {type_name(kind): kind for kind in kinds if not takes_own((kind,))}
    if name in own_settings:
        return own_settings[name]
    ours = getattr(parts, name, None)
    is_ours = isinstance(ours, type) and issubclass(ours, kinds) and ours not in kinds
    return ours if is_ours else None


def part_of(part: type, fields: dict[str, Any], path: str = "", own: OwnParts = NOTHING_OWN) -> Any:
    """The part with these fields, encoded; the others are what they are by default.

    Raises:
        UphillError: if it has no such field, needs another, or refuses a value.
    """
    hints = typing.get_type_hints(part)
    whole, prefix = path or part.__name__, f"{path}." if path else ""
    known = [f.name for f in dataclasses.fields(part)]
    if unknown := sorted(set(fields) - set(known)):
        near = field_meant(unknown[0], known)
        mend = f"did you mean {near}?" if near else f"it has {listed(among(known))}."
        raise UphillError(f"{whole} has no field {', '.join(unknown)}: {mend}")
    decoded = {name: decode(hints[name], x, prefix + name, own) for name, x in fields.items()}
    try:
        return part(**decoded)
    except TypeError as error:
        raise UphillError(f"{whole} is incomplete: {error}.") from error


def _mismatch(path: str, value: Any, expected: str) -> UphillError:
    return UphillError(f"{path or 'the value'} is {quoted(value)}: expected {expected}.")
