"""Tiny worlds whose answers are known."""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np


class Clock(eqx.Module):
    time: object


@dataclass(frozen=True)
class Endless:
    """Reward 1 at every step, always the same observation; ends only by its time limit, or, with
    `terminates`, at the very step of the time limit too."""

    max_episode_steps: int = 10
    terminates: bool = False
    reward_threshold: float | None = None
    bad_reward_at: int = -1
    bad_observation_at: int = -1

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -np.ones(1, np.float32), np.ones(1, np.float32)
    )
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Discrete(2)

    def initial(self, key):
        return Clock(jnp.zeros((), jnp.int32))

    def transition(self, state, action, key):
        return Clock(state.time + 1)

    def observation(self, state):
        return jnp.where(state.time == self.bad_observation_at, jnp.inf, jnp.ones(1))

    def reward(self, state, action, next_state):
        return jnp.where(next_state.time == self.bad_reward_at, jnp.nan, 1.0)

    def terminated(self, state):
        return (state.time >= self.max_episode_steps) & self.terminates


@dataclass(frozen=True)
class Target:
    """One step: reward −(a − goal)², with the observation as the goal. Actions in [−2, 6]."""

    max_episode_steps: int = 1
    reward_threshold: float | None = None

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -np.ones(1, np.float32), np.ones(1, np.float32)
    )
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        np.full(1, -2, np.float32), np.full(1, 6, np.float32)
    )

    def initial(self, key):
        return Clock(jnp.zeros((), jnp.int32))

    def transition(self, state, action, key):
        return Clock(state.time + 1)

    def observation(self, state):
        return jnp.ones(1)

    def reward(self, state, action, next_state):
        return -((action[0] - 4.0) ** 2)

    def terminated(self, state):
        return state.time >= 1
