"""MountainCar: drive out of a valley with an engine too weak to climb, by swinging to and fro.

Gymnasium's dynamics, step by step to float32 accuracy, with three actions or with a continuous one.
Positions are such that the valley's height is sin 3x.

Reference: Moore (1990), Efficient memory-based learning for robot control
"""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from uphill.envs.worlds.trigonometry import sin_cos
from uphill.trajectory import Array

GRAVITY = 0.0025
FORCE = 0.001
CONTINUOUS_FORCE = 0.0015
VELOCITY_LIMIT = 0.07
WALL = -1.2
END = 0.6
GOAL = 0.5
CONTINUOUS_GOAL = 0.45


class State(eqx.Module):
    """The car."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]


@dataclass(frozen=True)
class _Car:
    """What both worlds share."""

    max_episode_steps: int
    reward_threshold: float | None

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        np.array([WALL, -VELOCITY_LIMIT], np.float32), np.array([END, VELOCITY_LIMIT], np.float32)
    )

    def initial(self, key: PRNGKeyArray) -> State:
        """At rest near the bottom."""
        position = jax.random.uniform(key, minval=-0.6, maxval=-0.4)
        return State(position, jnp.zeros_like(position))

    def observation(self, state: State) -> Float[Array, "2"]:
        """Position and velocity."""
        return jnp.stack([state.position, state.velocity])


@dataclass(frozen=True)
class MountainCar(_Car):
    """MountainCar-v0: push left, do nothing, push right."""

    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Discrete(3)

    def transition(self, state: State, action: Int[Array, ""], key: PRNGKeyArray) -> State:
        """One Euler step; the position moves with the new velocity."""
        return _driven(state, (action - 1) * FORCE)

    def reward(self, state: State, action: Int[Array, ""], next_state: State) -> Float[Array, ""]:
        """−1 for every step, the last one included."""
        return -jnp.ones_like(next_state.position)

    def terminated(self, state: State) -> Bool[Array, ""]:
        """The car is at the goal and does not roll back."""
        return (state.position >= GOAL) & (state.velocity >= 0)


@dataclass(frozen=True)
class MountainCarContinuous(_Car):
    """MountainCarContinuous-v0: an engine of −1 to 1, half as strong again, that costs its use."""

    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def transition(self, state: State, action: Float[Array, "1"], key: PRNGKeyArray) -> State:
        """One Euler step; the position moves with the new velocity."""
        return _driven(state, jnp.clip(action[0], -1.0, 1.0) * CONTINUOUS_FORCE)

    def reward(
        self, state: State, action: Float[Array, "1"], next_state: State
    ) -> Float[Array, ""]:
        """100 at the goal, less action²/10; as in Gymnasium, that is the action before clipping."""
        return jnp.where(self.terminated(next_state), 100.0, 0.0) - 0.1 * action[0] ** 2

    def terminated(self, state: State) -> Bool[Array, ""]:
        """The car is at the goal, a little lower than MountainCar-v0's, and does not roll back."""
        return (state.position >= CONTINUOUS_GOAL) & (state.velocity >= 0)


def _driven(state: State, force: Float[Array, ""]) -> State:
    _, slope = sin_cos(3 * state.position)
    velocity = state.velocity + force - GRAVITY * slope
    velocity = jnp.clip(velocity, -VELOCITY_LIMIT, VELOCITY_LIMIT)
    position = jnp.clip(state.position + velocity, WALL, END)
    # The wall on the left stops the car; the end on the right lets it keep its velocity.
    is_stopped = (position <= WALL) & (velocity < 0)
    return State(position, jnp.where(is_stopped, 0.0, velocity))
