"""MountainCar in its valley, with the flag, and how far up it could roll without its engine."""

import math

import numpy as np
from jaxtyping import Float

from uphill.envs.pictures.drawing import (
    BLUE,
    DEEP_BLUE,
    GROUND,
    INK,
    LINE,
    ORANGE,
    PAPER,
    YELLOW,
    Canvas,
    Color,
    rotation,
)
from uphill.envs.worlds.mountain_car import (
    CONTINUOUS_GOAL,
    END,
    GOAL,
    GRAVITY,
    WALL,
    MountainCar,
    MountainCarContinuous,
    State,
)

FPS = 30  # as Gymnasium's: this world has no unit of time
STEEPNESS = 0.36  # the height drawn for a valley that is sin 3x high
CLIFF = WALL - 0.1  # half a car to the left
FAR_HILLS: Color = (240, 237, 230)


def draw(world: MountainCar | MountainCarContinuous, state: State) -> Canvas:
    """Valley, flag and car; the valley is filled as high as the car's energy would take it.

    Between pushes v²/2 + g sin(3x)/3 stays what it is, so the car rolls up to where sin 3x is
    sin 3x + 3v²/(2g) of now.
    """
    canvas = Canvas((600, 400), scale=294, center=((CLIFF + END) / 2, 0.12))
    x, velocity = float(state.position), float(state.velocity)
    height = math.sin(3 * x)
    energy = height + 1.5 * velocity**2 / GRAVITY
    _hills(canvas)
    _filling(canvas, energy)
    _valley(canvas)
    _flag(canvas, CONTINUOUS_GOAL if isinstance(world, MountainCarContinuous) else GOAL)
    _car(canvas, x)
    canvas.readings(
        {
            "position": f"{x:+.2f}",
            "velocity": f"{velocity:+.3f}",
            "height": f"{height:+.2f}",
            "rolls up to": f"{energy:+.2f}" if energy < 1 else "the top",
        }
    )
    return canvas


def ground(x: Float[np.ndarray, "*points"] | float) -> Float[np.ndarray, "*points 2"]:
    """Where the valley's ground is drawn."""
    return np.stack([x, STEEPNESS * np.sin(3 * np.asarray(x))], axis=-1)


def _hills(canvas: Canvas) -> None:
    """Hills in the distance."""
    across = np.linspace(CLIFF - 0.1, END + 0.1, 81)
    ridge = 0.12 * np.sin(4.1 * across + 0.6) + 0.05 * np.sin(9.7 * across) + 0.12
    canvas.polygon([(-2, -2), *np.stack([across, ridge], axis=-1), (2, -2)], FAR_HILLS)


def _filling(canvas: Canvas, energy: float) -> None:
    """The part of the valley below the height that the car could roll up to."""
    level = min(energy, 1.0)
    # The ground meets the level at 3x = asin(level) and, on the left, at −π − asin(level).
    right = math.asin(level) / 3
    left = max(-math.pi / 3 - right, CLIFF)
    bed = ground(np.linspace(left, right, 61))
    surface = [(right, STEEPNESS * level), (left, STEEPNESS * level)]
    canvas.polygon([*bed, *surface], (226, 122, 63, 40))
    canvas.line(surface, 0.006, (226, 122, 63, 130))


def _valley(canvas: Canvas) -> None:
    """Its ground, and a cliff that is the wall on the left."""
    top = STEEPNESS + 0.03
    edge = [(-2, top), (CLIFF, top), *ground(np.linspace(CLIFF, END + 0.1, 100))]
    canvas.polygon([(-2, -2), *edge, (2, -2)], GROUND)
    canvas.line(edge, 0.011, LINE)


def _flag(canvas: Canvas, x: float) -> None:
    foot = ground(x)
    top = foot + np.array([0, 0.22])
    canvas.line([foot, top], 0.012, INK)
    wave = np.linspace(0, 1, 16)
    upper = np.stack([0.13 * wave, 0.01 * np.sin(5 * wave)], axis=-1) + top
    cloth = np.concatenate([upper, upper[::-1] - [0, 0.08]])
    canvas.polygon(cloth, ORANGE)


def _car(canvas: Canvas, x: float) -> None:
    slope = math.atan(3 * STEEPNESS * math.cos(3 * x))
    turn = rotation(slope)

    def at(along: float, up: float) -> np.ndarray:
        return turn @ np.array([along, up]) + ground(x)

    canvas.polygon([at(-0.075, 0.09), at(-0.055, 0.145), at(0.02, 0.145), at(0.05, 0.09)], BLUE)
    for left, right in ((-0.053, -0.022), (-0.01, 0.03)):
        slant = 0.012 if right > 0 else 0.0
        glass = [(left, 0.1), (left, 0.135), (right - slant, 0.135), (right, 0.1)]
        canvas.polygon([at(*corner) for corner in glass], PAPER)
    canvas.box(at(0, 0.073), 0.2, 0.062, BLUE, slope, 0.022)
    canvas.box(at(0, 0.05), 0.2, 0.024, DEEP_BLUE, slope, 0.012)
    canvas.circle(at(0.09, 0.078), 0.011, YELLOW)
    for side in (-0.055, 0.055):
        canvas.hub(at(side, 0.034), 0.031)
