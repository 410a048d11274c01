"""Acrobot: swing the tip of a two-link pendulum up by a torque at its middle joint.

Gymnasium's dynamics (the equations of the book), step by step to float32 accuracy.

References: Sutton (1996), Generalization in reinforcement learning: successful examples using
sparse coarse coding; Sutton & Barto (2018), Reinforcement learning: an introduction, section 11.3
of the first edition.
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

from uphill.envs.worlds.trigonometry import sin_cos
from uphill.trajectory import Array

GRAVITY = 9.8  # m/s²
LENGTH = 1.0  # m, of each link
CENTRE = 0.5  # m, from a link's joint to its centre of mass
MASS = 1.0  # kg, of each link
INERTIA = 1.0  # kg m², of each link about its centre of mass
TORQUE = 1.0  # N m
TIME_STEP = 0.2  # s
VELOCITY_LIMIT_1 = 4 * math.pi  # rad/s
VELOCITY_LIMIT_2 = 9 * math.pi  # rad/s


class State(eqx.Module):
    """The two links; both angles are 0 when they hang, the second is relative to the first."""

    angle_1: Float[Array, ""]  # rad, in ±π
    angle_2: Float[Array, ""]  # rad, in ±π
    velocity_1: Float[Array, ""]  # rad/s
    velocity_2: Float[Array, ""]  # rad/s


@dataclass(frozen=True)
class Acrobot:
    """Acrobot-v1; the torque is −1, 0 or 1."""

    max_episode_steps: int
    reward_threshold: float | None

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -np.array([1, 1, 1, 1, VELOCITY_LIMIT_1, VELOCITY_LIMIT_2], np.float32),
        np.array([1, 1, 1, 1, VELOCITY_LIMIT_1, VELOCITY_LIMIT_2], np.float32),
    )
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Discrete(3)

    def initial(self, key: PRNGKeyArray) -> State:
        """Hanging, close to rest: uniform in ±0.1."""
        return State(*jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1))

    def transition(self, state: State, action: Int[Array, ""], key: PRNGKeyArray) -> State:
        """One Runge–Kutta step of fourth order, then angles wrapped and velocities clipped."""
        moved = _runge_kutta(state, (action - 1) * TORQUE)
        return State(
            _wrap(moved.angle_1),
            _wrap(moved.angle_2),
            jnp.clip(moved.velocity_1, -VELOCITY_LIMIT_1, VELOCITY_LIMIT_1),
            jnp.clip(moved.velocity_2, -VELOCITY_LIMIT_2, VELOCITY_LIMIT_2),
        )

    def observation(self, state: State) -> Float[Array, "6"]:
        """Cosine and sine of the first angle, of the second, and both velocities."""
        sin_1, cos_1 = sin_cos(state.angle_1)
        sin_2, cos_2 = sin_cos(state.angle_2)
        return jnp.stack([cos_1, sin_1, cos_2, sin_2, state.velocity_1, state.velocity_2])

    def reward(self, state: State, action: Int[Array, ""], next_state: State) -> Float[Array, ""]:
        """−1 for every step but the one that gets there."""
        return jnp.where(self.terminated(next_state), 0.0, -1.0)

    def terminated(self, state: State) -> Bool[Array, ""]:
        """The tip is more than one link's length above the fixed joint."""
        (_, cos_1), (_, cos_12) = sin_cos(state.angle_1), sin_cos(state.angle_1 + state.angle_2)
        return -LENGTH * (cos_1 + cos_12) > LENGTH


def _runge_kutta(state: State, torque: Float[Array, ""]) -> State:
    def ahead(slope: State, time: float) -> State:
        return jax.tree.map(lambda x, k: x + time * k, state, slope)

    start = _slope(state, torque)
    early = _slope(ahead(start, TIME_STEP / 2), torque)
    late = _slope(ahead(early, TIME_STEP / 2), torque)
    end = _slope(ahead(late, TIME_STEP), torque)
    mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, start, early, late, end)
    return ahead(mean, TIME_STEP)


def _slope(state: State, torque: Float[Array, ""]) -> State:
    """The time derivative of the state."""
    (sin_1, cos_1), (sin_2, cos_2) = sin_cos(state.angle_1), sin_cos(state.angle_2)
    sin_12 = sin_1 * cos_2 + cos_1 * sin_2
    coupling = MASS * LENGTH * CENTRE
    inertia_2 = MASS * CENTRE**2 + INERTIA
    inertia_12 = inertia_2 + coupling * cos_2
    inertia_1 = 2 * inertia_2 + MASS * LENGTH**2 + 2 * coupling * cos_2
    weight_2 = MASS * CENTRE * GRAVITY * sin_12
    weight_1 = MASS * (CENTRE + LENGTH) * GRAVITY * sin_1 + weight_2
    spin = state.velocity_2 * (state.velocity_2 + 2 * state.velocity_1)
    load_1 = weight_1 - coupling * sin_2 * spin
    load_2 = weight_2 + coupling * sin_2 * state.velocity_1**2
    ratio = inertia_12 / inertia_1
    acceleration_2 = (torque + ratio * load_1 - load_2) / (inertia_2 - ratio * inertia_12)
    acceleration_1 = -ratio * acceleration_2 - load_1 / inertia_1
    return State(state.velocity_1, state.velocity_2, acceleration_1, acceleration_2)


def _wrap(angle: Float[Array, ""]) -> Float[Array, ""]:
    """The same direction, in ±π."""
    return angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))
