"""One environment of EnvPool's, behind Gymnasium's signatures, with its pictures."""

import numpy as np
import pytest

from uphill.envs.backends.envpool import make_pool
from uphill.envs.backends.pool_of_one import PooledEnv
from uphill.errors import UphillError


def test_it_plays_what_the_pool_plays_and_repeats_itself() -> None:
    actions = np.random.default_rng(0).integers(0, 6, 40)
    env = PooledEnv("Pong-v5", {"frame_skip": 4}, "rgb_array")
    assert env.metadata["render_fps"] == 15
    assert env.observation_space.shape == (4, 84, 84)
    pool = make_pool("Pong-v5", [7], {"frame_skip": 4})
    expected = [pool.reset()[0][0]]
    expected += [pool.step(np.array([a], np.int32))[0][0].copy() for a in actions]
    pictures = []
    for _ in range(2):
        found = [env.reset(seed=7)[0]]
        for action in actions:
            observation, reward, terminated, truncated, _ = env.step(action)
            assert (type(reward), terminated, truncated) == (float, False, False)
            found.append(observation)
        np.testing.assert_array_equal(found, expected)
        pictures.append(env.render())
    env.close()
    assert pictures[0].shape == (210, 160, 3)
    assert len(np.unique(pictures[0])) > 3
    np.testing.assert_array_equal(*pictures)


def test_what_mujoco_would_have_to_draw_is_refused() -> None:
    with pytest.raises(UphillError, match=r"CheetahRun-v1 can't draw itself: .* envpool\.mujoco"):
        PooledEnv("CheetahRun-v1", {}, "rgb_array")
