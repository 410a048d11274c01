"""CartPole: balance a pole on a cart that is pushed left or right.

Gymnasium's dynamics, step by step to float32 accuracy.

Reference: Barto, Sutton & Anderson (1983), https://doi.org/10.1109/TSMC.1983.6313077
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from uphill.trajectory import Array

GRAVITY = 9.8  # m/s²
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # m, of the pole
FORCE = 10.0  # N
TIME_STEP = 0.02  # s
POSITION_LIMIT = 2.4  # m
ANGLE_LIMIT = math.radians(12)  # rad


class State(eqx.Module):
    """Cart and pole; the angle is 0 when the pole is upright."""

    position: Float[Array, ""]  # m
    velocity: Float[Array, ""]  # m/s
    angle: Float[Array, ""]  # rad
    angular_velocity: Float[Array, ""]  # rad/s


@dataclass(frozen=True)
class CartPole:
    """CartPole-v0 (200 steps) and -v1 (500 steps)."""

    max_episode_steps: int
    reward_threshold: float | None

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -np.array([2 * POSITION_LIMIT, np.inf, 2 * ANGLE_LIMIT, np.inf], np.float32),
        np.array([2 * POSITION_LIMIT, np.inf, 2 * ANGLE_LIMIT, np.inf], np.float32),
    )
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Discrete(2)

    def initial(self, key: PRNGKeyArray) -> State:
        """Everything close to rest: uniform in ±0.05."""
        return State(*jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05))

    def transition(self, state: State, action: Int[Array, ""], key: PRNGKeyArray) -> State:
        """One explicit Euler step; positions move with the old velocities."""
        force = jnp.where(action == 1, FORCE, -FORCE)
        sin, cos = jnp.sin(state.angle), jnp.cos(state.angle)
        swing = POLE_MASS * HALF_LENGTH * state.angular_velocity**2 * sin
        push = (force + swing) / TOTAL_MASS
        angular_acceleration = (GRAVITY * sin - cos * push) / (
            HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cos**2 / TOTAL_MASS)
        )
        acceleration = push - POLE_MASS * HALF_LENGTH * angular_acceleration * cos / TOTAL_MASS
        return State(
            state.position + TIME_STEP * state.velocity,
            state.velocity + TIME_STEP * acceleration,
            state.angle + TIME_STEP * state.angular_velocity,
            state.angular_velocity + TIME_STEP * angular_acceleration,
        )

    def observation(self, state: State) -> Float[Array, "4"]:
        """Position, velocity, angle, angular velocity."""
        return jnp.stack([state.position, state.velocity, state.angle, state.angular_velocity])

    def reward(self, state: State, action: Int[Array, ""], next_state: State) -> Float[Array, ""]:
        """1 for every step, the last one included."""
        return jnp.ones_like(next_state.position)

    def terminated(self, state: State) -> Bool[Array, ""]:
        """The cart has left the track, or the pole leans by more than 12°."""
        off_track = jnp.abs(state.position) > POSITION_LIMIT
        return off_track | (jnp.abs(state.angle) > ANGLE_LIMIT)
