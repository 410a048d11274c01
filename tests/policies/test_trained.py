"""What a trained policy says of itself, against what its samples show."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import uphill
from small_runs import small_ppo
from uphill.errors import UphillError
from uphill.learning.learner import make_learner, policy_of, stack_learners, take
from uphill.parts import NoBaseline
from uphill.policies.actions import action_kind_of
from uphill.policies.bounded import BOX_DISTRIBUTIONS
from uphill.policies.encodings import encoding_of
from uphill.policies.policy import PolicySettings
from uphill.policies.trained import TrainedPolicy
from uphill.theory.moments import Moments
from uphill.theory.scaling import Scale

SEEN = spaces.Box(-1, 1, (3,), np.float32)
OBSERVATION = np.array([0.5, -0.2, 0.9], np.float32)
MANY = np.random.default_rng(0).uniform(-1, 1, (2, 5, 3)).astype(np.float32)
WIDE = spaces.Box(np.array([-3.0, 10.0]), np.array([1.0, 10.5]), dtype=np.float64)
FINITE = [
    spaces.Discrete(3, start=-5),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, -3]]),
    spaces.MultiBinary((2, 2)),
]


def policy_for(space: gymnasium.Space, family: str = "gaussian") -> TrainedPolicy:
    """A policy that prefers some actions: its last layer is larger than a fresh one's."""
    algorithm = small_ppo(
        policy=PolicySettings(hidden=(8,), distribution=family, initial_log_std=-1.5)
    )
    kind = action_kind_of(space, family)
    learner = make_learner(algorithm, encoding_of(SEEN), kind, 0)
    bias = np.linspace(-0.8, 0.8, kind.num_parameters).astype(np.float32)
    learner = eqx.tree_at(lambda x: x.actor.policy.head.bias, learner, bias)
    return policy_of(algorithm, learner)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70, 1.5, "a", True])
def test_seeds_never_wrap(seed: Any) -> None:
    policy = policy_for(FINITE[0])
    with pytest.raises(UphillError, match="use a whole number from 0 to 4294967295, or None"):
        type(policy).act.__wrapped__(policy, OBSERVATION, sample=True, seed=seed)
    assert policy.act(OBSERVATION, sample=True, seed=2**32 - 1) in FINITE[0]


@pytest.mark.parametrize("space", FINITE, ids=repr)
def test_probabilities_are_how_often_actions_are_sampled(space: gymnasium.Space) -> None:
    policy = policy_for(space)
    found = policy.distribution(OBSERVATION).probabilities
    drawn = policy.act(np.tile(OBSERVATION, (20_000, 1)), sample=True, seed=1)
    assert found is not None
    if isinstance(found, tuple):
        starts = np.ravel(space.start)
        for k, (part, start) in enumerate(zip(found, starts, strict=True)):
            counted = np.bincount(drawn.reshape(20_000, -1)[:, k] - start, minlength=len(part))
            np.testing.assert_allclose(part, counted / 20_000, atol=0.02)
    elif isinstance(space, spaces.Discrete):
        counted = np.bincount(drawn - space.start, minlength=3)
        np.testing.assert_allclose(found, counted / 20_000, atol=0.02)
    else:
        np.testing.assert_allclose(found, drawn.mean(0), atol=0.02)
        assert found.shape == space.shape


@pytest.mark.parametrize("space", FINITE, ids=repr)
def test_log_prob_is_that_of_how_often_an_action_is_sampled(space: gymnasium.Space) -> None:
    policy = policy_for(space)
    action = policy.act(OBSERVATION)
    drawn = policy.act(np.tile(OBSERVATION, (20_000, 1)), sample=True, seed=2)
    axes = tuple(range(1, drawn.ndim))
    share = (drawn == action).all(axes).mean()
    log_prob = policy.log_prob(OBSERVATION, action)
    assert np.ndim(log_prob) == 0
    assert np.exp(log_prob) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("family", BOX_DISTRIBUTIONS)
