"""Parts: which are refused, and that changing a number never compiles again."""

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uphill.errors import UphillError
from uphill.learning.algorithms import ALGORITHMS, a2c, ppo, reinforce, vpg
from uphill.learning.parts import (
    GAE,
    SGD,
    Adam,
    Algorithm,
    BatchMean,
    ClippedRatio,
    Episodes,
    NoBaseline,
    RewardToGo,
    RMSProp,
    ScoreFunction,
    Steps,
    ValueFunction,
)

NAN, INF = float("nan"), float("inf")

REFUSED = [
    (Steps, {"num_envs": 0}, "num_envs is 0: use at least 1"),
    (Steps, {"num_steps": -3}, "num_steps is -3: use at least 1"),
    (Steps, {"tail": "bootstrap"}, "tail is 'bootstrap': choose cut or mask"),
    (Episodes, {"num_envs": 0}, "num_envs is 0: use at least 1"),
    (Episodes, {"per_env": 0}, "per_env is 0: use at least 1"),
    (RewardToGo, {"gamma": 1.01}, "gamma is 1.01: use a number from 0 to 1"),
    (RewardToGo, {"gamma": NAN}, "gamma is nan: use a number from 0 to 1"),
    (GAE, {"gamma": -0.1}, "gamma is -0.1: use a number from 0 to 1"),
    (GAE, {"lam": 2.0}, "lam is 2.0: use a number from 0 to 1"),
    (ValueFunction, {"num_steps": 0}, "num_steps is 0: use at least 1"),
    (ValueFunction, {"coefficient": -1.0}, "coefficient is -1.0: use a number that is 0 or more"),
    (ValueFunction, {"coefficient": INF}, "coefficient is inf: use a number that is 0 or more"),
    (ClippedRatio, {"epsilon": -0.2}, "epsilon is -0.2: use 0 or more"),
    (ClippedRatio, {"epsilon": "linear:0.2:-1"}, "epsilon is linear:0.2:-1.0: use 0 or more"),
    (Adam, {"learning_rate": -1.0}, "learning_rate is -1.0: use 0 or more"),
    (Adam, {"learning_rate": "linear:1:-1"}, "learning_rate is linear:1.0:-1.0: use 0 or more"),
    (Adam, {"b1": 1.0}, "b1 is 1.0: use a number from 0 to below 1"),
    (Adam, {"b2": NAN}, "b2 is nan: use a number from 0 to below 1"),
    (Adam, {"eps": -1e-8}, "eps is -1e-08: use a number that is 0 or more"),
    (RMSProp, {"decay": 1.5}, "decay is 1.5: use a number from 0 to below 1"),
    (RMSProp, {"max_grad_norm": 0.0}, "max_grad_norm is 0.0: use a number above 0, or None"),
    (SGD, {"max_grad_norm": NAN}, "max_grad_norm is nan: use a number above 0, or None"),
    (SGD, {"max_grad_norm": INF}, "max_grad_norm is inf: use a number above 0, or None"),
    (SGD, {"learning_rate": "fast"}, "'fast' is no schedule: write a number or linear:START:END"),
    (ppo, {"num_epochs": 0}, "num_epochs is 0: use at least 1"),
    (ppo, {"num_minibatches": 0}, "num_minibatches is 0: use at least 1"),
    (
        ppo,
        {"scale_advantages": "yes"},
        "scale_advantages is 'yes': choose none, batch or minibatch",
    ),
    (ppo, {"mean_over": "samples"}, "mean_over is 'samples': choose steps or episodes"),
    (
        ppo,
        {"mean_over": "episodes"},
        "mean_over is 'episodes': a window of fixed length holds no fixed number of episodes, so "
        "use steps, or Episodes as the sampling",
    ),
    (
        ppo,
        {"baseline": BatchMean()},
        "estimator is GAE: it bootstraps from a value function, so use ValueFunction as the "
        "baseline or RewardToGo as the estimator",
    ),
    (
        a2c,
        {"num_epochs": 2},
        "num_epochs is 2: after the first epoch the batch is no longer the policy's own, so use 1 "
        "or ClippedRatio as the surrogate",
    ),
    (
        a2c,
        {"num_minibatches": 2},
        "num_minibatches is 2: after the first minibatch the batch is no longer the policy's own, "
        "so use 1 or ClippedRatio as the surrogate",
    ),
    (
        ppo,
        {"sampling": Episodes(), "num_minibatches": 4},
        "num_minibatches is 4: episodes have no fixed number of steps to split, so use 1, or Steps "
        "as the sampling",
    ),
    (
        ppo,
        {"num_minibatches": 3},
        "num_minibatches is 3: it does not divide the batch of 8 environments × 128 steps = 1024; "
        "use 2, or change one of these",
    ),
]


