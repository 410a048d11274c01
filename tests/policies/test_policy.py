"""Policies and value functions: what they start as, and which settings they refuse."""

import jax
import numpy as np
import pytest
from gymnasium import spaces

from uphill.errors import UphillError
from uphill.policies.policy import NetworkSettings, PolicySettings, make_critic, make_policy
from uphill.policies.spaces import Numbers, action_kind_of

SIX = Numbers((6,))


def policy_for(space, **settings):
    kind = action_kind_of(space)
    return make_policy(PolicySettings(**settings), SIX, kind, np.random.default_rng(0))


FEATURES = np.random.default_rng(1).normal(size=(100, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("space", "uniform"),
    [
        (spaces.Discrete(4), np.log(4)),
        (spaces.MultiDiscrete([2, 3]), np.log(6)),
        (spaces.MultiBinary(5), 5 * np.log(2)),
    ],
    ids=str,
)
def test_a_policy_starts_close_to_uniform_but_not_equal(space, uniform: float) -> None:
    entropy = np.asarray(policy_for(space)(FEATURES).entropy())
    assert entropy.shape == (100,)
    np.testing.assert_allclose(entropy, uniform, rtol=1e-3)
    assert (entropy < uniform).any()


def test_a_continuous_policy_starts_in_the_middle_with_the_asked_deviation() -> None:
    policy = policy_for(spaces.Box(-5, 9, (2, 3)), initial_log_std=-0.5)
    distribution = policy(FEATURES)
    assert distribution.mean.shape == (100, 6)
    assert abs(np.asarray(distribution.mean)).max() < 0.1
    np.testing.assert_array_equal(distribution.log_std, np.full((100, 6), -0.5))
    assert policy.log_std.shape == (6,)
    samples = np.asarray(distribution.sample(jax.random.key(0)))
    assert samples.std() == pytest.approx(np.exp(-0.5), rel=0.1)


def test_discrete_policies_have_no_deviation() -> None:
    assert policy_for(spaces.Discrete(2)).log_std is None


def test_a_critic_gives_one_number_for_each_observation() -> None:
    settings = NetworkSettings(hidden=(8,), activation="relu")
    critic = make_critic(settings, SIX, np.random.default_rng(0))
    values = np.asarray(critic(FEATURES.reshape(10, 10, 6)))
    assert values.shape == (10, 10)
    np.testing.assert_allclose(values.ravel(), critic(FEATURES), rtol=1e-4, atol=1e-6)
    assert critic(FEATURES[0]).shape == ()


def test_hidden_sizes_may_be_a_list() -> None:
    assert hash(NetworkSettings(hidden=[32, 16])) == hash(NetworkSettings(hidden=(32, 16)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"activation": "sigmoidal"}, "activation is 'sigmoidal': choose one of tanh, relu, .*"),
        ({"hidden": (64, 0)}, r"hidden is \(64, 0\): every layer needs at least 1 unit"),
        ({"initial_log_std": float("nan")}, "initial_log_std is nan: use a finite number, .*"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UphillError, match=rf"^{sentence}\.$"):
        PolicySettings(**settings)
