"""Policies and value functions: what they start as, and which settings they refuse."""

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from uphill.errors import UphillError
from uphill.learning.learner import make_learner
from uphill.parts import ValueFunction
from uphill.parts.algorithms import ppo
from uphill.policies.actions import action_kind_of
from uphill.policies.convolutions import AutoConvolution, Convolution, ConvolutionalTrunk
from uphill.policies.encodings import Group, Numbers, encoding_of
from uphill.policies.policy import (
    LOG_STD_BOUNDS,
    Network,
    NetworkSettings,
    Policy,
    PolicySettings,
    _check_layers,
    images_described,
    make_action_critic,
    make_critic,
    make_policy,
    values,
)

SIX = Numbers((6,))


def policy_for(space, **settings) -> Policy:
    kind = action_kind_of(space, settings.get("distribution", "gaussian"))
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


@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_the_last_layer_is_orthogonal_and_as_large_as_asked(gain: float) -> None:
    weight = np.asarray(policy_for(spaces.Discrete(4), head_gain=gain).head.weight)
    np.testing.assert_allclose(weight @ weight.T, gain**2 * np.eye(4), rtol=1e-4, atol=1e-7)


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
    settings = PolicySettings(hidden=(8,), activation="relu")
    critic = make_critic(settings, SIX, np.random.default_rng(0))
    values = np.asarray(critic(FEATURES.reshape(10, 10, 6)))
    assert values.shape == (10, 10)
    np.testing.assert_allclose(values.ravel(), critic(FEATURES), rtol=1e-4, atol=1e-6)
    assert critic(FEATURES[0]).shape == ()


def test_what_a_network_leaves_out_is_as_in_the_policy() -> None:
    policy = PolicySettings(hidden=(32,), activation="relu", convolution=SMALL, log_std="head")
    assert NetworkSettings().beside(policy) == policy
    own = NetworkSettings(hidden=(), activation="elu", convolution=None).beside(policy)
    assert own == PolicySettings((), "elu", None, log_std="head")
    critic = make_learner(ppo(policy=policy), IMAGE, action_kind_of(BOX), 0).parts.baseline.critic
    assert critic.trunk.hidden.activation == "relu"
    assert [layer.weight.shape[0] for layer in critic.trunk.hidden.layers] == [32]
    narrow = ppo(policy=policy, baseline=ValueFunction(network=NetworkSettings(hidden=(8,))))
    critic = make_learner(narrow, IMAGE, action_kind_of(BOX), 0).parts.baseline.critic
    assert [layer.weight.shape[0] for layer in critic.trunk.hidden.layers] == [8]


def test_hidden_sizes_may_be_a_list() -> None:
    assert hash(PolicySettings(hidden=[32, 16])) == hash(PolicySettings(hidden=(32, 16)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"activation": "sigmoidal"}, "activation is 'sigmoidal': choose one of tanh, relu, .*"),
        ({"hidden": (64, 0)}, r"hidden is \(64, 0\): every layer needs at least 1 unit"),
        (
            {"initial_log_std": float("nan")},
            "initial_log_std is nan: use a number from -20 to 20.*",
        ),
        ({"initial_log_std": -20.5}, r"initial_log_std is -20\.5: use a number from -20 to 20.*"),
        (
            {"initial_log_std": 1e300},
            r"initial_log_std is 1e\+300: use a number from -20 to 20.*",
        ),
        ({"head_gain": -0.1}, r"head_gain is -0\.1: use a number from 0 to 1,000,000"),
        ({"head_gain": 1e300}, r"head_gain is 1e\+300: use a number from 0 to 1,000,000"),
        ({"log_std": "fixed"}, "log_std is 'fixed': choose free, head or network"),
        (
            {"log_std": "head", "initial_log_std": 3.0},
            "initial_log_std is 3.0: a network's log σ is clipped, so use a number from -20 to 2",
        ),
        (
            {"distribution": "normal"},
            "distribution is 'normal': choose one of gaussian, tanh-gaussian, beta",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UphillError, match=rf"^{sentence}\.$"):
        PolicySettings(**settings)


# --- log σ --------------------------------------------------------------------------------------

BOX = spaces.Box(-1, 1, (2,))


