"""A trained policy: NumPy in, NumPy out. Knows nothing of learning, and needs no environment."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from uphill.errors import UphillError
from uphill.policies.actions import Choice
from uphill.policies.actor import Actor
from uphill.policies.encodings import Encoding, Group, batch_shape, narrowed
from uphill.trajectory import Array


class TrainedPolicy:
    """A policy that acts: NumPy in, NumPy out, ready for `env.step`. Needs no environment."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._generator = np.random.default_rng()

    def __repr__(self) -> str:
        size, kind = self.actor.encoding.size, self.actor.policy.action_kind
        return f"TrainedPolicy({size} features → {type(kind).__name__} of {kind.vector_size})"

    def act(self, observation: PyTree, sample: bool = False, seed: int | None = None) -> Any:
        """The action for one observation, or for several stacked along leading axes.

        The distribution's mode, or with `sample=True` a sample; `seed` makes it repeatable. Lists
        of numbers are welcome as arrays are.

        Raises:
            UphillError: if the observation has not the structure and shape of the environment's, or
                holds what can't be one of it.
        """
        try:
            observation = _arrays(self.actor.encoding, observation)
        except UphillError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise UphillError(
                "The observation is not numbers in the structure of the environment's space "
                f"({error}): give it as the environment returns it."
            ) from error
        batch_shape(self.actor.encoding, observation)
        observation = narrowed(self.actor.encoding, observation)
        if not sample:
            actions = _mode(self.actor, observation)
        else:
            seed = int(self._generator.integers(2**31)) if seed is None else seed
            actions = _sample(self.actor, observation, jax.random.key(seed))
        kind = self.actor.policy.action_kind
        action = kind.on_host(*map(np.asarray, actions))
        # A single choice is a number, not an array: environments look things up by it.
        return action[()] if isinstance(kind, Choice) else action


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
        raise LookupError(f"it has {', '.join(sorted(map(str, surplus)))} besides")
    children = zip(encoding.parts, encoding.children(observation), strict=True)
    arrays = tuple(_arrays(part, child) for part, child in children)
    return arrays if encoding.keys is None else dict(zip(encoding.keys, arrays, strict=True))


# One for all policies: those of one kind share what is compiled.
@jax.jit
def _mode(actor: Actor, observation: PyTree) -> tuple[Array, Array]:
    action = actor(observation).mode()
    return action, actor.policy.action_kind.to_environment(action)


@jax.jit
def _sample(actor: Actor, observation: PyTree, key: PRNGKeyArray) -> tuple[Array, Array]:
    action, _, env_action = actor.act(observation, key)
    return action, env_action
