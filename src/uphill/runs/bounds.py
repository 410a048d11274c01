"""Upper bounds for the contents of a run directory, checked before anything is built from it.

Anyone may have altered a file, so a number in it becomes a size only after it was compared with how
much the files hold.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from uphill.errors import UphillError
from uphill.learning.counting import MOST_COUNTED
from uphill.parts import Algorithm
from uphill.policies.actions import ActionKind, Composite
from uphill.policies.bounded import BOX_DISTRIBUTIONS, Bounded
from uphill.policies.choices import Choice, Choices
from uphill.policies.encodings import (
    MOST_FEATURES,
    Encoding,
    Group,
    Numbers,
    OneHot,
    images_in,
)
from uphill.policies.images import can_be_image
from uphill.policies.policy import NetworkSettings, PolicySettings

LARGEST_JSON = 2**25
"""Bytes of a file of JSON."""
MOST_VALUES = 2**21
"""Brackets and commas of such a file: each value that it has costs memory."""
LARGEST_METRICS = 2**30
"""Bytes of `metrics.csv`, which is read line by line."""
LONGEST_LINE = 2**20
"""Bytes of a line of it."""
MOST_EPISODES = 10**6
"""Of an evaluation: a mean over so many knows its third digit."""
MOST_SEEDS = 4096
"""Seeds of a run: a checkpoint says some hundred numbers of each in its JSON."""
MOST_HOLES, SURELY_READ = 64, 2**25
"""A file of tensors must be on the disk to this part, unless it is as small as this in bytes: what
is not there reads as zeros, as many as its length says."""
LARGEST_HEADER = 2**20
"""Bytes of what a safetensors file says of its tensors: a few thousand of them."""
DEEPEST = 64
"""Lists and objects within each other."""
MOST_MILESTONES = 256
"""Milestones of a seed: those of every training, and a world's own."""
LONGEST_NAME = 1000
"""Characters of a name that messages quote: an environment, a network, a kind of machine."""
FARTHEST = 1e100
"""Returns and thresholds: far beyond any sum of 32-bit rewards, and their squares are finite."""
_UNCHECKED = 10**7
"""Numbers that are made without asking whether the file has as many."""


def fault_in(document: Any) -> str | None:
    """What in a JSON file can't come from Uphill, with the field; None if there is nothing."""
    return next(_faults("", document, 0), None)


def _faults(field: str, value: Any, depth: int) -> Iterator[str]:
    place = (field or "it").lstrip(".")
    if depth > DEEPEST:
        yield f"{place} is nested more than {DEEPEST} deep"
    elif isinstance(value, str):
        if not value.isascii() and not _is_text(value):
            yield f"{place} is not valid text: it has half a character"
    elif isinstance(value, int | float):
        if not abs(value) <= sys.float_info.max:
            yield f"{place} is not a finite number of 64 bits"
    elif isinstance(value, dict):
        if keys := [key for key in value if not isinstance(key, str)]:
            yield f"{place} has the key {keys[0]!r}, which is no text"
        elif not all(map(_is_text, value)):
            yield f"{place} has a name that is not valid text: it has half a character"
        for key, x in value.items():
            yield from _faults(f"{field}.{key}"[:81], x, depth + 1)
    elif isinstance(value, list):
        for k, x in enumerate(value):
            yield from _faults(f"{field}[{k}]"[:81], x, depth + 1)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_countable(**counts: int | None) -> None:
    """Raises:
    UphillError: if one is negative, or more than can be counted; it names the field.
    """
    for field, count in counts.items():
        if count is not None and not 0 <= count <= MOST_COUNTED:
            raise UphillError(f"{field} is {count}: expected 0 to {MOST_COUNTED}.")


def check_episodes(episodes: int) -> None:
    """Raises:
    UphillError: if an evaluation can't have so many episodes.
    """
    if not 1 <= episodes <= MOST_EPISODES:
        most = f"at most {MOST_EPISODES:,}" if episodes > 1 else "at least 1"
        raise UphillError(f"episodes is {episodes}: use {most}.")


def check_names(**names: str | None) -> None:
    """Raises:
    UphillError: if one is longer than any name; it says which.
    """
    for field, name in names.items():
        if name is not None and len(name) > LONGEST_NAME:
            raise UphillError(
                f"{field} has {len(name):,} characters: expected at most {LONGEST_NAME:,}."
            )


def check_returns(**returns: float | None) -> None:
    """Raises:
    UphillError: if one is farther from 0 than any return; it names the field.
    """
    for field, value in returns.items():
        if value is not None and not abs(value) <= FARTHEST:
            raise UphillError(f"{field} is {value}: expected a return, at most {FARTHEST:g}.")


def check_encoding(encoding: Encoding, field: str = "encoding") -> None:
    """Raises:
    UphillError: if no observation can be encoded so; it names the field.
    """
    match encoding:
        case Numbers():
            _check_shape(encoding.shape, f"{field}.shape")
            if encoding.white < 1:
                raise UphillError(f"{field}.white is {encoding.white}: expected at least 1.")
            if encoding.is_image and not can_be_image(encoding.shape):
                raise UphillError(
                    f"{field}.is_image is true, and {field}.shape is {encoding.shape}: expected "
                    "two to four axes."
                )
        case OneHot():
            _check_choices(encoding, field)
        case Group(keys=keys, parts=parts):
            _check_keys(keys, parts, field)
            for k, part in enumerate(parts):
                check_encoding(part, f"{field}.parts[{k}]")
            _check_shape((sum(part.size for part in parts),), f"{field}.parts")