@pytest.mark.parametrize(("make", "changes", "sentence"), REFUSED)
def test_settings_that_mean_nothing_are_refused(
    make: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UphillError, match=f"^{re.escape(sentence)}\\.$"):
        make(**changes)


def test_a_field_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="gama"):
        RewardToGo(gama=0.9)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_epochs": 1, "num_minibatches": 1, "surrogate": ScoreFunction()},
        {"sampling": Episodes(), "num_minibatches": 1, "num_epochs": 3, "mean_over": "episodes"},
        {"estimator": RewardToGo(), "baseline": NoBaseline()},
        {"sampling": Steps(num_envs=3, num_steps=5), "num_minibatches": 5},
        {"optimizer": SGD(), "entropy": 0.01},
    ],
)
def test_combinations_that_mean_something_are_not(changes: dict[str, Any]) -> None:
    assert isinstance(ppo(**changes), Algorithm)


def test_trap_15_value_losses_are_not_clipped() -> None:
    assert not [name for name in ValueFunction.__annotations__ if "clip" in name]


def test_an_algorithm_at_a_time_has_its_schedules_evaluated() -> None:
    algorithm = vpg(
        optimizer=Adam(learning_rate="linear:1:0"),
        baseline=ValueFunction(optimizer=SGD(learning_rate="linear:0:8")),
        entropy="linear:0.5:0.25",
    )
    now = algorithm.at(0.75)
    assert now.optimizer.learning_rate.value == 0.25
    assert now.baseline.optimizer.learning_rate.value == 6.0
    assert now.entropy.value == 0.3125
    assert algorithm.optimizer.learning_rate.value == 1.0
    for constant in (reinforce(), ppo()):
        assert eqx.tree_equal(constant.at(0.3), constant)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_changing_a_number_does_not_trace_again_and_changing_a_part_does(name: str) -> None:
    traces = []

    @jax.jit
    def use(algorithm: Algorithm) -> list:
        traces.append(algorithm)
        return [leaf * 2.0 for leaf in jax.tree.leaves(algorithm.at(0.5))]

    algorithm = ALGORITHMS[name]()
    leaves, tree = jax.tree.flatten(algorithm)
    assert all(isinstance(leaf, float) for leaf in leaves)
    use(algorithm)
    for k, leaf in enumerate(leaves):
        use(jax.tree.unflatten(tree, [*leaves[:k], 0.5 * leaf, *leaves[k + 1 :]]))
    assert len(traces) == 1
    use(eqx.tree_at(lambda a: a.optimizer, algorithm, SGD()))
    assert len(traces) == 2


def test_a_sweep_over_a_number_is_a_vmap() -> None:
    gammas = jnp.array([0.5, 0.9, 1.0])
    many = eqx.tree_at(lambda e: e.gamma, RewardToGo(), gammas)
    found = jax.vmap(lambda e: e.gamma**2)(many)
    np.testing.assert_allclose(found, gammas**2)


def test_trap_30_the_gradient_is_scaled_to_the_norm_and_not_cut_by_element() -> None:
    gradient = {"w": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}
    for optimizer in (SGD(learning_rate=1.0, max_grad_norm=0.5), SGD(learning_rate=1.0)):
        transform = optimizer.transform()
        updates, _ = transform.update(gradient, transform.init(gradient))
        scale = 1.0 if optimizer.max_grad_norm is None else 0.5 / 5
        np.testing.assert_allclose(updates["w"], [-3.0 * scale, 0.0], rtol=1e-6)
        np.testing.assert_allclose(updates["b"], [-4.0 * scale], rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "oracle"),
    [
        (Adam(0.1, None, b1=0.8, b2=0.95, eps=1e-3), optax.adam(0.1, 0.8, 0.95, 1e-3)),
        (RMSProp(0.1, None, decay=0.8, eps=1e-3), optax.rmsprop(0.1, 0.8, 1e-3)),
    ],
    ids=["adam", "rmsprop"],
)
def test_settings_reach_optax(optimizer: Any, oracle: optax.GradientTransformation) -> None:
    transform = optimizer.transform()
    x = jnp.array([1.0, -2.0])
    state, expected_state = transform.init(x), oracle.init(x)
    for _ in range(3):
        found, state = transform.update(x, state)
        expected, expected_state = oracle.update(x, expected_state)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ppo(estimator=RewardToGo()), "a value function fitted to returns that a window"),
        (lambda: ppo(sampling=Steps(8, 128, tail="mask")), "completes what the window cuts"),
        (lambda: ValueFunction(num_steps=3), "learns in the policy's steps"),
    ],
)
def test_settings_that_would_count_for_nothing_are_refused(make, sentence) -> None:
    with pytest.raises(UphillError, match=sentence):
        make()
