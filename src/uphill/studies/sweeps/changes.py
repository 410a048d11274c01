"""Changes an algorithm's settings, named by the paths of their fields."""

import copy
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.runs.configuration import decode, encode, members_of, part_of, part_types
from uphill.runs.experiment import whole
from uphill.words import listed


def changed(algorithm: Algorithm, setting: Mapping[str, Any], is_whole: bool = True) -> Algorithm:
    """The algorithm with these values: of `optimizer.learning_rate` a number or the text of a
    schedule, of `baseline` the name of a part. Parts come before what is set of them.

    Raises:
        UphillError: if one is no value of its field, or, where the algorithm `is_whole`, they do
            not fit together.
    """
    for path in sorted(setting, key=lambda path: path.count(".")):
        field, *inner = path.split(".")
        value = _changed(algorithm, field, inner, setting[path], path)
        algorithm = _unchecked(algorithm, field, value)
    return replace(algorithm) if is_whole else algorithm


def stands_in(algorithm: Algorithm, path: str) -> tuple[Any, str]:
    """The part in which a field of that path stands, if there is one, and its name there."""
    part: Any = algorithm
    *place, name = path.split(".")
    for word in place:
        part = getattr(part, word, None)
    return part, name


def has(algorithm: Algorithm, path: str) -> bool:
    """Whether it has a field of that path, with the parts that it has."""
    part, name = stands_in(algorithm, path)
    return is_dataclass(part) and name in {field.name for field in fields(part)}


def value_at(algorithm: Algorithm, path: str) -> Any:
    """What is in the field of that path, as JSON has it."""
    part, name = stands_in(algorithm, path)
    return encode(getattr(part, name, None))


def _changed(part: Any, field: str, inner: Sequence[str], value: Any, path: str) -> Any:
    """What stands in a field of a part once the change is made."""
    old: Any = getattr(part, field, None)
    if inner:
        name, *rest = inner
        if not hasattr(old, name):
            place = path.removesuffix("." + ".".join(inner))
            raise UphillError(
                f"{place} is {type(old).__name__}, which has no {name}: leave {path} out."
            )
        return replace(old, **{name: _changed(old, name, rest, value, path)})
    types = part_types(part, [field])
    if isinstance(value, str) and value in types:
        kind = types[value]
        return old if kind is not None and type(old) is kind else kind and part_of(kind, {}, path)
    if value is None and "none" in types:
        return None
    if types and isinstance(value, str):
        raise UphillError(f"{path} is {value!r}: choose {listed(list(types), 'or')}.")
    hint = typing.get_type_hints(type(part))[field]
    return decode(hint, _fitted(hint, value), path)


def _fitted(hint: Any, value: Any) -> Any:
    """A value as the field's type has it: whole floats are whole numbers, one number may be the
    list of a single one, and what is no value of its type stays."""
    members = members_of(hint)
    value = encode(value)
    if int in members and float not in members:
        return whole(value)
    if any(typing.get_origin(member) is tuple for member in members):
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = [value]
        return [whole(x) for x in value] if isinstance(value, list) else value
    return value


def _unchecked(algorithm: Algorithm, field: str, value: Any) -> Algorithm:
    """A copy, without asking whether all fits together: another change may make it fit."""
    other = copy.copy(algorithm)
    object.__setattr__(other, field, value)
    return other