def check_action_kind(kind: ActionKind, field: str = "action_kind") -> None:
    """Raises:
    UphillError: if there are no such actions; it names the field.
    """
    if isinstance(kind, Composite):
        _check_keys(kind.keys, kind.parts, field)
        for k, part in enumerate(kind.parts):
            check_action_kind(part, f"{field}.parts[{k}]")
        _check_shape((kind.num_parameters,), f"{field}.parts")
        return
    kinds = {Choice: "iu", Choices: "iu", Bounded: "iuf"}.get(type(kind), "biu")
    try:
        is_known = np.dtype(kind.dtype).kind in kinds
    except (TypeError, ValueError, OverflowError):
        is_known = False
    if not is_known or not kind.dtype.isalnum():
        raise UphillError(f"{field}.dtype is {kind.dtype!r}: expected a type of numbers.")
    if isinstance(kind, Choice):
        _check_one(kind.size, kind.start, field)
        return
    _check_shape(kind.shape, f"{field}.shape")
    if isinstance(kind, Choices):
        _check_choices(kind, field)
    elif isinstance(kind, Bounded):
        _check_lengths({"low": kind.low, "high": kind.high}, kind.shape, field)
        if any(not low <= high for low, high in zip(kind.low, kind.high, strict=True)):
            raise UphillError(f"{field}.low is not below {field}.high.")
        if kind.family not in BOX_DISTRIBUTIONS:
            raise UphillError(
                f"{field}.family is {kind.family!r}: expected one of {', '.join(BOX_DISTRIBUTIONS)}"
                "."
            )


def _check_keys(keys: tuple[str, ...] | None, parts: tuple, field: str) -> None:
    if keys is not None and (len(keys) != len(parts) or len(set(keys)) != len(keys)):
        raise UphillError(f"{field}.keys are {len(keys)}, not one for each of its parts.")


def _check_choices(found: OneHot | Choices, field: str) -> None:
    _check_shape(found.shape, f"{field}.shape")
    _check_lengths({"sizes": found.sizes, "starts": found.starts}, found.shape, field)
    for size, start in zip(found.sizes, found.starts, strict=True):
        _check_one(size, start, field)
    _check_shape((sum(found.sizes),), f"{field}.sizes")


def _check_one(size: int, start: int, field: str) -> None:
    if not 1 <= size <= MOST_FEATURES:
        raise UphillError(f"{field} has {size} choices: expected 1 to {MOST_FEATURES}.")
    if not -(2**63) <= start <= 2**63 - size:
        raise UphillError(f"{field}.start is {start}: expected a whole number of 64 bits.")


def _check_lengths(found: Mapping[str, tuple], shape: tuple[int, ...], field: str) -> None:
    for name, values in found.items():
        if len(values) != prod(shape):
            raise UphillError(f"{field}.{name} are {len(values)}, and its shape is {shape}.")


def _check_shape(shape: tuple[int, ...], field: str) -> None:
    if not all(0 <= n <= MOST_FEATURES for n in shape) or prod(shape) > MOST_FEATURES:
        raise UphillError(
            f"{field} is {shape}: expected sizes that are together at most {MOST_FEATURES}."
        )


def check_sizes(
    algorithm: Algorithm,
    encoding: Encoding,
    action_kind: ActionKind,
    tensors: Mapping[str, np.ndarray],
    has_own_network: bool,
) -> None:
    """Raises:
    UphillError: if the networks or the environments would be larger than the file that they are
        read from; it names the field.
    """
    learned = sum(x.size for name, x in tensors.items() if name.startswith("learners."))
    for field, hidden in () if has_own_network else _hidden_layers(algorithm):
        first = 0 if images_in(encoding, any_of_three_axes=True) else encoding.size
        last = action_kind.num_parameters if field == "policy" else 1
        needed = sum(a * b for a, b in pairwise((first, *hidden, last)))
        if needed > max(learned, _UNCHECKED):
            raise UphillError(
                f"{field}.hidden is {list(hidden)}, for {encoding.size} numbers: the "
                f"checkpoint has {learned:,}, and these need {needed:,}."
            )
    has_envs = algorithm.normalize_rewards or any(name.startswith("lanes.") for name in tensors)
    most = max((x.size for x in tensors.values()), default=0)
    if has_envs and algorithm.sampling.num_envs > max(most, _UNCHECKED):
        raise UphillError(
            f"sampling.num_envs is {algorithm.sampling.num_envs}: the checkpoint has fewer "
            "environments."
        )


def _hidden_layers(part: Any, field: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    """The hidden layers that a composition asks for, with the places of their settings."""
    for name in (f.name for f in dataclasses.fields(part)):
        value, place = getattr(part, name), f"{field}.{name}".lstrip(".")
        if isinstance(value, NetworkSettings | PolicySettings):
            if value.hidden is not None and name not in getattr(part, "ignored", ()):
                yield place, value.hidden
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _hidden_layers(value, place)
