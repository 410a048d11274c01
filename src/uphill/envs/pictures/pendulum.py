"""Pendulum on its stand; the torque is not part of the state, but the velocity has an arrow."""

import math

import numpy as np

from uphill.envs.pictures.drawing import BLUE, DEEP_BLUE, GROUND, INK, LINE, ORANGE, Canvas
from uphill.envs.worlds.pendulum import LENGTH, TIME_STEP, VELOCITY_LIMIT, Pendulum, State

FPS = round(1 / TIME_STEP)
FLOOR = -1.32
REACH = 1.17 * LENGTH  # of the disc that the pendulum is in
LONGEST_ARROW = 1.7  # rad, that of the greatest velocity


def draw(world: Pendulum, state: State) -> Canvas:
    """Stand and pendulum, and an arrow that is the longer the faster it turns."""
    canvas = Canvas((600, 400), scale=106, center=(0.0, 0.03))
    angle, velocity = float(state.angle), float(state.velocity)
    _stand(canvas)
    _arrow(canvas, angle, velocity)
    canvas.line([(0, 0), LENGTH * _toward(angle)], 0.15, ORANGE)
    canvas.hub((0, 0), 0.11)
    turned = math.remainder(angle, 2 * math.pi)
    canvas.readings(
        {
            "angle": f"{math.degrees(turned):+.1f}°",
            "turning": f"{math.degrees(velocity):+.0f}°/s",
            "height of the tip": f"{LENGTH * math.cos(angle):+.2f} m",
        }
    )
    return canvas


def _toward(angle: float) -> np.ndarray:
    """The direction at an angle to the left of upright."""
    return np.array([-math.sin(angle), math.cos(angle)])


def _stand(canvas: Canvas) -> None:
    canvas.polygon([(-4, FLOOR), (4, FLOOR), (4, -3), (-4, -3)], GROUND)
    canvas.shadow((0, FLOOR - 0.03), 1.5, 0.13)
    canvas.circle((0, 0), REACH, (226, 122, 63, 26))
    canvas.line([(0, REACH - 0.06), (0, REACH + 0.06)], 0.03, LINE)
    canvas.polygon([(-0.1, 0), (0.1, 0), (0.19, FLOOR), (-0.19, FLOOR)], BLUE)
    canvas.circle((0, 0), 0.2, BLUE)
    canvas.box((0, FLOOR + 0.05), 0.95, 0.12, DEEP_BLUE, rounding=0.05)


def _arrow(canvas: Canvas, angle: float, velocity: float) -> None:
    """An arrow along the disc's edge, from where the pendulum points."""
    end = angle + LONGEST_ARROW * velocity / VELOCITY_LIMIT
    if abs(end - angle) < 0.03:
        return
    arc = [REACH * _toward(turn) for turn in np.linspace(angle, end, 24)]
    size = min(0.13, 2 * abs(end - angle))
    ahead = math.copysign(size, velocity) * _toward(end + math.pi / 2)
    aside = 0.6 * size * _toward(end)
    canvas.line(arc, 0.3 * size, INK)
    canvas.polygon([arc[-1] + ahead, arc[-1] + aside, arc[-1] - aside], INK)
