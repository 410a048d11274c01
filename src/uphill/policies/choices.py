"""Discrete actions: one of several choices, several choices at once, yes or no."""

from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from uphill.errors import UphillError
from uphill.theory.distributions import Bernoulli, Categorical, Distribution, MultiCategorical
from uphill.trajectory import Array, narrow


class _Finite:
    """The base of all kinds with finitely many actions: nothing is scaled, nothing clipped."""

    @property
    def num_log_std(self) -> int:
        """How many σ the distribution has beside the network's numbers."""
        return 0

    @property
    def is_finite(self) -> bool:
        """Whether there are finitely many actions."""
        return True

    @property
    def can_clip(self) -> bool:
        """Whether the environment may be given another action than the one sampled."""
        return False

    @property
    def log_scale(self) -> float:
        """log of the environment's units that are one unit of a sample: of a density's."""
        return 0.0


@dataclass(frozen=True)
class Choice(_Finite):
    """A `Discrete` action."""

    size: int
    start: int
    dtype: str

    @property
    def num_parameters(self) -> int:
        return self.size

    @property
    def width(self) -> int:
        """The numbers of a sampled action; 0 for one without an axis."""
        return 0

    @property
    def vector_size(self) -> int:
        return self.size

    def vector(self, action: Shaped[Array, "*batch"]) -> Float[Array, "*batch V"]:
        """The action as a network sees it."""
        return jax.nn.one_hot(action, self.size, dtype=jnp.float32)

    def distribution(self, parameters: Float[Array, "*batch P"], _: Any) -> Distribution:
        return Categorical(parameters)

    def to_environment(self, action: Shaped[Array, "*batch"]) -> Shaped[Array, "*batch"]:
        return (action + _wrapped(self.start)).astype(narrow(self.dtype))

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray | np.integer:
        """The action as the environment gets it; `env_action` is what a compiled program gives. A
        single choice is a number, not an array: environments look things up by it."""
        return np.asarray(action + np.int64(self.start), self.dtype)[()]

    def sampled(self, action: Any, lead: tuple[int, ...]) -> np.ndarray:
        """The choice that an environment's action is; `lead` are the axes of the batch.

        Raises:
            UphillError: if it is none of them.
        """
        return _counted(action, lead, (), (self.start,), (self.size,))


@dataclass(frozen=True)
class Choices(_Finite):
    """A `MultiDiscrete` action: several choices at once."""

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_parameters(self) -> int:
        return sum(self.sizes)

    @property
    def width(self) -> int:
        return len(self.sizes)

    @property
    def vector_size(self) -> int:
        return sum(self.sizes)

    def vector(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch V"]:
        parts = enumerate(self.sizes)
        vectors = [jax.nn.one_hot(action[..., k], size, dtype=jnp.float32) for k, size in parts]
        return jnp.concatenate(vectors, -1)

    def distribution(self, parameters: Float[Array, "*batch P"], _: Any) -> Distribution:
        return MultiCategorical(parameters, self.sizes)

    def to_environment(self, action: Shaped[Array, "*batch K"]) -> Shaped[Array, "..."]:
        action = action + jnp.broadcast_to(_wrapped(self.starts), action.shape)
        return action.reshape(*action.shape[:-1], *self.shape).astype(narrow(self.dtype))

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray:
        chosen = action + np.asarray(self.starts, np.int64)
        return chosen.reshape(env_action.shape).astype(self.dtype)

    def sampled(self, action: Any, lead: tuple[int, ...]) -> np.ndarray:
        """`Choice.sampled`, of several."""
        return _counted(action, lead, self.shape, self.starts, self.sizes)


@dataclass(frozen=True)
class Switches(_Finite):
    """A `MultiBinary` action: several yes-or-no choices at once."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def num_parameters(self) -> int:
        return prod(self.shape)

    @property
    def width(self) -> int:
        return prod(self.shape)

    @property
    def vector_size(self) -> int:
        return prod(self.shape)

    def vector(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch V"]:
        return action.astype(jnp.float32)

    def distribution(self, parameters: Float[Array, "*batch P"], _: Any) -> Distribution:
        return Bernoulli(parameters)

    def to_environment(self, action: Shaped[Array, "*batch K"]) -> Shaped[Array, "..."]:
        return action.reshape(*action.shape[:-1], *self.shape).astype(narrow(self.dtype))

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray:
        return env_action.astype(self.dtype)

    def sampled(self, action: Any, lead: tuple[int, ...]) -> np.ndarray:
        """`Choice.sampled`, of yes or no."""
        n = self.num_parameters
        return _counted(action, lead, self.shape, (0,) * n, (2,) * n)


def flat_action(action: Any, lead: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """An action with one axis for its components, after those of a batch, `lead`.

    Raises:
        UphillError: if it has another shape.
    """
    action = np.asarray(action)
    if action.dtype.kind not in "biuf" or action.shape != (*lead, *shape):
        several = f", and the observations come in {lead}" if lead else ""
        raise UphillError(
            f"action has shape {action.shape}, and the environment's has {shape}{several}: give "
            "one action for each observation, in the numbers that act returns."
        )
    return action.reshape(*lead, prod(shape))


def _counted(
    action: Any,
    lead: tuple[int, ...],
    shape: tuple[int, ...],
    starts: tuple[int, ...],
    sizes: tuple[int, ...],
) -> np.ndarray:
    """Choices, counted from 0.

    Raises:
        UphillError: if one is none of the choices that there are.
    """
    chosen = flat_action(action, lead, shape) - np.asarray(starts, np.int64)
    is_one = (chosen >= 0) & (chosen < np.asarray(sizes)) & (chosen == np.floor(chosen))
    if not is_one.all():
        raise UphillError(
            f"action is {np.asarray(action).tolist()}, which is no choice of the environment's: "
            "give actions as act returns them."
        )
    chosen = chosen.astype(np.int32)
    return chosen if shape else chosen[..., 0]


def _wrapped(x: int | tuple[int, ...]) -> np.ndarray:
    """In 32 bits, right or not: what has more is made on the host."""
    return np.asarray(x, np.int64).astype(np.int32)
