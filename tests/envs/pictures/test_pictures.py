"""Pictures are functions of state, and every compiled world has one."""

import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from counting_world import CountingWorld
from uphill.envs.pictures import (
    acrobot,
    cartpole,
    cartpole_swingup,
    frames_per_second,
    has_picture,
    mountain_car,
    pendulum,
    render,
)
from uphill.envs.pictures.drawing import BLUE, GROUND, ORANGE, Color
from uphill.envs.worlds import WORLDS
from uphill.envs.worlds import acrobot as acrobot_world
from uphill.envs.worlds import cartpole as cartpole_world
from uphill.envs.worlds import cartpole_swingup as cartpole_swingup_world
from uphill.envs.worlds import mountain_car as mountain_car_world
from uphill.envs.worlds import pendulum as pendulum_world
from uphill.errors import UphillError

UP, LEFT = 0.0, math.pi / 2


def canvas_of(picture, module, name, *state):
    """The canvas of a state that is given as numbers."""
    return picture.draw(WORLDS[name], module.State(*(np.asarray(x, np.float32) for x in state)))


def color_at(canvas, x, y) -> Color:
    """The colour of the picture at a point of the world."""
    column = canvas.size[0] / 2 + (x - canvas.center[0]) * canvas.scale
    row = canvas.size[1] / 2 - (y - canvas.center[1]) * canvas.scale
    red, green, blue = canvas.rgb()[int(row), int(column)].tolist()
    return (red, green, blue)


@pytest.mark.parametrize("name", WORLDS)
def test_a_picture_depends_on_the_state_alone(name):
    world = WORLDS[name]
    one, other = (world.initial(jax.random.key(seed)) for seed in (0, 1))
    picture = render(world, one)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[-1] == 3
    assert min(picture.shape[:2]) >= 300
    np.testing.assert_array_equal(picture, render(world, one))
    assert (picture != render(world, other)).any()


def test_no_display_is_needed_or_opened():
    code = (
        "import jax, pygame; from uphill.envs.worlds import WORLDS; "
        "from uphill.envs.pictures import render; world = WORLDS['CartPole-v1']; "
        "render(world, world.initial(jax.random.key(0))); "
        "raise SystemExit(pygame.display.get_init())"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "SDL_VIDEODRIVER")}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_a_world_without_a_picture_says_so():
    world = CountingWorld()
    with pytest.raises(UphillError, match="no picture of CountingWorld: give it fps, a number"):
        render(world, world.initial(jax.random.key(0)))


def test_a_world_in_a_file_of_ones_own_has_no_picture_of_ours(monkeypatch):
    for module in ("pendulum", "my_worlds.cartpole", "drawing"):
        monkeypatch.setattr(CountingWorld, "__module__", module)
        assert not has_picture(CountingWorld())
    assert has_picture(WORLDS["Pendulum-v1"])


def test_a_world_may_draw_itself():
    class Drawn(CountingWorld):
        fps = 7

        def picture(self, state):
            return np.full((4, 6, 3), 10 * state.t, np.uint8)

    world = Drawn()
    state = world.transition(world.initial(jax.random.key(0)), 0, None)
    np.testing.assert_array_equal(render(world, state), np.full((4, 6, 3), 10, np.uint8))
    assert frames_per_second(world) == 7


def test_a_cartpole_leans_to_the_right_when_its_angle_is_positive():
    canvas = canvas_of(cartpole, cartpole_world, "CartPole-v1", 1.0, 0.0, 0.2, 0.0)
    pivot = cartpole.PIVOT_HEIGHT
    assert color_at(canvas, 1 + 0.9 * math.sin(0.2), pivot + 0.9 * math.cos(0.2)) == ORANGE
    assert color_at(canvas, 1 - 0.9 * math.sin(0.2), pivot + 0.9 * math.cos(0.2)) != ORANGE


@pytest.mark.parametrize(
    ("angle", "x", "y"),
    [(UP, 0, 0.55), (math.pi, 0, -0.55), (LEFT, -0.55, 0), (-LEFT, 0.55, 0), (5 * LEFT, -0.55, 0)],
)
def test_a_swung_pole_is_above_the_cart_when_it_is_up_and_turns_to_the_left(angle, x, y):
    state = (-0.8, 0.0, angle, 0.0)
    canvas = canvas_of(cartpole_swingup, cartpole_swingup_world, "CartPoleSwingUp-v1", *state)
    assert color_at(canvas, -0.8 + x, y) == ORANGE
    assert color_at(canvas, -0.8 - x, -y) != ORANGE
    assert color_at(canvas, -0.8 + 0.2, 0.09) == BLUE


