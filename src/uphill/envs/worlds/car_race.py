"""CarRace: drive a car round a track by what five radars see, without touching a wall.

The car is a point with a heading and a speed; it always moves. All lengths are in metres, angles in
radians, counted to the left.

    headingₜ₊₁ = headingₜ + steering · 10°
    speedₜ₊₁ = clip(speedₜ + throttle · 2 m/s, 6 m/s, 16 m/s)
    positionₜ₊₁ = positionₜ + 0.1 s · speedₜ₊₁ · (cos headingₜ₊₁, sin headingₜ₊₁)

It has crashed when its middle is less than `CAR_RADIUS` from the edge of the track. A step is no
longer than that, so that no car passes through a wall between two steps.

Seen from the car, a radar's ray along d meets the line of the wall from a to b if d × a and d × b
differ in sign, at the distance (a × b) / (d × b − d × a) if that is positive.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, PRNGKeyArray, Shaped

from uphill.envs.base import World
from uphill.envs.worlds.tracks import Circuits, Track, circuits, tracks_named
from uphill.errors import UphillError
from uphill.trajectory import Array

TIME_STEP = 0.1  # s
TURN = math.radians(10)  # a step at most
ACCELERATION = 2.0  # m/s a step at most
MIN_SPEED, START_SPEED, MAX_SPEED = 6.0, 10.0, 16.0  # m/s
CAR_RADIUS = 1.6  # m; MAX_SPEED · TIME_STEP is no more

RADAR_ANGLES = tuple(math.radians(degrees) for degrees in (-90, -45, 0, 45, 90))
RADAR_RANGE = 30.0  # m

LAP_REWARD = 100.0
CRASH_PENALTY = 20.0
TIME_PENALTY = 20.0  # for using up the time limit
LAP_STEPS = 1000  # the time limit for a lap, unless a long track needs more


class State(eqx.Module):
    """The car, and where on which track it is."""

    position: Float[Array, "2"]
    heading: Float[Array, ""]
    speed: Float[Array, ""]
    track: Int[Array, ""]
    section: Int[Array, ""]  # the nearest; goes on counting in later laps, and below 0
    along: Float[Array, ""]  # the part of the section that lies behind
    offset: Float[Array, ""]  # distance from the centre line


@dataclass(frozen=True)
class _Race:
    """What both variants share; `steering_and_throttle` says what an action means."""

    tracks: tuple[Track, ...] = tracks_named(None)
    laps: int = 1

    action_space: ClassVar[gymnasium.Space]
    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(0.0, 1.0, (6,), np.float32)
    arguments: ClassVar[tuple[str, ...]] = ("track", "laps")

    @staticmethod
    @abstractmethod
    def steering_and_throttle(action: Any) -> tuple[Any, Any]:
        """Both in [−1, 1]; steering is positive to the left."""

    @property
    def circuits(self) -> Circuits:
        return circuits(self.tracks, RADAR_RANGE, MAX_SPEED * TIME_STEP)

    @property
    def max_episode_steps(self) -> int:
        """Enough for laps at the lowest speed, and half as many again."""
        slowest = 1.5 * self.circuits.longest / (MIN_SPEED * TIME_STEP)
        return self.laps * max(LAP_STEPS, math.ceil(slowest))

    @property
    def reward_threshold(self) -> float:
        """Less than any episode earns that drives all laps, more than any other."""
        return LAP_REWARD * self.laps - CRASH_PENALTY

    def configured(self, track: Any = None, laps: Any = 1) -> World:
        """The race on another track (see `tracks_named`), or over more laps."""
        if type(laps) is not int or laps < 1:
            raise UphillError(f"laps is {laps!r}: give a whole number, 1 or more.")
        if track is not None and not isinstance(track, str):
            raise UphillError(f"track is {track!r}: give its name or a .json file.")
        return replace(self, tracks=tracks_named(track), laps=laps)

    def initial(self, key: PRNGKeyArray) -> State:
        """On the start line of a random track, up to 1 m off the middle and 10° off straight."""
        known = self.circuits
        which, aside, turned = jax.random.uniform(key, (3,))
        track = jnp.floor(which * len(self.tracks)).astype(jnp.int32)
        center, ahead = (
            jnp.asarray(known.center[:, 0])[track],
            jnp.asarray(known.center[:, 1])[track],
        )
        along = (ahead - center) / jnp.hypot(*(ahead - center))
        offset = 2 * aside - 1
        return State(
            position=center + offset * jnp.stack([-along[1], along[0]]),
            heading=jnp.arctan2(along[1], along[0]) + (2 * turned - 1) * TURN,
            speed=jnp.float32(START_SPEED),
            track=track,
            section=jnp.int32(0),
            along=jnp.float32(0),
            offset=jnp.abs(offset),
        )

    def transition(self, state: State, action: Any, key: PRNGKeyArray) -> State:
        steering, throttle = self.steering_and_throttle(action)
        heading = state.heading + TURN * steering
        speed = jnp.clip(state.speed + ACCELERATION * throttle, MIN_SPEED, MAX_SPEED)
        step = TIME_STEP * speed * jnp.stack([jnp.cos(heading), jnp.sin(heading)])
        position = state.position + step
        section, along, offset = locate(self.circuits, state.track, state.section, position)
        return State(position, heading, speed, state.track, section, along, offset)

    def observation(self, state: State) -> Float[Array, "6"]:
        """Radars from right to left, and the speed, scaled to [0, 1]."""
        seen = radars(self.circuits, state) / RADAR_RANGE
        return jnp.concatenate([seen, state.speed[None] / MAX_SPEED])

    def reward(self, state: State, action: Any, next_state: State) -> Float[Array, ""]:
        """100 for a lap, by the part that was gained; less a cost for time, and for a crash."""
        gained = (next_state.section - state.section) + (next_state.along - state.along)
        lap = jnp.asarray(self.circuits.num_sections)[state.track]
        crash = jnp.where(self.crashed(next_state), CRASH_PENALTY, 0.0)
        return LAP_REWARD * gained / lap - TIME_PENALTY / self.max_episode_steps - crash

    def terminated(self, state: State) -> Bool[Array, ""]:
        """The car has crashed, or driven all its laps."""
        return self.crashed(state) | (self.progress(state) >= self.laps)

    def crashed(self, state: State) -> Bool[Array, ""]:
        """Whether the car touches the edge of the track."""
        return state.offset > jnp.asarray(self.circuits.half_width)[state.track] - CAR_RADIUS

    def progress(self, state: State) -> Float[Array, ""]:
        """Laps driven since the start; driving backwards loses them again."""
        lap = jnp.asarray(self.circuits.num_sections)[state.track]
        return (state.section + state.along) / lap

    def milestones(self, state: State) -> dict[str, Bool[Array, ""]]:
        """The first curve, half a lap, a lap."""
        progress = self.progress(state)
        return {
            "first_curve": progress >= jnp.asarray(self.circuits.first_curve)[state.track],
            "long_run": progress >= 0.5,
            "full_lap": progress >= 1,
        }

    def info(self, state: State) -> dict[str, Shaped[Array, ""]]:
        """Progress and whole laps; the milestones; whether the car has crashed."""
        progress = self.progress(state)
        return {
            "progress": progress,
            "laps": jnp.maximum(jnp.floor(progress), 0).astype(jnp.int32),
            **self.milestones(state),
            "crashed": self.crashed(state),
        }


@dataclass(frozen=True)
class CarRace(_Race):
    """CarRace-v0: turn left by 10°, right by 10°, slow down or speed up by 2 m/s."""

    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Discrete(4)

    @staticmethod
    def steering_and_throttle(action: Int[Array, ""]) -> tuple[Array, Array]:
        steering = jnp.where(action == 0, 1.0, 0.0) - jnp.where(action == 1, 1.0, 0.0)
        throttle = jnp.where(action == 3, 1.0, 0.0) - jnp.where(action == 2, 1.0, 0.0)
        return steering, throttle


@dataclass(frozen=True)
class CarRaceContinuous(_Race):
    """CarRaceContinuous-v0: steering (positive to the left) and throttle, both in [−1, 1]."""

    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    @staticmethod
    def steering_and_throttle(action: Float[Array, "2"]) -> tuple[Array, Array]:
        steering, throttle = jnp.clip(action, -1.0, 1.0)
        return steering, throttle


def locate(
    known: Circuits, track: Int[Array, ""], section: Int[Array, ""], position: Float[Array, "2"]
) -> tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """The section nearest to a car that was in `section`, the part of it that lies behind, and the
    distance from the centre line.

    Only sections nearby are looked at, which is what tells one branch of a track from another.
    """
    shift = jnp.arange(-known.nearby, known.nearby + 2)
    lap = jnp.asarray(known.num_sections)[track]
    corners = jnp.asarray(known.center)[track, (section + shift) % lap]
    x, y = corners[:, 0] - position[0], corners[:, 1] - position[1]
    step_x, step_y = jnp.diff(x), jnp.diff(y)
    x, y = x[:-1], y[:-1]
    along = -(x * step_x + y * step_y) / (step_x**2 + step_y**2)
    along = jnp.clip(along, 0.0, 1.0)
    distance = (x + along * step_x) ** 2 + (y + along * step_y) ** 2
    nearest = jnp.argmin(distance)
    return section + nearest - known.nearby, along[nearest], jnp.sqrt(distance[nearest])


def radars(known: Circuits, state: State) -> Float[Array, "5"]:
    """Distances to the wall at −90° (right), −45°, 0°, 45° and 90° (left), `RADAR_RANGE` at most.

    Only the sections within sight are looked at (`uphill.envs.worlds.tracks.sight`).
    """
    shift = jnp.arange(-known.sight, known.sight + 2)
    lap = jnp.asarray(known.num_sections)[state.track]
    corners = jnp.asarray(known.walls)[state.track, (state.section + shift) % lap]
    x, y = corners[..., 0] - state.position[0], corners[..., 1] - state.position[1]
    over_cross = 1 / (x[:-1] * y[1:] - x[1:] * y[:-1])
    angles = state.heading + jnp.asarray(RADAR_ANGLES)
    # Fused with what follows, sine and cosine would be computed again for every wall.
    rays = lax.optimization_barrier((jnp.cos(angles), jnp.sin(angles)))

    def closest(ray_x: Float[Array, ""], ray_y: Float[Array, ""]) -> Float[Array, ""]:
        side = ray_x * y - ray_y * x
        a, b = side[:-1], side[1:]
        # The inverse of the distance: one division serves all rays, and what is not met is 0.
        closeness = jnp.where((a > 0) != (b > 0), (b - a) * over_cross, 0.0)
        return jnp.max(closeness, initial=1 / RADAR_RANGE)

    return 1 / jax.vmap(closest)(*rays)
