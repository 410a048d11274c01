"""Spaces with parts and images, from the environment through training to `policy.act`."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import uphill
from small_runs import NETWORK, POLICY
from uphill.errors import UphillError
from uphill.parts import Algorithm, Steps, ValueFunction
from uphill.policies.convolutions import ConvolutionalTrunk
from uphill.policies.encodings import OneHot


class Grid(gymnasium.Env):
    """A grid of categories, of which the last is on the left or on the right, and a speed."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        image=spaces.Box(0, 255, (7, 7, 3), np.uint8), speed=spaces.Box(-1, 1, (2,))
    )

    def __init__(self, largest: int = 3) -> None:
        self.largest = largest

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action):
        self.t += 1
        return self._observation(), float(action == self.side), self.t >= 4, False, {}

    def _observation(self):
        self.side = int(self.np_random.integers(2))
        image = self.np_random.integers(0, self.largest, (7, 7, 3)).astype(np.uint8)
        image[:, 6 * self.side, 0] = self.largest
        return {"image": image, "speed": np.zeros(2, np.float32)}


def algorithm(**changes) -> Algorithm:
    return uphill.ppo(
        sampling=Steps(num_envs=2, num_steps=16),
        baseline=ValueFunction(network=NETWORK),
        policy=POLICY,
        num_epochs=1,
        num_minibatches=1,
        normalize_observations=True,
        **changes,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    out = tmp_path_factory.mktemp("images") / "run"
    chosen = algorithm(observation_categories=4)
    return uphill.train(Grid, chosen, steps=64, episodes=4, out=out, quiet=True)


def test_a_dict_with_an_image_is_trained_on_and_acted_upon(run: uphill.Run) -> None:
    actor = run.policy.actor
    assert isinstance(actor.policy.trunk, ConvolutionalTrunk)
    assert isinstance(actor.encoding.parts[0], OneHot)
    assert actor.normalizer is not None
    assert sum(actor.normalizer.is_scaled) == 2  # the speed alone
    env = Grid()
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(run.policy.act(observation))
    assert run.evaluation["episodes"] == 4


def test_the_settings_say_what_becomes_of_images(run: uphill.Run) -> None:
    words = "images of 7 × 7 × 12 through convolutions of 16 and 32 filters and 128 units"
    assert run.experiment.settings.endswith(f"; {words}")


def test_a_run_with_images_is_loaded_and_resumed(run: uphill.Run, tmp_path: Path) -> None:
    loaded = uphill.load(run.path, env=Grid)
    observation, _ = Grid().reset(seed=0)
    assert loaded.policy.act(observation) == run.policy.act(observation)
    longer = uphill.resume(run.path, env=Grid, steps=96, episodes=4, quiet=True)
    assert longer.summary()["steps"][0] >= 96


def test_a_category_that_was_not_counted_is_told() -> None:
    with pytest.raises(UphillError, match=r"has the category 5, and observation_categories is 4"):
        uphill.train(
            Grid,
            algorithm(observation_categories=4),
            steps=64,
            env_kwargs={"largest": 5},
            quiet=True,
        )


@pytest.mark.parametrize("categories", [1, 0, -3])
def test_categories_must_be_a_count(categories) -> None:
    with pytest.raises(UphillError, match=r"^observation_categories is .*use at least .*\.$"):
        algorithm(observation_categories=categories)
