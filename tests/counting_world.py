"""A compiled world whose observation says which episode it is and which step."""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np


class State(eqx.Module):
    tag: jax.Array
    t: jax.Array
    length: jax.Array


@dataclass(frozen=True)
class CountingWorld:
    """The observation is (tag of the episode, t), the tag negative at a termination.

    Action 1 ends the episode, and so does its length, drawn uniformly from 1 to `longest`.
    """

    max_episode_steps: int | None = 4
    reward_threshold: float | None = None
    longest: int | None = None
    observation_space: ClassVar = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space: ClassVar = gymnasium.spaces.Discrete(2)

    def initial(self, key):
        key_tag, key_length = jax.random.split(key)
        longest = self.longest
        length = 0 if longest is None else jax.random.randint(key_length, (), 1, longest + 1)
        return State(jax.random.uniform(key_tag, minval=0.1), jnp.float32(0), jnp.int32(length))

    def transition(self, state, action, key):
        t = state.t + 1
        ends = (action == 1) | (t == state.length)
        return State(jnp.where(ends, -state.tag, state.tag), t, state.length)

    def observation(self, state):
        return jnp.stack([state.tag, state.t])

    def reward(self, state, action, next_state):
        return next_state.t * 10.0

    def terminated(self, state):
        return state.tag < 0
