"""A world whose reward is for doing what is seen, with any action space."""

from dataclasses import dataclass

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from uphill.trajectory import narrow

SPACES = {
    "discrete": gymnasium.spaces.Discrete(3, start=5),
    "multi-discrete": gymnasium.spaces.MultiDiscrete([2, 3], start=[7, -1]),
    "multi-binary": gymnasium.spaces.MultiBinary(3),
    "box": gymnasium.spaces.Box(np.float32([-1, 0]), np.float32([3, 2])),
}


class Goal(eqx.Module):
    goal: jax.Array
    is_over: jax.Array


@dataclass(frozen=True)
class Identity:
    """One step: reward 1 for each part of the action that is as observed; for a `Box`, less the
    squared distance in units of its width.

    An action outside the space earns NaN, and one of another shape or type raises.
    """

    name: str
    max_episode_steps: int = 2
    reward_threshold: float | None = None

    @property
    def action_space(self):
        return SPACES[self.name]

    @property
    def observation_space(self):
        return SPACES[self.name]

    def initial(self, key):
        goals = jnp.asarray(goals_of(self.name))
        return Goal(jax.random.choice(key, goals), jnp.bool_(False))

    def transition(self, state, action, key):
        return Goal(state.goal, jnp.bool_(True))

    def observation(self, state):
        return state.goal

    def reward(self, state, action, next_state):
        space = self.action_space
        assert action.shape == space.shape
        assert action.dtype == narrow(space.dtype)
        low, high = bounds(space)
        is_inside = ((action >= low) & (action <= high)).all()
        return jnp.where(is_inside, self._earned(state.goal, action), jnp.nan)

    def _earned(self, goal, action):
        if self.name != "box":
            return (action == goal).mean(dtype=jnp.float32)
        low, high = bounds(self.action_space)
        return 1 - (((action - goal) / (high - low)) ** 2).mean()

    def terminated(self, state):
        return state.is_over


def bounds(space):
    match space:
        case gymnasium.spaces.Box():
            return space.low, space.high
        case gymnasium.spaces.MultiBinary():
            return np.zeros(space.shape), np.ones(space.shape)
        case gymnasium.spaces.MultiDiscrete():
            return space.start, space.start + space.nvec - 1
    return np.asarray(space.start), np.asarray(space.start + space.n - 1)


def goals_of(name):
    """Every goal: all that the space holds, or a quarter and three quarters of a `Box`'s width."""
    low, high = bounds(SPACES[name])
    if name == "box":
        quarter = (high - low) / 4
        axes = [(a, b) for a, b in zip(low + quarter, high - quarter, strict=True)]
    else:
        axes = [np.arange(a, b + 1) for a, b in zip(np.ravel(low), np.ravel(high), strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return grid.reshape(-1, *SPACES[name].shape).astype(narrow(SPACES[name].dtype))
