"""CartPoleSwingUp: swing a hanging pole up by pushing the cart below it, and keep it there.

A cart of mass m_c on a track, a rod of mass m_p and length l hinged to it; θ is the pole's angle
from upright, counted counter-clockwise, so that the tip is at (x − l sin θ, l cos θ). With
M = m_c + m_p, s = sin θ, c = cos θ and the net force P on the cart (its push less friction),

    ẍ = (4P − 2 m_p l θ̇² s + 3 m_p g s c) / (4M − 3 m_p c²)
    θ̈ = 3 (g s + ẍ c) / (2l)

The world is that of the package `gym-cartpole-swingup`, written anew from its equations.

Reference: Gal, McAllister & Rasmussen (2016), Improving PILCO with Bayesian neural network
dynamics models
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

GRAVITY = 9.82  # m/s²
CART_MASS = 0.5  # kg
POLE_MASS = 0.5  # kg
TOTAL_MASS = CART_MASS + POLE_MASS
LENGTH = 0.6  # m, of the pole
FRICTION = 0.1  # N s/m, between cart and track
FORCE = 10.0  # N
TIME_STEP = 0.01  # s
POSITION_LIMIT = 2.4  # m


class State(eqx.Module):
    """Cart and pole; the angle is 0 when the pole is upright, π when it hangs."""

    position: Float[Array, ""]  # m
    velocity: Float[Array, ""]  # m/s
    angle: Float[Array, ""]  # rad
    angular_velocity: Float[Array, ""]  # rad/s


@dataclass(frozen=True)
class CartPoleSwingUp:
    """CartPoleSwingUp-v0 (a step earns cos θ) and -v1 (it earns (1 + cos θ)/2, never negative).

    The source has no threshold. Planners that know the dynamics reach about 360 on v0; 300, five
    sixths of it, needs a pole that is up within a fifth of the episode and stays up. An episode of
    500 steps that earns R on v0 earns (500 + R)/2 on v1, which makes 300 there 400 here.
    """

    max_episode_steps: int
    reward_threshold: float | None
    is_reward_positive: bool

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(
        -np.array([2 * POSITION_LIMIT, np.inf, 1, 1, np.inf], np.float32),
        np.array([2 * POSITION_LIMIT, np.inf, 1, 1, np.inf], np.float32),
    )
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def initial(self, key: PRNGKeyArray) -> State:
        """Hanging, close to rest: normal, with standard deviation 0.2."""
        noise = 0.2 * jax.random.normal(key, (4,))
        return State(noise[0], noise[1], math.pi + noise[2], noise[3])

    def transition(self, state: State, action: Float[Array, "1"], key: PRNGKeyArray) -> State:
        """One explicit Euler step; positions move with the old velocities."""
        push = FORCE * jnp.clip(action[0], -1.0, 1.0) - FRICTION * state.velocity
        acceleration, angular_acceleration = accelerations(state, push)
        return State(
            state.position + TIME_STEP * state.velocity,
            state.velocity + TIME_STEP * acceleration,
            state.angle + TIME_STEP * state.angular_velocity,
            state.angular_velocity + TIME_STEP * angular_acceleration,
        )

    def observation(self, state: State) -> Float[Array, "5"]:
        """Position, velocity, cosine and sine of the angle, angular velocity."""
        sin, cos = sin_cos(state.angle)
        return jnp.stack([state.position, state.velocity, cos, sin, state.angular_velocity])

    def reward(
        self, state: State, action: Float[Array, "1"], next_state: State
    ) -> Float[Array, ""]:
        """How far up the pole is after the step."""
        _, height = sin_cos(next_state.angle)
        return (1 + height) / 2 if self.is_reward_positive else height

    def terminated(self, state: State) -> Bool[Array, ""]:
        """The cart has left the track."""
        return jnp.abs(state.position) > POSITION_LIMIT


def accelerations(
    state: State, push: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """ẍ and θ̈ when the net force `push` acts on the cart."""
    sin, cos = sin_cos(state.angle)
    swing = POLE_MASS * sin * (3 * GRAVITY * cos - 2 * LENGTH * state.angular_velocity**2)
    acceleration = (4 * push + swing) / (4 * TOTAL_MASS - 3 * POLE_MASS * cos**2)
    return acceleration, 1.5 / LENGTH * (GRAVITY * sin + acceleration * cos)
