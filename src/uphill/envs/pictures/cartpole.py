"""CartPole, seen from the side."""

import math

import numpy as np

from uphill.envs.pictures.drawing import BLUE, DEEP_BLUE, GROUND, LINE, ORANGE, Canvas
from uphill.envs.worlds.cartpole import (
    ANGLE_LIMIT,
    HALF_LENGTH,
    POSITION_LIMIT,
    TIME_STEP,
    CartPole,
    State,
)

FPS = round(1 / TIME_STEP)
CART = (0.62, 0.3)
PIVOT_HEIGHT = 0.42


def draw(world: CartPole, state: State) -> Canvas:
    """Track, cart and pole, and how far each may go."""
    canvas = Canvas((600, 400), scale=112, center=(0.0, 1.02))
    canvas.polygon([(-4, 0), (4, 0), (4, -3), (-4, -3)], GROUND)
    canvas.line([(-POSITION_LIMIT, 0), (POSITION_LIMIT, 0)], 0.03, LINE)
    for limit in (-POSITION_LIMIT, POSITION_LIMIT):
        canvas.line([(limit, 0), (limit, 0.22)], 0.05, LINE)
    _cart_and_pole(canvas, float(state.position), float(state.angle))
    canvas.readings(
        {
            "position": f"{float(state.position):+.2f} m",
            "velocity": f"{float(state.velocity):+.2f} m/s",
            "angle": f"{math.degrees(float(state.angle)):+.1f}°",
            "turning": f"{math.degrees(float(state.angular_velocity)):+.0f}°/s",
        }
    )
    return canvas


def _cart_and_pole(canvas: Canvas, x: float, angle: float) -> None:
    pivot = np.array([x, PIVOT_HEIGHT])
    wedge = [pivot]
    for bend in np.linspace(-ANGLE_LIMIT, ANGLE_LIMIT, 15):
        wedge.append(pivot + 2.45 * HALF_LENGTH * np.array([math.sin(bend), math.cos(bend)]))
    canvas.polygon(wedge, (226, 122, 63, 26))
    canvas.shadow((x, -0.03), 0.95, 0.13)
    for side in (-0.18, 0.18):
        canvas.hub((x + side, 0.1), 0.09)
    canvas.box((x, 0.29), *CART, BLUE, rounding=0.07)
    canvas.box((x, 0.185), CART[0], 0.09, DEEP_BLUE, rounding=0.045)
    tip = pivot + 2 * HALF_LENGTH * np.array([math.sin(angle), math.cos(angle)])
    canvas.line([pivot, tip], 0.1, ORANGE)
    canvas.hub(pivot, 0.085)
