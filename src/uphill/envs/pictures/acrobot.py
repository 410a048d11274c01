"""Acrobot under its bar: two links, and the height that the tip must reach."""

import math

import numpy as np

from uphill.envs.pictures.drawing import BLUE, GREEN, GROUND, LINE, ORANGE, Canvas
from uphill.envs.worlds.acrobot import LENGTH, Acrobot, State

# Steps are of 0.2 s: five pictures a second would jerk, so this is three times real time.
FPS = 15
FLOOR = -2.3
GOAL = LENGTH
REACH = 2.12 * LENGTH  # of the disc that the links are in


def draw(world: Acrobot, state: State) -> Canvas:
    """Stand, both links with their joints, and the goal, which lights up when it is reached."""
    canvas = Canvas((600, 400), scale=68, center=(0.0, 0.16))
    angle_1, angle_2 = float(state.angle_1), float(state.angle_2)
    elbow = LENGTH * _down(angle_1)
    tip = elbow + LENGTH * _down(angle_1 + angle_2)
    _stand(canvas, bool(tip[1] > GOAL))
    canvas.line([(0, 0), elbow], 0.2, BLUE)
    canvas.line([elbow, tip], 0.2, ORANGE)
    canvas.hub((0, 0), 0.15)
    canvas.hub(elbow, 0.13)
    canvas.readings(
        {
            "upper link": f"{math.degrees(angle_1):+.0f}°",
            "lower link": f"{math.degrees(angle_2):+.0f}°",
            "turning": f"{math.degrees(float(state.velocity_1)):+.0f}°/s",
            "bending": f"{math.degrees(float(state.velocity_2)):+.0f}°/s",
            "height": f"{tip[1]:+.2f} m",
        }
    )
    return canvas


def _down(angle: float) -> np.ndarray:
    """The direction at an angle from straight down, counter-clockwise."""
    return np.array([math.sin(angle), -math.cos(angle)])


def _stand(canvas: Canvas, is_reached: bool) -> None:
    canvas.polygon([(-5, FLOOR), (5, FLOOR), (5, -4), (-5, -4)], GROUND)
    canvas.shadow((0, FLOOR - 0.05), 2.4, 0.17)
    edge = math.acos(GOAL / REACH)
    below, above = (
        [REACH * -_down(turn) for turn in np.linspace(start, end, 48)]
        for start, end in ((edge, 2 * math.pi - edge), (-edge, edge))
    )
    canvas.polygon(below, (226, 122, 63, 26))
    canvas.polygon(above, (96, 148, 104, 130 if is_reached else 50))
    canvas.line([above[0], above[-1]], 0.04, GREEN)
    for side in (-0.55, 0.55):
        canvas.line([(0, 0), (side, FLOOR)], 0.09, LINE)
        canvas.line([(side - 0.17, FLOOR), (side + 0.17, FLOOR)], 0.09, LINE)
