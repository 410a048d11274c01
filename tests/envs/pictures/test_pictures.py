"""Pictures are functions of state, and every compiled world has one."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from counting_world import CountingWorld
from uphill.envs.pictures import render
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError


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
    with pytest.raises(UphillError, match="no picture of CountingWorld: write uphill/envs/pictur"):
        render(world, world.initial(jax.random.key(0)))
