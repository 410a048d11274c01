"""Spaces with parts and images, from the environment through training to `policy.act`."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import Endless

import uphill
from small_runs import NETWORK, POLICY
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.parts import Algorithm, Steps, ValueFunction
from uphill.policies.convolutions import ConvolutionalTrunk
from uphill.policies.encodings import OneHot
from uphill.training.evaluate import evaluate_actors
from uphill.training.trainer import Trainer


class Grid(gymnasium.Env):
    """A grid of categories, of which the last is on the left or on the right, and a speed."""

    action_space: spaces.Space = spaces.Discrete(2)
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
        return (
            self._observation(),
            float(self._side_in(action) == self.side),
            self.t >= 4,
            False,
            {},
        )

    def _side_in(self, action):
        return action

    def _observation(self):
        self.side = int(self.np_random.integers(2))
        image = self.np_random.integers(0, self.largest, (7, 7, 3)).astype(np.uint8)
        image[:, 6 * self.side, 0] = self.largest
        return {"image": image, "speed": np.zeros(2, np.float32)}


class GridWithParts(Grid):
    """The same, with an action of several parts."""

    action_space = spaces.Dict(
        which=spaces.Tuple((spaces.Discrete(2, start=5), spaces.MultiBinary(2))),
        push=spaces.Box(-3, 5, (2,), np.float64),
    )

    def _side_in(self, action):
        assert self.action_space.contains(action), action
        return action["which"][0] - 5


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
    return uphill.train(GridWithParts, chosen, steps=64, episodes=4, out=out, quiet=True)


def test_a_dict_with_an_image_is_trained_on_and_acted_upon(run: uphill.Run) -> None:
    actor = run.policy.actor
    assert isinstance(actor.policy.trunk, ConvolutionalTrunk)
    assert isinstance(actor.encoding.parts[0], OneHot)
    assert actor.normalizer is not None
    assert sum(actor.normalizer.is_scaled) == 2  # the speed alone
    env = GridWithParts()
    observation, _ = env.reset(seed=0)
    for sample in (False, True):
        action = run.policy.act(observation, sample=sample)
        assert env.action_space.contains(action)
        assert isinstance(action["which"][0], np.int64)
    assert run.evaluation["episodes"] == 4


def test_the_settings_say_what_becomes_of_images(run: uphill.Run) -> None:
    words = "images of 7 × 7 × 12 through convolutions of 16 and 32 filters and 128 units"
    assert run.experiment.settings.endswith(f"; {words}")


def test_a_policy_of_several_parts_says_its_distribution(run: uphill.Run) -> None:
    observation, _ = GridWithParts().reset(seed=0)
    found = run.policy.distribution(observation).parts
    assert list(found) == list(GridWithParts.action_space.spaces)
    choice, switches = found["which"].parts
    assert choice.probabilities.shape == switches.probabilities.shape == (2,)
    assert found["push"].mean.shape == found["push"].std.shape == (2,)
    action = run.policy.act(observation, sample=True, seed=0)
    log_prob = run.policy.log_prob(observation, action)
    z = (action["push"] - found["push"].mean) / found["push"].std
    density = (-0.5 * z**2 - np.log(found["push"].std * (2 * np.pi) ** 0.5)).sum()
    on, off = switches.probabilities, 1 - switches.probabilities
    bits = np.log(np.where(action["which"][1] == 1, on, off)).sum()
    expected = density + bits + np.log(choice.probabilities[action["which"][0] - 5])
    if (np.abs(action["push"] - 1) < 4).all():  # else it was clipped
        np.testing.assert_allclose(log_prob, expected, rtol=1e-4)
    with pytest.raises(UphillError, match=r"^action does not have the parts"):
        run.policy.log_prob(observation, 1)


def test_a_run_with_images_is_loaded_and_resumed(run: uphill.Run, tmp_path: Path) -> None:
    loaded = uphill.load(run.path, env=GridWithParts)
    observation, _ = Grid().reset(seed=0)
    acted = [x.policy.act(observation, sample=True, seed=3) for x in (loaded, run)]
    for a, b in zip(*map(jax.tree.leaves, acted), strict=True):
        np.testing.assert_array_equal(a, b)
    longer = uphill.resume(run.path, env=GridWithParts, steps=96, episodes=4, quiet=True)
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


@dataclass(frozen=True)
class Cells(Endless):
    """A grid of bytes whose last cell counts the steps."""

    max_episode_steps: int = 4
    observation_space: ClassVar[gymnasium.Space] = spaces.Box(0, 255, (3, 3, 1), np.uint8)

    def observation(self, state):
        return jnp.zeros((3, 3, 1), jnp.uint8).at[2, 2].set(state.time.astype(jnp.uint8))


@pytest.mark.parametrize(("categories", "is_refused"), [(4, False), (3, True)])
def test_an_evaluation_counts_categories_too(categories: int, is_refused: bool) -> None:
    """The last observation of an episode is acted upon by nobody, and may have any."""
    choice, chosen = choose(Cells()), algorithm(observation_categories=categories)
    trainer = Trainer(choice, chosen, (0,), 32)
    actors = trainer.start().learners.actor
    match = (
        r"larger category than .* \(of the policy with index 0, .* larger observation_categories"
    )
    with pytest.raises(UphillError, match=match) if is_refused else nullcontext():
        assert evaluate_actors(choice, actors, range(1), 2).mean() == 4
    trainer.close()


@pytest.mark.parametrize("categories", [1, 0, -3])
def test_categories_must_be_a_count(categories) -> None:
    with pytest.raises(UphillError, match=r"^observation_categories is .*use at least .*\.$"):
        algorithm(observation_categories=categories)
