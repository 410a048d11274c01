"""A trained policy: NumPy in, NumPy out. It knows nothing of learning, and needs no environment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from uphill.errors import UphillError
from uphill.policies.actions import ActionKind, Composite
from uphill.policies.actor import Actor
from uphill.policies.bounded import Bounded
from uphill.policies.choices import Switches
from uphill.policies.encodings import Encoding, Group, batch_shape, narrowed
from uphill.theory.continuous import Beta, DiagonalGaussian, TanhGaussian
from uphill.theory.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    MultiCategorical,
    Product,
)
from uphill.trajectory import Array

ValueOf = Callable[[Actor, PyTree], Array]
"""V of observations: a pytree, for `jax.jit` (`jax.tree_util.Partial`)"""


@dataclass(frozen=True)
class ActionDistribution:
    """π(a|s) in numbers. Leading axes are those of the observations."""

    probabilities: np.ndarray | tuple[np.ndarray, ...] | None = None
    """Discrete: of each action, [*batch, A]; MultiDiscrete: such an array for each component;
    MultiBinary: that a component is 1, [*batch, *shape]; None for a Box"""
    mean: np.ndarray | None = None
    """Box: the mean of the action in the environment's units, [*batch, *shape]; of a Gaussian
    before it is clipped to the bounds. None for others"""
    std: np.ndarray | None = None
    """Box: its standard deviation"""
    parts: "dict[str, ActionDistribution] | tuple[ActionDistribution, ...] | None" = None
    """Dict or Tuple: the distribution of each part, which all are chosen independently"""


class TrainedPolicy:
    """A policy that acts: NumPy in, NumPy out, ready for `env.step`. Needs no environment.

    Each method takes one observation, or several stacked along leading axes: whatever axes an
    observation has before those of the environment's space are a batch. What it returns has the
    same leading axes. `value_of` is V, if one was learned.
    """

    def __init__(self, actor: Actor, value_of: ValueOf | None = None) -> None:
        self.actor, self._value_of = actor, value_of
        self._generator = np.random.default_rng()

    def __repr__(self) -> str:
        size, kind = self.actor.encoding.size, self.actor.policy.action_kind
        return f"TrainedPolicy({size} features → {type(kind).__name__} of {kind.vector_size})"

    def act(self, observation: PyTree, sample: bool = False, seed: int | None = None) -> Any:
        """The action for one observation, or for several stacked along leading axes.

        The distribution's mode, or with `sample=True` a sample; `seed` makes it repeatable. Lists
        of numbers are accepted like arrays.

        Raises:
            UphillError: if the observation does not have the structure and shape of the
            environment's, or holds an invalid value.
        """
        observation, _ = self._read(observation)
        if not sample:
            actions = _mode(self.actor, observation)
        else:
            seed = int(self._generator.integers(2**31)) if seed is None else seed
            is_whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
            if not is_whole or not 0 <= seed < 2**32:
                raise UphillError(
                    f"seed is {seed!r}: use a whole number from 0 to {2**32 - 1}, or None."
                )
            actions = _sample(self.actor, observation, jax.random.key(seed))
        kind = self.actor.policy.action_kind
        return kind.on_host(*jax.tree.map(np.asarray, actions))

    def distribution(self, observation: PyTree) -> ActionDistribution:
        """π(a|s): probabilities, or mean and standard deviation.

        Raises:
            UphillError: as `act` does.
        """
        observation, lead = self._read(observation)
        found = _distribution(self.actor, observation)
        return _in_numbers(found, self.actor.policy.action_kind, lead)

    def log_prob(self, observation: PyTree, action: Any) -> np.ndarray | np.floating:
        """log π(a|s) of actions as `act` returns them, one for each observation.

        Of a Box it is a density, in the environment's units. At a bound, where a Gaussian's samples
        are clipped to, it is the Gaussian's density there, not that of all that lies beyond.

        Raises:
            UphillError: as `act` does, or if an action is none of the environment's.
        """
        observation, lead = self._read(observation)
        kind = self.actor.policy.action_kind
        log_prob = _log_prob(self.actor, observation, kind.sampled(action, lead))
        return np.asarray(log_prob, np.float64)[()] - kind.log_scale

    def value(self, observation: PyTree) -> np.ndarray | np.floating:
        """V(s): the expected discounted return, in the units of the rewards.

        Raises:
            UphillError: as `act` does, or if nothing has learned V.
        """
        if self._value_of is None:
            raise UphillError(
                "This policy has no V(s), since its baseline did not learn one: train with "
                "baseline=ValueFunction()."
            )
        observation, _ = self._read(observation)
        return np.asarray(_value(self._value_of, self.actor, observation))[()]

    def _read(self, observation: PyTree) -> tuple[PyTree, tuple[int, ...]]:
        """Observations as a compiled program takes them, and their leading axes."""
        encoding = self.actor.encoding
        try:
            observation = _arrays(encoding, observation)
        except UphillError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise UphillError(
                "The observation is not numbers in the structure of the environment's space "
                f"({error}): give it as the environment returns it."
            ) from error
        lead = batch_shape(encoding, observation)
        return narrowed(encoding, observation), lead


def _in_numbers(found: Distribution, kind: ActionKind, lead: tuple[int, ...]) -> ActionDistribution:
    """A distribution over actions of a kind, for observations with these leading axes."""
    match found:
        case Categorical():
            return ActionDistribution(np.asarray(found.probabilities()))
        case MultiCategorical():
            return ActionDistribution(tuple(map(np.asarray, found.probabilities())))
        case Bernoulli():
            assert isinstance(kind, Switches)
            each = np.asarray(found.probabilities())
            return ActionDistribution(each.reshape(*lead, *kind.shape))
        case Product():
            assert isinstance(kind, Composite)
            pairs = zip(found.parts, kind.parts, strict=True)
            return ActionDistribution(
                parts=kind.assembled([_in_numbers(*pair, lead) for pair in pairs])
            )
    assert isinstance(kind, Bounded)
    assert isinstance(found, DiagonalGaussian | TanhGaussian | Beta)
    mean, std = (np.asarray(x, np.float64) for x in found.moments())
    if isinstance(found, Beta):  # from (0, 1) to [−1, 1]
        mean, std = 2 * mean - 1, 2 * std
    middle = 0.5 * np.asarray(kind.low, np.float64) + 0.5 * np.asarray(kind.high, np.float64)
    shape = (*lead, *kind.shape)
    mean, std = middle + kind.half_range * mean, kind.half_range * std
    return ActionDistribution(None, mean.reshape(shape), std.reshape(shape))


def _arrays(encoding: Encoding, observation: Any) -> PyTree[np.ndarray]:
    """An observation whose leaves are arrays of numbers; a list is one where the space has a leaf.

    Raises:
        LookupError, TypeError or ValueError: if it has another structure.
        UphillError: if a number can't be one of the space's.
    """
    if not isinstance(encoding, Group):
        array = np.asarray(observation)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{type(observation).__name__} where numbers should be")
        return encoding.checked(array)
    known = {*(encoding.keys or ()), *encoding.ignored}
    if encoding.keys is not None and (surplus := set(observation) - known):
        raise LookupError(f"it also has {', '.join(sorted(map(str, surplus)))}")
    children = zip(encoding.parts, encoding.children(observation), strict=True)
    arrays = tuple(_arrays(part, child) for part, child in children)
    return arrays if encoding.keys is None else dict(zip(encoding.keys, arrays, strict=True))


# One for all policies: those of one kind share what is compiled.
@jax.jit
def _mode(actor: Actor, observation: PyTree) -> tuple[Array, PyTree]:
    action = actor(observation).mode()
    return action, actor.policy.action_kind.to_environment(action)


@jax.jit
def _sample(actor: Actor, observation: PyTree, key: PRNGKeyArray) -> tuple[Array, PyTree]:
    action, _, env_action = actor.act(observation, key)
    return action, env_action


@jax.jit
def _distribution(actor: Actor, observation: PyTree) -> Distribution:
    return actor(observation)


@jax.jit
def _log_prob(actor: Actor, observation: PyTree, action: Array) -> Array:
    return actor(observation).log_prob(action)


@jax.jit
def _value(value_of: ValueOf, actor: Actor, observation: PyTree) -> Array:
    return value_of(actor, observation)
