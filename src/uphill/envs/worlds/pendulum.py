"""Pendulum: swing a pendulum up, and hold it there, by a torque too weak to lift it at once.

Gymnasium's dynamics, step by step to float32 accuracy.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from uphill.envs.worlds.trigonometry import sin_cos
from uphill.trajectory import Array

GRAVITY = 10.0  # m/s²
MASS = 1.0  # kg
LENGTH = 1.0  # m
TORQUE_LIMIT = 2.0  # N m
VELOCITY_LIMIT = 8.0  # rad/s
TIME_STEP = 0.05  # s


class State(eqx.Module):
    """The pendulum, a rod; the angle is 0 when it is upright, and counts whole turns."""

    angle: Float[Array, ""]  # rad
    velocity: Float[Array, ""]  # rad/s


@dataclass(frozen=True)
class Pendulum:
    """Pendulum-v1; nothing ends an episode but the time limit."""

    max_episode_steps: int
    reward_threshold: float | None = None

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -np.array([1, 1, VELOCITY_LIMIT], np.float32), np.array([1, 1, VELOCITY_LIMIT], np.float32)
    )
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -TORQUE_LIMIT, TORQUE_LIMIT, (1,)
    )

    def initial(self, key: PRNGKeyArray) -> State:
        """Any angle, and a velocity within ±1."""
        angle, velocity = jax.random.uniform(key, (2,), minval=-1.0)
        return State(math.pi * angle, velocity)

    def transition(self, state: State, action: Float[Array, "1"], key: PRNGKeyArray) -> State:
        """One Euler step; the angle moves with the new velocity."""
        gravity = 1.5 * GRAVITY / LENGTH * sin_cos(state.angle)[0]
        acceleration = gravity + 3 / (MASS * LENGTH**2) * _torque(action)
        velocity = state.velocity + TIME_STEP * acceleration
        velocity = jnp.clip(velocity, -VELOCITY_LIMIT, VELOCITY_LIMIT)
        return State(state.angle + TIME_STEP * velocity, velocity)

    def observation(self, state: State) -> Float[Array, "3"]:
        """Cosine and sine of the angle, and the velocity."""
        sin, cos = sin_cos(state.angle)
        return jnp.stack([cos, sin, state.velocity])

    def reward(
        self, state: State, action: Float[Array, "1"], next_state: State
    ) -> Float[Array, ""]:
        """−(angle² + velocity²/10 + torque²/1000), of the state before the step."""
        turns = jnp.round(state.angle / (2 * math.pi))
        angle = state.angle - 2 * math.pi * turns
        return -(angle**2 + 0.1 * state.velocity**2 + 0.001 * _torque(action) ** 2)

    def terminated(self, state: State) -> Bool[Array, ""]:
        """Never."""
        return jnp.zeros_like(state.angle, bool)


def _torque(action: Float[Array, "1"]) -> Float[Array, ""]:
    return jnp.clip(action[0], -TORQUE_LIMIT, TORQUE_LIMIT)