def test_mean_and_deviation_are_those_of_the_samples_in_the_environments_units(
    family: str,
) -> None:
    policy = policy_for(WIDE, family)
    drawn = policy.act(np.tile(OBSERVATION, (20_000, 1)), sample=True, seed=1)
    found = policy.distribution(OBSERVATION)
    assert found.mean is not None
    assert found.std is not None
    unit = WIDE.high - WIDE.low
    np.testing.assert_allclose(found.mean / unit, drawn.mean(0) / unit, atol=0.02)
    np.testing.assert_allclose(found.std / unit, drawn.std(0) / unit, atol=0.02)


@pytest.mark.parametrize("family", BOX_DISTRIBUTIONS)
def test_density_integrates_to_one_in_the_environments_units(family: str) -> None:
    policy = policy_for(spaces.Box(-3.0, 5.0, (1,), np.float32), family)
    # A Gaussian's samples are clipped only on their way to the environment.
    low, high = (-13, 15) if family == "gaussian" else (-3, 5)
    edges = np.linspace(low, high, 4001)
    grid = ((edges[1:] + edges[:-1]) / 2)[:, None].astype(np.float32)
    density = np.exp(policy.log_prob(np.tile(OBSERVATION, (4000, 1)), grid))
    assert density.sum() * (high - low) / 4000 == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("space", [*FINITE, WIDE, spaces.Box(0, 255, (2, 2), np.uint8)], ids=repr)
def test_leading_axes_are_those_of_the_observations(space: gymnasium.Space) -> None:
    policy = policy_for(space)
    actions = policy.act(MANY)
    assert actions.shape == (2, 5, *(space.shape or ()))
    assert policy.log_prob(MANY, actions).shape == (2, 5)
    assert policy.value(MANY).shape == (2, 5)
    found = policy.distribution(MANY)
    for array in jax.tree.leaves([found.probabilities, found.mean, found.std]):
        assert array.shape[:2] == (2, 5)
    of_one = policy.log_prob(MANY[1, 2], actions[1, 2])
    assert of_one == pytest.approx(float(policy.log_prob(MANY, actions)[1, 2]), rel=1e-5)


def test_values_are_in_the_units_of_the_rewards() -> None:
    algorithm = small_ppo(normalize_rewards=True)
    kind = action_kind_of(spaces.Discrete(2))
    learner = take(stack_learners([make_learner(algorithm, encoding_of(SEEN), kind, 0)]), 0)
    plain = policy_of(algorithm, learner).value(OBSERVATION)
    moments = Moments(
        np.array(10, np.uint32), np.array([1.0], np.float32), np.array([9.0], np.float32)
    )
    scale = Scale(moments, np.zeros(4, np.float32))
    learner = eqx.tree_at(lambda x: x.scales.rewards, learner, scale)
    assert policy_of(algorithm, learner).value(OBSERVATION) == pytest.approx(3 * plain, rel=1e-5)


def test_a_policy_without_a_value_function_says_so() -> None:
    algorithm = uphill.reinforce(baseline=NoBaseline(), policy=PolicySettings(hidden=(8,)))
    kind = action_kind_of(spaces.Discrete(2))
    policy = policy_of(algorithm, make_learner(algorithm, encoding_of(SEEN), kind, 0))
    with pytest.raises(UphillError, match=r"no V\(s\).*baseline=ValueFunction"):
        policy.value(OBSERVATION)


@pytest.mark.parametrize(
    ("space", "action", "sentence"),
    [
        (spaces.Discrete(3), 3, "action is 3, which is no choice"),
        (spaces.Discrete(3), 0.5, "action is 0.5, which is no choice"),
        (spaces.Discrete(3), [1, 2], r"action has shape \(2,\), and the environment's has \(\)"),
        (spaces.MultiBinary(2), [0, 2], "which is no choice"),
        (WIDE, [0.0, np.nan], "give finite numbers"),
        (WIDE, 1.0, r"action has shape \(\)"),
        (WIDE, ["a", "b"], "in the numbers that act returns"),
    ],
)
def test_what_is_no_action_is_a_sentence(
    space: gymnasium.Space, action: object, sentence: str
) -> None:
    with pytest.raises(UphillError, match=sentence):
        policy_for(space).log_prob(OBSERVATION, action)


def test_as_many_actions_as_observations() -> None:
    with pytest.raises(UphillError, match=r"come in \(2, 5\): give one action"):
        policy_for(FINITE[0]).log_prob(MANY, np.zeros((2, 4), np.int64))
