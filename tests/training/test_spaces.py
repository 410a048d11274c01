from dataclasses import replace

import gymnasium
import numpy as np

from plain import ppo
from uphill.envs.make import choose, make_env
from uphill.policies.actions import action_kind_of
from uphill.policies.encodings import encoding_of
from uphill.policies.policy import PolicySettings
from uphill.training.spaces import action_kind_for, encoding_for


class Cards(gymnasium.Env):
    """Two numbers under names, the first of them far from 0."""

    observation_space = gymnasium.spaces.Dict(
        {
            "clock": gymnasium.spaces.Box(0, 2**40, (), np.int64),
            "suit": gymnasium.spaces.Discrete(4),
        }
    )
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"clock": np.int64(2**36), "suit": 1}, {}

    def step(self, action):
        return {"clock": np.int64(2**36 + 1), "suit": 2}, 0.0, True, False, {}


def test_a_compiled_world_is_seen_as_its_space_says() -> None:
    env, _ = make_env(choose("CartPole-v1"))
    assert encoding_for(env, ppo(), (), None) == encoding_of(env.observation_space)
    assert action_kind_for(env, ppo()) == action_kind_of(env.action_space, "gaussian")


def test_a_python_environment_is_seen_from_where_it_starts_without_what_is_dropped() -> None:
    env, _ = make_env(choose(Cards))
    seen = encoding_for(env, ppo(), (), None)
    assert seen.parts[0].offset == (2**36,)
    # The environment itself leaves those out; a policy that is given them later looks past them.
    assert encoding_for(env, ppo(), ("mission",), None).ignored == ("mission",)
    # A training that goes on sees what it saw, wherever the environment starts by then.
    plain = encoding_of(env.observation_space)
    assert encoding_for(env, ppo(), (), plain) == plain
    env.close()


def test_bounds_that_the_space_lacks_are_those_of_the_settings() -> None:
    env, _ = make_env(choose(Cards))
    bounded = replace(PolicySettings(), action_bounds=(-1.0, 1.0))
    kind = action_kind_for(env, ppo(policy=bounded))
    np.testing.assert_allclose(kind.to_environment(np.float32([[9.0, -9.0]])), [[1.0, -1.0]])
    env.close()
