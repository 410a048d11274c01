"""The learner: every kind of policy acts, learns and is restored; what a critic may share."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jax.flatten_util import ravel_pytree
from steps import descent_direction
from trajectories import ENCODING, trajectory_of

from plain import ppo
from uphill.learning.advantages import look_at, make_batch
from uphill.learning.learner import make_learner, networks_of
from uphill.learning.update import update
from uphill.parts import GAE, SGD, Algorithm, Steps, ValueFunction
from uphill.policies.actions import action_kind_of
from uphill.policies.convolutions import Convolution
from uphill.policies.encodings import encoding_of
from uphill.policies.policy import NetworkSettings, PolicySettings, make_critic, values
from uphill.runs.files import tree_from

SMALL = NetworkSettings(hidden=(4,))
BOX = spaces.Box(-2, 1, (2,))
jitted = jax.jit(update)


def own(inputs, key):
    return eqx.nn.MLP(inputs, 3, 4, 1, key=key)


def algorithm_with(**policy) -> Algorithm:
    return ppo(
        sampling=Steps(4, 12),
        baseline=ValueFunction(network=SMALL),
        policy=PolicySettings(hidden=(4,), **policy),
        num_epochs=1,
        num_minibatches=1,
        optimizer=SGD(learning_rate=0.1),
    )


@pytest.mark.parametrize("network", [None, own], ids=["ours", "own"])
@pytest.mark.parametrize(
    ("distribution", "log_std"),
    [
        ("gaussian", "free"),
        ("gaussian", "head"),
        ("gaussian", "network"),
        ("tanh-gaussian", "head"),
        ("beta", "free"),
    ],
)
def test_every_parameter_of_every_kind_of_policy_learns(distribution, log_std, network):
    algorithm = algorithm_with(distribution=distribution, log_std=log_std)
    kind = action_kind_of(BOX, distribution)
    learner = jax.tree.map(jnp.asarray, make_learner(algorithm, ENCODING, kind, 0, network))
    trajectory = trajectory_of(learner)
    after, metrics = jitted(algorithm, learner, trajectory, jax.random.key(0))
    assert jax.tree.structure(after) == jax.tree.structure(learner)
    assert all(np.isfinite(value) for value in metrics.values())
    models = [networks_of(algorithm, x) for x in (learner, after)]
    for old, new in zip(*map(jax.tree.leaves, models), strict=True):
        assert np.isfinite(new).all()
        assert not np.array_equal(old, new)


def test_an_image_policy_learns_and_its_pixels_are_not_normalised():
    image = encoding_of(spaces.Box(0, 255, (8, 8, 3), np.uint8))
    convolution = Convolution(filters=(2,), kernels=(3,), strides=(2,))
    algorithm = ppo(
        sampling=Steps(4, 12),
        baseline=ValueFunction(network=NetworkSettings((4,), "tanh", convolution)),
        policy=PolicySettings(hidden=(4,), convolution=convolution),
        normalize_observations=True,
    )
    kind = action_kind_of(spaces.Discrete(3))
    learner = jax.tree.map(jnp.asarray, make_learner(algorithm, image, kind, 0))
    assert learner.actor.normalizer is None
    pixels = np.random.default_rng(0).integers(0, 256, (13, 4, 8, 8, 3)).astype(np.uint8)
    # Rewards and ends are those of another learner.
    made = trajectory_of(
        jax.tree.map(jnp.asarray, make_learner(algorithm_with(), ENCODING, kind, 0))
    )
    action, log_prob, _ = learner.actor.act(pixels[:-1], jax.random.key(1))
    trajectory = eqx.tree_at(
        lambda t: (t.observation, t.final_observation, t.action, t.log_prob),
        made,
        (pixels[:-1], pixels[-1], action, log_prob),
    )
    after, _ = jitted(algorithm, learner, trajectory, jax.random.key(0))
    weights = [x.actor.policy.trunk.layers[0].weight for x in (learner, after)]
    assert np.isfinite(weights[1]).all()
    assert not np.array_equal(*weights)


def test_a_learner_with_an_own_network_is_restored_from_its_tensors():
    kind = action_kind_of(spaces.Discrete(2))
    algorithm = algorithm_with()
    one, other = (make_learner(algorithm, ENCODING, kind, seed, own) for seed in (0, 1))
    leaves, _ = jax.tree_util.tree_flatten_with_path(one)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    tensors = dict(zip(names, (leaf for _, leaf in leaves), strict=True))
    again = tree_from(other, tensors)
    x = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(again.actor(x).logits, one.actor(x).logits)
    assert not np.array_equal(other.actor(x).logits, one.actor(x).logits)


def test_a_shared_trunk_gets_the_gradients_of_both():
    algorithm = algorithm_with()
    kind = action_kind_of(spaces.Discrete(2))
    learner = jax.tree.map(jnp.asarray, make_learner(algorithm, ENCODING, kind, 0))
    policy = learner.actor.policy
    critic = make_critic(
        PolicySettings(hidden=(4,)), ENCODING, np.random.default_rng(1), shared_with=policy
    )
    critic = jax.tree.map(jnp.asarray, critic)
    learner = eqx.tree_at(lambda x: x.parts.baseline.critic, learner, critic)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    value = values(policy, critic, trajectory.observation)
    final = values(policy, critic, trajectory.final_observation)
    expected = GAE()(None, look_at(algorithm, learner, trajectory).valued(value, final))
    np.testing.assert_allclose(batch.target.reshape(12, 4), expected, rtol=1e-5, atol=1e-5)

    def gradient_of(algorithm: Algorithm, model: tuple) -> np.ndarray:
        return descent_direction(algorithm, model, batch)[0]

    def alone(coefficient: float) -> Algorithm:
        baseline = ValueFunction(network=SMALL, coefficient=coefficient)
        return eqx.tree_at(lambda a: a.baseline, algorithm, baseline)

    both, only_policy = (gradient_of(alone(c), (policy, critic)) for c in (0.5, 0.0))

    def value_loss(model: tuple) -> jax.Array:
        error = (values(*model, batch.features) - batch.target) ** 2
        return 0.5 * jnp.where(batch.mask, error, 0.0).sum() / batch.mask.sum()

    of_value = jax.grad(value_loss)((policy, critic))
    total, parts = ravel_pytree(both)[0], ravel_pytree(only_policy)[0] + ravel_pytree(of_value)[0]
    np.testing.assert_allclose(total, parts, rtol=1e-4, atol=1e-6)
    assert abs(of_value[0].trunk.layers[0].weight).max() > 1e-3


def test_acting_with_epsilon_samples_the_mixture_and_stores_its_log_prob():
    kind = action_kind_of(spaces.Discrete(4))
    learner = make_learner(algorithm_with(), ENCODING, kind, 0)
    bias = np.float32([8, 0, 0, 0])
    actor = eqx.tree_at(lambda a: a.policy.head.bias, learner.actor, bias)
    observation = np.zeros((20_000, 3), np.float32)
    action, log_prob, given = actor.act(observation, jax.random.key(0), 0.4)
    p = 0.6 * np.exp(bias) / np.exp(bias).sum() + 0.1
    np.testing.assert_allclose(log_prob, np.log(p)[np.asarray(action)], rtol=1e-4)
    np.testing.assert_array_equal(action, given)
    shares = np.bincount(action, minlength=4) / len(action)
    np.testing.assert_allclose(shares, p, atol=4 * 0.5 / 20_000**0.5)
    greedy, _, _ = actor.act(observation, jax.random.key(0))
    assert (np.asarray(greedy) == 0).mean() > 0.99
