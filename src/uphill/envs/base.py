"""The environment protocol, and the wrapper that makes a batch of a compiled world.

`N` environments behind two functions, with next-step autoreset (see `uphill.trajectory`).
"""

from typing import Any, ClassVar, Protocol, runtime_checkable

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped, UInt8

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


@runtime_checkable
class Eventful(Protocol):
    """Optional: milestones, moments of an episode that a film of the training shows.

    The metric `rollout/NAME` is the share of episodes that reached the milestone.
    """

    def milestones(self, state: PyTree) -> dict[str, Bool[Array, ""]]:
        """By name (of a-z, 0-9 and _), in order of difficulty: whether the episode has reached
        it."""
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


class BatchState(eqx.Module):
    """The state of `N` copies of a world, and all that autoreset needs to know."""

    world: PyTree[Shaped[Array, "N ..."]]
    elapsed: Int[Array, " N"]
    ended: Bool[Array, " N"]
    key: PRNGKeyArray


class CompiledEnvironment(eqx.Module):
    """`N` copies of a compiled world, with its time limit and next-step autoreset."""

    world: World = eqx.field(static=True)
    num_envs: int = eqx.field(static=True)
    time_limit: int | None = eqx.field(static=True, default=None)
    """in place of the world's own"""

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.world.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.world.action_space

    @property
    def max_episode_steps(self) -> int:
        return self.time_limit or self.world.max_episode_steps

    @property
    def reward_threshold(self) -> float | None:
        return self.world.reward_threshold

    def reset(self, key: PRNGKeyArray) -> tuple[BatchState, PyTree]:
        key, key_initial = jax.random.split(key)
        world = jax.vmap(self.world.initial)(jax.random.split(key_initial, self.num_envs))
        elapsed = jnp.zeros(self.num_envs, jnp.int32)
        state = BatchState(world, elapsed, jnp.zeros(self.num_envs, bool), key)
        return state, jax.vmap(self.world.observation)(world)

    def step(self, state: BatchState, action: PyTree) -> tuple[BatchState, Timestep]:
        key, key_initial, key_transition = jax.random.split(state.key, 3)
        keys = jax.random.split(key_transition, self.num_envs)
        moved = jax.vmap(self.world.transition)(state.world, action, keys)
        reward = jax.vmap(self.world.reward)(state.world, action, moved)
        world = self._reset_where(state.ended, moved, key_initial)
        elapsed = jnp.where(state.ended, 0, state.elapsed + 1)
        terminated = jax.vmap(self.world.terminated)(moved) & ~state.ended
        truncated = (elapsed >= self.max_episode_steps) & ~state.ended
        timestep = Timestep(
            jax.vmap(self.world.observation)(world),
            jnp.where(state.ended, 0.0, reward),
            terminated,
            truncated,
        )
        return BatchState(world, elapsed, terminated | truncated, key), timestep

    def milestones(self, state: BatchState) -> dict[str, Bool[Array, " N"]]:
        """The milestones that the episodes of `state` have reached; empty if the world has none."""
        if not isinstance(self.world, Eventful):
            return {}
        return jax.vmap(self.world.milestones)(state.world)

    def _reset_where(self, ended: Bool[Array, " N"], moved: PyTree, key: PRNGKeyArray) -> PyTree:
        """`moved`, but a fresh state where an episode has ended."""

        def reset() -> PyTree:
            fresh = jax.vmap(self.world.initial)(jax.random.split(key, self.num_envs))
            return jax.tree.map(lambda new, old: select_lanes(ended, new, old), fresh, moved)

        # Most steps end no episode: skipping the random initial states saves a third of the time
        # with few environments, and costs nothing with many.
        return lax.cond(ended.any(), reset, lambda: moved)


def select_lanes(
    condition: Bool[Array, " N"], yes: Shaped[Array, "N ..."], no: Shaped[Array, "N ..."]
) -> Shaped[Array, "N ..."]:
    """`where`, with the condition along the leading axis."""
    return jax.vmap(jnp.where)(condition, yes, no)
