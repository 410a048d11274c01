"""Many compiled worlds that step together, as parts of a compiled program."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Int, PRNGKeyArray, PyTree, Shaped

from uphill.devices import environments_are_divided
from uphill.envs.base import Eventful, World
from uphill.trajectory import Array, Timestep


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
        # with few environments, and costs nothing with many. Several devices would have to wait for
        # each other to know.
        return (
            reset() if environments_are_divided() else lax.cond(ended.any(), reset, lambda: moved)
        )


def select_lanes(
    condition: Bool[Array, " N"], yes: Shaped[Array, "N ..."], no: Shaped[Array, "N ..."]
) -> Shaped[Array, "N ..."]:
    """`where`, with the condition along the leading axis."""
    return jax.vmap(jnp.where)(condition, yes, no)