def shaken(tree, seed: int = 0):
    """The same structure with random numbers: what starts at zero is not left there."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + rng.normal(size=x.shape).astype(x.dtype), tree)


@pytest.mark.parametrize("log_std", ["free", "head", "network"])
def test_log_std_starts_as_asked_and_comes_from_where_it_should(log_std: str) -> None:
    policy = policy_for(BOX, log_std=log_std, initial_log_std=-0.5, hidden=(5,))
    start = np.asarray(policy(FEATURES).log_std)
    np.testing.assert_allclose(start, -0.5, atol=0.1)
    policy = shaken(policy)
    found = np.asarray(policy(FEATURES).log_std)
    hidden = np.tanh(FEATURES @ policy.trunk.layers[0].weight.T + policy.trunk.layers[0].bias)
    if log_std == "free":
        expected = np.broadcast_to(policy.log_std, (100, 2))
    elif log_std == "head":
        expected = hidden @ policy.log_std.weight.T + policy.log_std.bias
    else:
        assert isinstance(policy.log_std, Network)
        layer, head = policy.log_std.trunk.layers[0], policy.log_std.head
        own = np.tanh(FEATURES @ layer.weight.T + layer.bias)
        expected = own @ head.weight.T + head.bias
    np.testing.assert_allclose(found, np.clip(expected, *LOG_STD_BOUNDS), rtol=1e-4, atol=1e-4)
    mean = hidden @ policy.head.weight.T + policy.head.bias
    np.testing.assert_allclose(policy(FEATURES).mean, mean, rtol=1e-4, atol=1e-4)
    apart = policy.distribution(policy.hidden(FEATURES), FEATURES)
    np.testing.assert_array_equal(apart.log_std, found)


@pytest.mark.parametrize("log_std", ["head", "network"])
def test_a_networks_log_std_is_bounded_whatever_it_gives(log_std: str) -> None:
    policy = policy_for(BOX, log_std=log_std)
    for scale, bound in ((1e6, 2.0), (-1e6, -20.0)):
        far = eqx.tree_at(
            lambda p: (p.log_std if log_std == "head" else p.log_std.head).bias,
            policy,
            np.full(2, scale, np.float32),
        )
        np.testing.assert_array_equal(far(FEATURES).log_std, np.full((100, 2), bound))


def test_which_parameters_each_kind_of_log_std_has() -> None:
    def shapes(**settings) -> list[tuple[int, ...]]:
        policy = policy_for(BOX, hidden=(5,), **settings)
        return [x.shape for x in jax.tree.leaves(policy)]

    network = [(5, 6), (5,), (2, 5), (2,)]
    assert shapes() == [*network, (2,)]
    assert shapes(log_std="head") == [*network, (2, 5), (2,)]
    assert shapes(log_std="network") == network + network
    beta = [(5, 6), (5,), (4, 5), (4,)]
    assert shapes(distribution="beta") == beta
    assert shapes(distribution="beta", log_std="network") == beta


def test_trap_10_a_beta_policy_starts_close_to_uniform() -> None:
    beta = policy_for(BOX, distribution="beta")(FEATURES)
    np.testing.assert_allclose(beta.mode(), 0.5, atol=0.05)
    assert (np.asarray(beta.entropy()) > -0.3).all()  # that of the uniform distribution is 0


@pytest.mark.parametrize("distribution", ["gaussian", "tanh-gaussian", "beta"])
def test_trap_10_the_ratio_of_an_unchanged_policy_is_1(distribution: str) -> None:
    policy = shaken(policy_for(spaces.Box(-3, 5, (2,)), distribution=distribution))
    given = policy(FEATURES)
    action = given.sample(jax.random.key(0))
    again = policy(FEATURES).log_prob(action)
    np.testing.assert_array_equal(again, given.log_prob(action))
    assert np.isfinite(again).all()


# --- shared trunks ------------------------------------------------------------------------------


def test_a_shared_trunk_is_held_once_and_learns_from_the_value_function() -> None:
    policy = policy_for(BOX, hidden=(5,))
    critic = make_critic(PolicySettings(), SIX, np.random.default_rng(1), shared_with=policy)
    assert critic.is_shared
    assert [x.shape for x in jax.tree.leaves(critic)] == [(1, 5), (1,)]
    hidden = policy.hidden(FEATURES)
    expected = np.asarray(hidden) @ critic.head.weight[0] + critic.head.bias[0]
    np.testing.assert_allclose(values(policy, critic, FEATURES), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(critic(FEATURES, hidden), expected, rtol=1e-4, atol=1e-5)

    def error(model: tuple) -> jax.Array:
        return (values(*model, FEATURES) ** 2).sum()

    gradient, _ = jax.grad(error)((policy, critic))
    assert (np.asarray(gradient.trunk.layers[0].weight) != 0).all()
    assert not np.asarray(gradient.head.weight).any()


def test_a_critic_of_its_own_ignores_the_policys_trunk() -> None:
    policy = policy_for(BOX)
    critic = make_critic(PolicySettings(), SIX, np.random.default_rng(1))
    assert not critic.is_shared
    alone = critic(FEATURES)
    np.testing.assert_array_equal(values(policy, critic, FEATURES), alone)
    np.testing.assert_array_equal(critic(FEATURES, policy.hidden(FEATURES)), alone)


# --- action values ------------------------------------------------------------------------------


def test_the_value_of_a_choice_is_the_output_for_it() -> None:
    kind = action_kind_of(spaces.Discrete(3, start=2))
    q = shaken(make_action_critic(PolicySettings(), SIX, kind, np.random.default_rng(0)))
    action = np.random.default_rng(1).integers(0, 3, (10, 10))
    features = FEATURES.reshape(10, 10, 6)
    of_each = np.asarray(q.network(features))
    assert of_each.shape == (10, 10, 3)
    expected = np.take_along_axis(of_each, action[..., None], -1)[..., 0]
    np.testing.assert_array_equal(q(features, jnp.asarray(action)), expected)


@pytest.mark.parametrize(
    "space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4), BOX], ids=str
)
def test_the_value_of_another_action_depends_on_it(space) -> None:
    kind = action_kind_of(space)
    generator = np.random.default_rng(0)
    q = make_action_critic(PolicySettings(hidden=(8,)), SIX, kind, generator)
    parameters = jnp.zeros((100, kind.num_parameters))
    action = kind.distribution(parameters, jnp.zeros(kind.num_parameters)).sample(jax.random.key(0))
    found = np.asarray(q(FEATURES, action))
    assert found.shape == (100,)
    both = np.concatenate([FEATURES, kind.vector(action)], -1)
    np.testing.assert_array_equal(found, np.asarray(q.network(both))[:, 0])
    assert abs(found - np.asarray(q(FEATURES, jnp.roll(action, 1, axis=0)))).max() > 0.01


# --- images -------------------------------------------------------------------------------------

SMALL = Convolution(filters=(4,), kernels=(3,), strides=(2,))
IMAGE = encoding_of(spaces.Box(0, 255, (9, 8, 3), np.uint8))


def test_policies_and_critics_take_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 9, 8, 3)).astype(np.uint8)
    features = IMAGE.encode(pixels)
    settings = PolicySettings(hidden=(6,), convolution=SMALL, activation="relu", log_std="network")
    generator, kind = np.random.default_rng(0), action_kind_of(BOX)
    policy = make_policy(settings, IMAGE, kind, generator)
    assert policy(features).mean.shape == (2, 5, 2)
    assert policy.log_std.trunk.layers[0].weight.shape == (4, 3, 3, 3)
    critic = make_critic(settings, IMAGE, generator)
    assert critic(features).shape == (2, 5)
    q = make_action_critic(settings, IMAGE, kind, generator)
    assert q(features, jnp.zeros((2, 5, 2))).shape == (2, 5)
    without_hidden = make_critic(
        PolicySettings(hidden=(), convolution=SMALL), IMAGE, generator, None
    )
    assert without_hidden(features).shape == (2, 5)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (SIX, "numbers of shape (6,)"),
        (Numbers((9, 8)), "numbers of shape (9, 8)"),
        (encoding_of(spaces.Discrete(3)), "one of 3 choices"),
        (
            encoding_of(
                spaces.Dict(
                    a=spaces.Discrete(3), b=spaces.Tuple([BOX, spaces.MultiDiscrete([2, 3])])
                )
            ),
            "a Dict (a: one of 3 choices, "
            "b: a Tuple (numbers of shape (2,), choices of shape (2,)))",
        ),
    ],
)
def test_layers_of_certain_sizes_need_an_image(encoding, words) -> None:
    words = re.escape(f"(a Box of pixels) but is {words}, so leave convolution out")
    match = rf"^convolution has kernels \(3,\): the observation has no image {words}\.$"
    settings = PolicySettings(convolution=SMALL)
    with pytest.raises(UphillError, match=match):
        make_critic(settings, encoding, np.random.default_rng(0))


CAMERA = encoding_of(
    spaces.Dict(
        camera=spaces.Box(0, 255, (9, 8, 3), np.uint8),
        mode=spaces.Discrete(3),
        speed=spaces.Box(-1, 1, (2,)),
    )
)


def test_images_in_a_dict_are_convolved_by_default_and_join_the_rest() -> None:
    generator, kind = np.random.default_rng(0), action_kind_of(BOX)
    settings = PolicySettings(hidden=(6,))
    critic = make_critic(settings, CAMERA, generator)
    assert isinstance(critic.trunk, ConvolutionalTrunk)
    assert critic.trunk.hidden.layers[0].weight.shape == (6, 128 + 5)
    features = generator.random((2, 5, CAMERA.size)).astype(np.float32)
    assert critic(features).shape == (2, 5)
    q = make_action_critic(settings, CAMERA, kind, generator)
    assert q(features, jnp.zeros((2, 5, 2))).shape == (2, 5)
    flat = make_critic(PolicySettings(hidden=(6,), convolution=None), CAMERA, generator)
    assert flat.trunk.layers[0].weight.shape == (6, CAMERA.size)


def test_without_an_image_nothing_is_convolved() -> None:
    with_default = make_critic(PolicySettings(), SIX, np.random.default_rng(0))
    without = make_critic(PolicySettings(convolution=None), SIX, np.random.default_rng(0))
    assert jax.tree.structure(with_default) == jax.tree.structure(without)
    for a, b in zip(*map(jax.tree.leaves, (with_default, without)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_becomes_of_images_is_said() -> None:
    assert images_described(PolicySettings(), SIX) == ""
    small = "images of 9 × 8 × 3 through convolutions of 16 and 32 filters and 128 units"
    assert images_described(PolicySettings(), CAMERA) == small
    twice = Group(None, (IMAGE, CAMERA, encoding_of(spaces.Box(0, 255, (84, 84), np.uint8))))
    nature = "images of 84 × 84 × 1 through convolutions of 32, 64 and 64 filters and 512 units"
    assert images_described(PolicySettings(), twice) == f"{small}; {nature}"
    plain = images_described(PolicySettings(convolution=None), CAMERA)
    assert plain == "images of 9 × 8 × 3 as plain numbers, without convolutions"
    assert AutoConvolution() == AutoConvolution()


@pytest.mark.parametrize("convolution", ["none", Convolution, 3])
def test_what_is_no_convolution_is_refused(convolution: Any) -> None:
    with pytest.raises(UphillError, match=r"^convolution is .*: use Convolution\(\), AutoConvol"):
        _check_layers((64,), "tanh", convolution)


@pytest.mark.parametrize("bounds", [("-1", "1"), (1, -1), (0, float("inf")), (1,), 3])
def test_action_bounds_are_two_numbers_in_order(bounds: Any) -> None:
    with pytest.raises(UphillError, match=r"^action_bounds is .*: give a finite number and a gre"):
        PolicySettings(action_bounds=bounds)


class OwnConvolution(eqx.Module):
    """A user's own network for images: features are the pixels, in the observation's own order."""

    layer: eqx.nn.Conv2d
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __call__(self, x):
        image = jnp.moveaxis(x.reshape(self.shape), -1, 0)
        return jax.nn.relu(self.layer(image)).ravel()


def test_a_network_of_ones_own_takes_images() -> None:
    def network(num_features, key):
        assert num_features == 9 * 8 * 3
        return OwnConvolution(eqx.nn.Conv2d(3, 4, 3, key=key), (9, 8, 3))

    generator = np.random.default_rng(0)
    kind = action_kind_of(BOX)
    policy = make_policy(PolicySettings(), IMAGE, kind, generator, network)
    pixels = generator.integers(0, 256, (2, 5, 9, 8, 3)).astype(np.uint8)
    assert policy(IMAGE.encode(pixels)).mean.shape == (2, 5, 2)
    assert policy.head.weight.shape == (2, 4 * 7 * 6)
