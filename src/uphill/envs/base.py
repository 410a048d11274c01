"""What an environment is, and what a compiled world is and may be.

`N` environments are behind two functions, with next-step autoreset (see `uphill.trajectory`).
"""

import re
from typing import Any, ClassVar, Protocol, runtime_checkable

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree, Shaped, UInt8

from uphill.trajectory import Array, Timestep


@runtime_checkable
class Environment(Protocol):
    """`N` environments that step together, inside a compiled program.

    The spaces are those of one environment.
    """

    @property
    def num_envs(self) -> int: ...

    @property
    def observation_space(self) -> gymnasium.Space: ...

    @property
    def action_space(self) -> gymnasium.Space: ...

    @property
    def max_episode_steps(self) -> int | None: ...

    @property
    def reward_threshold(self) -> float | None: ...

    def reset(self, key: Any) -> tuple[Any, PyTree]:
        """Reset every environment: the state, and the first observations."""
        ...

    def step(self, state: Any, action: Any) -> tuple[Any, Timestep]:
        """One step of every environment; those whose episode has ended reset instead."""
        ...


@runtime_checkable
class World(Protocol):
    """One environment as pure functions of its state; `jit` and `vmap` do the rest.

    A world implements no time limit, autoreset or batching: wrappers add these.
    """

    observation_space: ClassVar[gymnasium.Space]
    action_space: ClassVar[gymnasium.Space]

    @property
    def max_episode_steps(self) -> int: ...

    @property
    def reward_threshold(self) -> float | None: ...

    def initial(self, key: PRNGKeyArray) -> PyTree:
        """A random state to start an episode from."""
        ...

    def transition(self, state: PyTree, action: Array, key: PRNGKeyArray) -> PyTree:
        """The state after one step; the key is for whatever is random in it."""
        ...

    def observation(self, state: PyTree) -> PyTree:
        """What the agent sees of a state."""
        ...

    def reward(self, state: PyTree, action: Array, next_state: PyTree) -> Float[Array, ""]:
        """The reward of the step from `state` to `next_state`."""
        ...

    def terminated(self, state: PyTree) -> Bool[Array, ""]:
        """Whether the episode ends in this state; time limits don't belong here."""
        ...


@runtime_checkable
class Informative(Protocol):
    """Optional: further facts about a state that the agent does not observe."""

    def info(self, state: PyTree) -> dict[str, Shaped[Array, ""]]:
        """Numbers and flags by name."""
        ...


MILESTONE_NAME = re.compile("[a-z0-9_]{1,100}")
MOST_OWN_MILESTONES = 200


@runtime_checkable
class Eventful(Protocol):
    """Optional: milestones, moments of an episode that a film of the training shows.

    The metric `rollout/NAME` is the share of episodes that reached the milestone.
    """

    def milestones(self, state: PyTree) -> dict[str, Bool[Array, ""]]:
        """By name (of a-z, 0-9 and _, at most 100 of them), in order of difficulty: whether the
        episode has reached it. A world has at most 200."""
        ...


@runtime_checkable
class Pictured(Protocol):
    """Optional: pictures, from which films are made."""

    @property
    def fps(self) -> int:
        """Steps to show in a second."""
        ...

    def picture(self, state: PyTree[np.ndarray]) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of a state, as RGB."""
        ...


@runtime_checkable
class Configurable(Protocol):
    """Optional: keyword arguments."""

    arguments: ClassVar[tuple[str, ...]]

    def configured(self, **arguments: Any) -> World:
        """This world with other arguments.

        Raises:
            UphillError: if a value makes no sense.
        """
        ...