@pytest.mark.parametrize(
    ("angle", "x", "y"), [(UP, 0, 0.95), (math.pi, 0, -0.95), (LEFT, -0.95, 0), (-LEFT, 0.95, 0)]
)
def test_a_pendulum_is_up_at_zero_and_turns_to_the_left(angle, x, y):
    canvas = canvas_of(pendulum, pendulum_world, "Pendulum-v1", angle, 0.0)
    assert color_at(canvas, x, y) == ORANGE
    assert color_at(canvas, -x, -y) != ORANGE


def test_a_pendulums_arrow_is_ahead_of_it_and_longer_when_it_turns_faster():
    still, slow, fast, back = (
        canvas_of(pendulum, pendulum_world, "Pendulum-v1", UP, velocity).rgb()[60:340]
        for velocity in (0.0, 2.0, 6.0, -6.0)
    )
    changed = {"slow": slow != still, "fast": fast != still, "back": back != still}
    where = {name: np.nonzero(differs)[1] - 300 for name, differs in changed.items()}
    assert where["slow"].min() < -30
    assert where["fast"].min() < where["slow"].min() - 40
    assert where["slow"].max() < 15
    assert where["back"].max() > 100


@pytest.mark.parametrize(
    ("angle_1", "angle_2", "middle_1", "middle_2"),
    [
        (0.0, 0.0, (0, -0.5), (0, -1.6)),
        (LEFT, 0.0, (0.5, 0), (1.6, 0)),
        (LEFT, LEFT, (0.5, 0), (1, 0.6)),
        (-LEFT, LEFT, (-0.5, 0), (-1, -0.6)),
        (math.pi, 0.0, (0, 0.5), (0, 1.6)),
    ],
)
def test_an_acrobots_links_hang_at_zero_and_the_second_is_relative(
    angle_1, angle_2, middle_1, middle_2
):
    canvas = canvas_of(acrobot, acrobot_world, "Acrobot-v1", angle_1, angle_2, 0.0, 0.0)
    assert color_at(canvas, *middle_1) == BLUE
    assert color_at(canvas, *middle_2) == ORANGE


@pytest.mark.parametrize("angle_2", [0.0, 0.5, 1.5, 2.5])
def test_an_acrobots_goal_lights_up_when_the_episode_ends(angle_2):
    state = (2.5, angle_2, 0.0, 0.0)
    ended = WORLDS["Acrobot-v1"].terminated(acrobot_world.State(*map(jnp.float32, state)))
    canvas = canvas_of(acrobot, acrobot_world, "Acrobot-v1", *state)
    dark = canvas_of(acrobot, acrobot_world, "Acrobot-v1", 0.0, 0.0, 0.0, 0.0)
    assert (color_at(canvas, -1.3, 1.1) != color_at(dark, -1.3, 1.1)) == ended


@pytest.mark.parametrize(
    ("name", "goal"), [("MountainCar-v0", 0.5), ("MountainCarContinuous-v0", 0.45)]
)
def test_a_mountain_car_stands_on_its_slope_and_the_flag_at_the_goal(name, goal):
    for x in (-1.1, -0.5, 0.2):
        canvas = canvas_of(mountain_car, mountain_car_world, name, x, 0.0)
        slope = math.atan(3 * mountain_car.STEEPNESS * math.cos(3 * x))
        ground = mountain_car.STEEPNESS * math.sin(3 * x)
        body = (x - 0.085 * math.sin(slope), ground + 0.085 * math.cos(slope))
        assert color_at(canvas, *body) == BLUE
        assert color_at(canvas, x, ground - 0.03) == GROUND
    top = mountain_car.STEEPNESS * math.sin(3 * goal) + 0.22
    assert color_at(canvas, goal + 0.02, top - 0.03) == ORANGE
    assert color_at(canvas, goal - 0.02, top - 0.03) != ORANGE


def test_a_valley_is_filled_as_high_as_the_car_rolls():
    """Without an engine, by the world's own steps: up to 0.02 of the height that is written."""
    world, key = WORLDS["MountainCarContinuous-v0"], jax.random.key(0)
    push = jax.jit(lambda state: world.transition(state, np.zeros(1, np.float32), key))
    state = mountain_car_world.State(*(np.asarray(x, np.float32) for x in (-0.5, 0.04)))
    highest = -1.0
    before = canvas_of(mountain_car, mountain_car_world, "MountainCar-v0", -0.5, 0.04)
    empty = canvas_of(mountain_car, mountain_car_world, "MountainCar-v0", -0.5, 0.0)
    for _ in range(200):
        state = push(state)
        highest = max(highest, math.sin(3 * float(state.position)))
    assert -0.5 < highest < 0.5
    for height, is_filled in ((highest - 0.06, True), (highest + 0.06, False)):
        at = (-0.35, mountain_car.STEEPNESS * height)
        assert (color_at(before, *at) != color_at(empty, *at)) == is_filled
