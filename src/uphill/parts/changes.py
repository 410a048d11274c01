"""Changes of an algorithm, by keyword: an unknown keyword is refused, with a hint where it
belongs."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

from uphill.errors import UphillError
from uphill.meant import absent, meant_by, remark
from uphill.parts.algorithm import Algorithm
from uphill.parts.schedule import Schedule
from uphill.policies.policy import PolicySettings

_PLACES = ("sampling", "estimator", "surrogate", "optimizer", "policy", "baseline")


def known(parts: Mapping[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, each of which is a field of `Algorithm`. `parts` are those that are changed.

    Raises:
        UphillError: if one is not a field; the message says which part has a field of that name, if
        any.
    """
    names = [field.name for field in fields(Algorithm)]
    for name, value in changes.items():
        if name not in names:
            all_parts = {"policy": PolicySettings(), **parts, **changes}
            raise UphillError(f"{name} is {value!r}: {_mend(all_parts, name, value, names)}.")
    return changes


def _mend(parts: Mapping[str, Any], name: str, value: Any, names: list[str]) -> str:
    parts = {place: part for place, part in parts.items() if is_dataclass(part)}
    # The last owner of a name wins: num_steps is the sampling's rather than the baseline's.
    places = [place for place in reversed(_PLACES) if place in parts]
    homes = {f.name: place for place in places for f in fields(parts[place])}
    if name in homes:
        place = homes[name]
        changed = _written(replace(parts[place], **{name: value}))
        return f"it is a setting of the {place}, so write {place}={changed}"
    settings = [f"{place}.{field}" for field, place in homes.items()]
    if why := absent(name):
        return why
    meant = meant_by(name, [*names, *settings])
    if not meant:
        return f"an algorithm has no such field; its fields are {', '.join(names)}"
    place, _, field = meant[0].rpartition(".")
    where = f", a setting of the {place}" if place else ""
    return f"an algorithm has no such field; perhaps you mean {field}{where}{remark(name)}"


def _written(value: Any) -> str:
    """A value as Python code; of a part, only the fields that differ from their defaults."""
    if isinstance(value, Schedule) or not is_dataclass(value):
        return repr(value)
    given = {
        field.name: _written(getattr(value, field.name))
        for field in fields(value)
        if repr(getattr(value, field.name)) != repr(default_of(field))
    }
    return f"{type(value).__name__}({', '.join(f'{k}={x}' for k, x in given.items())})"


def default_of(field: Field) -> Any:
    """The default of a field, as it is stored; `MISSING` if it has none."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is MISSING:
        return MISSING
    return field.metadata.get("converter", lambda x: x)(field.default)
