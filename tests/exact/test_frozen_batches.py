"""Our gradients of PPO's and A2C's losses against those that Stable-Baselines3's own code computed.

The numbers were made by `python -m benchmarks.frozen_batches`, in float64.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from steps import descent_direction

from plain import a2c, ppo
from uphill.batch import Batch
from uphill.learning.learner import joint_model, make_learner
from uphill.parts import Algorithm, Steps, ValueFunction
from uphill.policies.actions import action_kind_of
from uphill.policies.encodings import encoding_of
from uphill.policies.policy import Critic, NetworkSettings, Policy, PolicySettings
from uphill.theory.returns import lambda_return

ACTIONS = {"discrete": spaces.Discrete(3), "gaussian": spaces.Box(-1, 1, (2,), np.float32)}
EQUAL = 1e-8


@pytest.fixture(scope="module")
def frozen() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "frozen_batches.npz") as data:
        return dict(data)


def tensors(model: tuple[Policy, Critic]) -> dict[str, Any]:
    """The networks' arrays by the names that they have in the data."""
    policy, critic = model
    layers = {
        "policy.layer": policy.trunk.layers[0],
        "policy.head": policy.head,
        "critic.layer": critic.trunk.layers[0],
        "critic.head": critic.head,
    }
    # Equinox and PyTorch both keep a layer's weight as [outputs, inputs].
    named = {f"{name}.weight": layer.weight for name, layer in layers.items()}
    named |= {f"{name}.bias": layer.bias for name, layer in layers.items()}
    return named | ({} if policy.log_std is None else {"policy.log_std": policy.log_std})


def rebuilt(algorithm: Algorithm, kind: str, data: dict[str, np.ndarray]) -> tuple[Policy, Critic]:
    """The networks, with the weights of the data."""
    box = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    learner = make_learner(algorithm, encoding_of(box), action_kind_of(ACTIONS[kind]), seed=0)
    model = joint_model(algorithm, learner)
    values = [jnp.asarray(data[f"{kind}/weights/{name}"]) for name in tensors(model)]
    return eqx.tree_at(lambda model: list(tensors(model).values()), model, values)


def batch_of(data: dict[str, np.ndarray], kind: str) -> Batch:
    """The data as one block of samples. `descent_direction` takes the mean over its samples, as
    SB3 does over a minibatch."""

    def flat(name: str) -> jax.Array:
        x = data[f"{kind}/{name}"]
        return jnp.asarray(x.reshape(1, -1, *x.shape[2:]))

    action = flat("actions")
    if kind == "discrete":  # SB3 stores numbers of choices as vectors of one float
        action = action[..., 0].astype(jnp.int32)
    samples = (action, flat("log_probs"), flat("advantages"), flat("returns"))
    features = flat("observations").astype(jnp.float64)
    return Batch(features, *samples, mask=jnp.ones(samples[1].shape, bool))


def algorithm_of(name: str, advantages: str) -> Algorithm:
    """The same loss as in the data.

    SB3 descends policy_loss + ent_coef · (−mean H) + vf_coef · mean (V − G)², where policy_loss is
    minus the mean of the surrogate: that is minus our objective. So the gradients are the same,
    sign, scale and all: its ent_coef is our `entropy`, its vf_coef our `coefficient`.
    """
    network = {"hidden": (8,), "activation": "tanh"}
    make = {"ppo": ppo, "a2c": a2c}[name]
    return make(
        sampling=Steps(num_envs=4, num_steps=6),
        baseline=ValueFunction(network=NetworkSettings(**network), coefficient=0.5),
        policy=PolicySettings(**network),
        entropy=0.03,
        scale_advantages="minibatch" if advantages == "scaled" else "none",
    ).at(0.0)


@pytest.mark.parametrize("advantages", ["raw", "scaled"])
@pytest.mark.parametrize("name", ["ppo", "a2c"])
@pytest.mark.parametrize("kind", ["discrete", "gaussian"])
def test_trap_29_gradients_equal_those_of_stable_baselines3(
    frozen: dict[str, np.ndarray], kind: str, name: str, advantages: str
) -> None:
    algorithm = algorithm_of(name, advantages)
    model, batch = rebuilt(algorithm, kind, frozen), batch_of(frozen, kind)
    gradient, _ = descent_direction(algorithm, model, batch)
    for tensor, found in tensors(gradient).items():
        expected = frozen[f"{kind}/{name}/{advantages}/{tensor}"]
        assert expected.dtype == found.dtype == np.float64
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(found, expected, rtol=0, atol=EQUAL, err_msg=tensor)


@pytest.mark.parametrize("kind", ["discrete", "gaussian"])
def test_trap_29_the_frozen_batches_have_ratios_of_every_sort(
    frozen: dict[str, np.ndarray], kind: str
) -> None:
    batch = batch_of(frozen, kind)
    policy, _ = rebuilt(algorithm_of("ppo", "raw"), kind, frozen)
    log_prob = policy(batch.features).log_prob(batch.action)
    ratio, is_good = np.exp(log_prob - batch.old_log_prob), np.asarray(batch.advantage > 0)
    assert (is_good & (ratio > 1.2)).any()  # clipped: no gradient
    assert (~is_good & (ratio < 0.8)).any()
    assert (is_good & (ratio < 0.8)).any()  # away, but free to come back
    assert (~is_good & (ratio > 1.2)).any()
    assert (np.abs(ratio - 1) < 0.2).any()


def test_gae_equals_that_of_stable_baselines3s_buffer(frozen: dict[str, np.ndarray]) -> None:
    names = ("reward", "terminated", "value", "final_value", "advantage", "target")
    reward, terminated, value, final_value, advantage, target = (frozen[f"gae/{x}"] for x in names)
    assert terminated.any()
    assert not terminated[-1].all()
    never = np.zeros_like(terminated)
    found = lambda_return(reward, terminated, never, value, final_value, gamma=0.95, lam=0.9)
    np.testing.assert_allclose(found, target, rtol=0, atol=EQUAL)
    np.testing.assert_allclose(found - value, advantage, rtol=0, atol=EQUAL)
