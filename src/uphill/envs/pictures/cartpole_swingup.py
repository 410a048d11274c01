"""CartPoleSwingUp from the side: the cart slides on a high rail, so that the pole can hang."""

import math

import numpy as np

from uphill.envs.pictures.drawing import BLUE, DEEP_BLUE, GROUND, LINE, ORANGE, Canvas
from uphill.envs.worlds.cartpole_swingup import (
    LENGTH,
    POSITION_LIMIT,
    TIME_STEP,
    CartPoleSwingUp,
    State,
)

FPS = round(1 / TIME_STEP)
FLOOR = -1.2
CART = (0.52, 0.26)


def draw(world: CartPoleSwingUp, state: State) -> Canvas:
    """Rail, cart and pole, and the disc that the pole may be in."""
    canvas = Canvas((600, 400), scale=96, center=(0.0, 0.36))
    x, angle = float(state.position), float(state.angle)
    _stand(canvas, x)
    _cart_and_pole(canvas, x, angle)
    canvas.readings(
        {
            "position": f"{x:+.2f} m",
            "velocity": f"{float(state.velocity):+.2f} m/s",
            "angle": f"{math.degrees(math.remainder(angle, 2 * math.pi)):+.0f}°",
            "turning": f"{math.degrees(float(state.angular_velocity)):+.0f}°/s",
        }
    )
    return canvas


def _stand(canvas: Canvas, x: float) -> None:
    """Ground, the cart's shadow on it, two posts, and the rail that they hold."""
    canvas.polygon([(-4, FLOOR), (4, FLOOR), (4, -3), (-4, -3)], GROUND)
    canvas.shadow((x, FLOOR - 0.1), 0.9, 0.11, opacity=50)
    for limit in (-POSITION_LIMIT, POSITION_LIMIT):
        canvas.line([(limit, FLOOR), (limit, 0.19)], 0.06, LINE)
        canvas.line([(limit - 0.16, FLOOR), (limit + 0.16, FLOOR)], 0.06, LINE)
    canvas.line([(-POSITION_LIMIT, 0), (POSITION_LIMIT, 0)], 0.05, LINE)


def _cart_and_pole(canvas: Canvas, x: float, angle: float) -> None:
    pivot = np.array([x, 0.0])
    canvas.circle(pivot, 1.12 * LENGTH, (226, 122, 63, 26))
    canvas.box(pivot, CART[0] + 0.16, 0.13, DEEP_BLUE, rounding=0.04)
    canvas.box(pivot, *CART, BLUE, rounding=0.07)
    canvas.box((x, -0.09), CART[0], 0.08, DEEP_BLUE, rounding=0.04)
    tip = pivot + LENGTH * np.array([-math.sin(angle), math.cos(angle)])
    canvas.line([pivot, tip], 0.11, ORANGE)
    canvas.hub(pivot, 0.095)
