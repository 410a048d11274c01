"""Actions: how many numbers a policy must output for one, which distribution they parametrise, and
which action the environment gets for a sampled one.

A compiled program uses 32-bit numbers (`to_environment`). Python environments, and callers of a
policy, get numbers of the action space's own type (`on_host`).

Like an `Encoding`, a kind of action is plain frozen data that a checkpoint holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, PyTree, Shaped

from uphill.errors import UphillError
from uphill.policies.bounded import Bounded
from uphill.policies.choices import Choice, Choices, Switches
from uphill.policies.encodings import MOST_FEATURES, dict_keys, whole_numbers
from uphill.theory.distributions import Distribution, Product, columns
from uphill.trajectory import Array
from uphill.words import abridged, is_typed, option


@dataclass(frozen=True)
class Composite:
    """A `Dict` or `Tuple` action: its parts, each chosen for itself. A sampled one has the numbers
    of all parts in one row."""

    keys: tuple[str, ...] | None
    parts: "tuple[Choice | Choices | Switches | Bounded | Composite, ...]"

    @property
    def num_parameters(self) -> int:
        return sum(part.num_parameters for part in self.parts)

    @property
    def num_log_std(self) -> int:
        return sum(part.num_log_std for part in self.parts)

    @property
    def width(self) -> int:
        return sum(max(part.width, 1) for part in self.parts)

    @property
    def is_finite(self) -> bool:
        return all(part.is_finite for part in self.parts)

    @property
    def can_clip(self) -> bool:
        return any(part.can_clip for part in self.parts)

    @property
    def log_scale(self) -> float:
        return sum(part.log_scale for part in self.parts)

    @property
    def vector_size(self) -> int:
        return sum(part.vector_size for part in self.parts)

    def assembled(self, of_parts: Sequence[Any]) -> dict[str, Any] | tuple[Any, ...]:
        """What belongs to the parts, in the structure of the action."""
        return tuple(of_parts) if self.keys is None else dict(zip(self.keys, of_parts, strict=True))

    def of_parts(self, action: Any) -> list[Any]:
        """The numbers of a sampled action that belong to each part."""
        split = columns(action, tuple(part.width for part in self.parts))
        pairs = zip(self.parts, split, strict=True)
        return [x.astype(np.int32) if part.is_finite else x for part, x in pairs]

    def distribution(
        self, parameters: Float[Array, "*batch P"], log_std: Float[Array, "..."] | None
    ) -> Distribution:
        widths = tuple(part.num_parameters for part in self.parts)
        given = columns(parameters, widths)
        stds: list[Any] = [None] * len(self.parts)
        if log_std is not None:
            ends = np.cumsum([part.num_log_std for part in self.parts])
            stds = jnp.split(jnp.asarray(log_std), ends[:-1].tolist(), -1)
        triples = zip(self.parts, given, stds, strict=True)
        parts = tuple(part.distribution(x, std) for part, x, std in triples)
        return Product(parts, tuple(part.width for part in self.parts))

    def vector(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch V"]:
        pairs = zip(self.parts, self.of_parts(action), strict=True)
        return jnp.concatenate([part.vector(x) for part, x in pairs], -1)

    def clipped(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """The fraction of the components that can be clipped, and are."""
        pairs = zip(self.parts, self.of_parts(action), strict=True)
        can_clip = [(part, x) for part, x in pairs if isinstance(part, Bounded | Composite)]
        of_each = [(part, x) for part, x in can_clip if part.can_clip]
        total = sum(part.num_log_std for part, _ in of_each)  # of a Gaussian, each component has σ
        shares = [part.clipped(x) * (part.num_log_std / total) for part, x in of_each]
        return jnp.stack(shares, -1).sum(-1)

    def to_environment(self, action: Shaped[Array, "*batch K"]) -> PyTree[Shaped[Array, "..."]]:
        pairs = zip(self.parts, self.of_parts(action), strict=True)
        return self.assembled([part.to_environment(x) for part, x in pairs])

    def on_host(self, action: np.ndarray, env_action: PyTree[np.ndarray]) -> PyTree:
        """As `Choice.on_host`, in the structure of the action."""
        given = env_action if self.keys is None else [env_action[key] for key in self.keys]
        triples = zip(self.parts, self.of_parts(action), given, strict=True)
        return self.assembled([part.on_host(x, env) for part, x, env in triples])

    def sampled(self, action: Any, lead: tuple[int, ...]) -> np.ndarray:
        """As `Choice.sampled`, of all parts.

        Raises:
            UphillError: if it has other parts, or one is none of the choices.
        """
        try:
            given = list(action) if self.keys is None else [action[key] for key in self.keys]
        except (LookupError, TypeError):
            given = []
        if len(given) != len(self.parts):
            raise UphillError(
                f"action does not have the parts {self.keys or len(self.parts)} of the "
                "environment's: give it as act returns it."
            )
        pairs = zip(self.parts, given, strict=True)
        rows = [(part, part.sampled(x, lead)) for part, x in pairs]
        wide = [row if part.width else row[..., None] for part, row in rows]
        return np.concatenate(wide, -1, dtype=np.int32 if self.is_finite else np.float32)


ActionKind = Choice | Choices | Switches | Bounded | Composite


def action_kind_of(
    space: gymnasium.Space,
    distribution: str = "gaussian",
    bounds: tuple[float, float] | None = None,
    is_clipped: bool = False,
) -> ActionKind:
    """What kind of action `space` asks for; `distribution` is the one over a Box, and `bounds` are
    those of a Box that has none (since `ClipAction` hides them, if it `is_clipped`).

    Raises:
        UphillError: for a space that is not supported or has no choice, a Box without finite
            bounds, or bounds that no Box needs.
    """
    if bounds is not None and not _is_boundless(space):
        raise UphillError(
            f"action_bounds is {bounds}: the action space {space} has bounds of its own, or needs "
            "none, so leave it out."
        )
    if _is_boundless(space) and bounds is None:
        raise UphillError(_boundless(space, is_clipped))
    kind = _kind_of(space, distribution, bounds)
    if kind.num_parameters > MOST_FEATURES:
        raise UphillError(
            f"The action space {abridged(space)} is {kind.num_parameters:,} numbers for a policy, "
            f"and it can give {MOST_FEATURES:,}: wrap the environment."
        )
    return kind


def is_for(kind: ActionKind, space: gymnasium.Space) -> bool:
    """Whether actions of this kind are those of `space`, however they are distributed, and whatever
    bounds were given to a Box without some."""
    match kind, space:
        case Composite(keys=None), spaces.Tuple():
            parts = tuple(space.spaces)
        case Composite(), spaces.Dict() if kind.keys == tuple(space.spaces):
            parts = tuple(space.values())
        case Bounded(), spaces.Box() if (kind.shape, kind.dtype) == (space.shape, space.dtype):
            ends = ((space.low, kind.low), (space.high, kind.high))
            pairs = [pair for x, y in ends for pair in zip(x.ravel().tolist(), y, strict=True)]
            return all(x == y or not np.isfinite(x) for x, y in pairs)
        case Composite(), _:
            return False
        case _, spaces.Box() | spaces.Dict() | spaces.Tuple():
            return False
        case _:
            return kind == _kind_of(space, "gaussian", None)
    return len(parts) == len(kind.parts) and all(map(is_for, kind.parts, parts))


def _kind_of(
    space: gymnasium.Space, distribution: str, bounds: tuple[float, float] | None
) -> ActionKind:
    if isinstance(space, spaces.Dict | spaces.Tuple) and len(space.spaces):
        keys = dict_keys(space, "action") if isinstance(space, spaces.Dict) else None
        parts = space.values() if isinstance(space, spaces.Dict) else space.spaces
        return Composite(keys, tuple(_kind_of(part, distribution, bounds) for part in parts))
    if 0 in (space.shape or ()) or isinstance(space, spaces.Dict | spaces.Tuple):
        raise UphillError(
            f"The action space {space} has no numbers: give a policy something to choose, even if "
            "it is Discrete(1)."
        )
    dtype = np.dtype(space.dtype).name if space.dtype is not None else ""
    match space:
        case spaces.Discrete():
            return Choice(int(space.n), int(space.start), dtype)
        case spaces.MultiDiscrete():
            return Choices(
                whole_numbers(space.nvec), whole_numbers(space.start), tuple(space.shape), dtype
            )
        case spaces.MultiBinary():
            return Switches(tuple(space.shape), dtype)
        case spaces.Box() if dtype == "bool":
            raise UphillError(
                f"The action space {space} is of yes or no: use MultiBinary({list(space.shape)})."
            )
        case spaces.Box():
            low, high = (x.ravel().tolist() for x in _ends(space, bounds))
            return Bounded(tuple(low), tuple(high), tuple(space.shape), dtype, distribution)
    raise UphillError(
        f"The action space {space} is not supported: use Discrete, MultiDiscrete, MultiBinary, "
        "Box with finite bounds, or a Dict or Tuple of these."
    )


def _ends(space: spaces.Box, bounds: tuple[float, float] | None) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a Box, with the bounds where they are infinite.

    Raises:
        UphillError: if that turns it around, or they are infinite in the numbers of the Box.
    """
    if bounds is None:
        return space.low, space.high
    are_given = [~np.isfinite(x) for x in (space.low, space.high)]
    with np.errstate(over="ignore"):
        low, high = (
            np.where(is_given, bound, x).astype(space.dtype)
            for is_given, bound, x in zip(are_given, bounds, (space.low, space.high), strict=True)
        )
    wrong = (are_given[0] | are_given[1]) & ~((low < high) & np.isfinite(low) & np.isfinite(high))
    if wrong.any():
        found = (low[wrong].tolist()[0], high[wrong].tolist()[0])
        raise UphillError(
            f"action_bounds is {bounds}: with them an action of {space} would go from {found[0]} "
            f"to {found[1]}, so give finite ones on the right side of the ends that it has."
        )
    return low, high


def components(space: gymnasium.Space) -> Iterator[gymnasium.Space]:
    """What a Dict or a Tuple is made of, however it is nested; a space itself that is neither."""
    match space:
        case spaces.Dict():
            children = space.values()
        case spaces.Tuple():
            children = space.spaces
        case _:
            yield space
            return
    for child in children:
        yield from components(child)


def _is_boundless(space: gymnasium.Space) -> bool:
    boxes = [part for part in components(space) if isinstance(part, spaces.Box)]
    return not all(np.isfinite([box.low, box.high]).all() for box in boxes)


def _boundless(space: gymnasium.Space, is_clipped: bool) -> str:
    """What to do about a Box without bounds."""
    if is_clipped:
        return (
            f"The action space {space} has infinite bounds, since ClipAction hides those of the "
            "environment: leave ClipAction out, for actions are scaled and clipped to them anyway."
        )
    bounds = "-1 1" if is_typed() else (-1, 1)
    return (
        f"The action space {space} has infinite bounds: give some, as in "
        f"{option('policy.action_bounds', bounds)}, or declare finite ones."
    )
