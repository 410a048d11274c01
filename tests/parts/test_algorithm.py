"""Compositions: which are refused, and that changing a number never compiles again."""

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.errors import UphillError
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    Adam,
    Algorithm,
    BatchMean,
    DiscountedRewardToGo,
    Episodes,
    ImportanceRatio,
    KLPenalty,
    LeaveOneOut,
    NaturalGradient,
    NoBaseline,
    NStep,
    Optax,
    Replay,
    RewardToGo,
    RunningMean,
    ScoreFunction,
    Steps,
    TDResidual,
    TimeMean,
    TotalReturn,
    TrustRegion,
    ValueFunction,
)
from uphill.parts.algorithms import ALGORITHMS, a2c, npg, ppo, reinforce, trpo, vpg

NAN = float("nan")
OWN = SGD()
MEMORY = ValueFunction(optimizer=OWN, targets="td", replay=Replay())
BOOTSTRAPS = (
    "it bootstraps from a value function, so use ValueFunction as the baseline or RewardToGo as "
    "the estimator"
)
WHOLE = "it must see whole episodes, which a window cuts, so use Episodes as the sampling"
REUSED = "the batch is no longer the policy's own, so use 1 or ClippedRatio as the surrogate"
ALONE = "it moves the policy alone, so give the value function an optimizer of its own"
SCALES = "a memory would mix rewards of different scales, so leave this or replay out"
WINDOW_VALUE = (
    "a value function fitted to returns that a window cuts would be wrong, so use GAE (λ = 1 is "
    "the reward-to-go, bootstrapped) or Episodes as the sampling"
)

REFUSED = [
    (ppo, {"num_epochs": 0}, "num_epochs is 0: use at least 1"),
    (ppo, {"num_minibatches": 0}, "num_minibatches is 0: use at least 1"),
    (
        ppo,
        {"scale_advantages": "yes"},
        "scale_advantages is 'yes': choose none, batch or minibatch",
    ),
    (ppo, {"mean_over": "samples"}, "mean_over is 'samples': choose steps or episodes"),
    (ppo, {"entropy": "linear:0:-1"}, "entropy is linear:0.0:-1.0: use 0 or more"),
    (ppo, {"uniform_mixture": -0.1}, "uniform_mixture is -0.1: use 0 to 1"),
    (ppo, {"uniform_mixture": "cosine:0.5:2"}, "uniform_mixture is cosine:0.5:2.0: use 0 to 1"),
    (ppo, {"target_kl": 0.0}, "target_kl is 0.0: use a number above 0"),
    (ppo, {"target_kl": NAN}, "target_kl is nan: use a number above 0"),
    (
        a2c,
        {"target_kl": 0.01},
        "target_kl is 0.01: a single step on a batch can't be stopped, so leave it out, or use "
        "more epochs",
    ),
    (
        ppo,
        {"mean_over": "episodes"},
        "mean_over is 'episodes': a window of fixed length holds no fixed number of episodes, so "
        "use steps, or Episodes as the sampling",
    ),
    (ppo, {"baseline": BatchMean()}, f"estimator is GAE: {BOOTSTRAPS}"),
    (reinforce, {"estimator": NStep()}, f"estimator is NStep: {BOOTSTRAPS}"),
    (reinforce, {"estimator": TDResidual()}, f"estimator is TDResidual: {BOOTSTRAPS}"),
    *(
        (
            reinforce,
            {"estimator": estimator, "sampling": Steps(), "mean_over": "steps"},
            f"estimator is {type(estimator).__name__}: {WHOLE}",
        )
        for estimator in (TotalReturn(), DiscountedRewardToGo(), ActionValue())
    ),
    (ppo, {"estimator": RewardToGo()}, f"estimator is RewardToGo: {WINDOW_VALUE}"),
    (
        reinforce,
        {"baseline": TimeMean(), "sampling": Steps(), "mean_over": "steps"},
        "baseline is TimeMean: a window does not begin where episodes do, so their time is not "
        "known; use Episodes as the sampling",
    ),
    (
        reinforce,
        {"baseline": LeaveOneOut(), "sampling": Episodes(num_envs=1, per_env=4)},
        "baseline is LeaveOneOut: with a single environment there is no other, so use num_envs of "
        "2 or more",
    ),
    (
        ppo,
        {"baseline": ValueFunction(targets="monte-carlo")},
        "targets is 'monte-carlo': a window cuts off later rewards, so use lambda, or Episodes as "
        "the sampling",
    ),
    (
        ppo,
        {"sampling": Steps(8, 128, tail="mask")},
        "tail is 'mask': a value function completes what the window cuts, so leave it out",
    ),
    (
        ppo,
        {"normalize_rewards": True, "normalize_returns": True},
        "normalize_returns is True: normalized rewards already give normalized returns, so choose "
        "one of the two",
    ),
    (
        ppo,
        {"normalize_rewards": False, "normalize_returns": True},
        "normalize_returns is True: a window cuts off later rewards, so use normalize_rewards, or "
        "Episodes as the sampling",
    ),
    (
        vpg,
        {"baseline": MEMORY, "normalize_rewards": True},
        f"normalize_rewards is True: {SCALES}",
    ),
    (
        vpg,
        {"baseline": MEMORY, "normalize_returns": True},
        f"normalize_returns is True: {SCALES}",
    ),
    (
        vpg,
        {"baseline": ValueFunction(scale_targets=True), "normalize_returns": True},
        "scale_targets is True: targets are already in units of the returns' standard deviation, "
        "so leave this or normalize_returns out",
    ),
    (a2c, {"num_epochs": 2}, f"num_epochs is 2: after the first epoch {REUSED}"),
    (a2c, {"num_minibatches": 2}, f"num_minibatches is 2: after the first minibatch {REUSED}"),
    (
        npg,
        {"baseline": ValueFunction()},
        f"optimizer is NaturalGradient: {ALONE}",
    ),
    (trpo, {"baseline": ValueFunction()}, f"optimizer is TrustRegion: {ALONE}"),
    (
        trpo,
        {"num_epochs": 3},
        "num_epochs is 3: TrustRegion takes one step on the whole batch, so use 1",
    ),
    (
        npg,
        {"num_minibatches": 4, "surrogate": ImportanceRatio()},
        "num_minibatches is 4: NaturalGradient takes one step on the whole batch, so use 1",
    ),
    (
        trpo,
        {"surrogate": ScoreFunction()},
        "surrogate is ScoreFunction: TrustRegion limits the step itself, so use ImportanceRatio",
    ),
    (
        npg,
        {"surrogate": KLPenalty()},
        "surrogate is KLPenalty: NaturalGradient limits the step itself, so use ImportanceRatio",
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
    (
        ppo,  # whose divisors are not listed one by one
        {"sampling": Steps(num_envs=10**7), "num_minibatches": 10**6 + 1},
        "num_minibatches is 1000001: it does not divide the batch of 10000000 environments × 128 "
        "steps = 1280000000; use 1000000, or change one of these",
    ),
    (
        ppo,
        {"sampling": Steps(num_envs=2**24, num_steps=2**7)},
        "num_envs is 16777216: with 128 of each, a batch has 2³¹ rows or more, so use fewer",
    ),
    (ppo, {"num_epochs": 2**31}, "num_epochs is 2147483648: use at most 2,147,483,647"),
]


@pytest.mark.parametrize(("make", "changes", "sentence"), REFUSED)
def test_compositions_that_mean_nothing_are_refused(
    make: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UphillError, match=f"^{re.escape(sentence)}\\.$"):
        make(**changes)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (ppo, {"num_epochs": 1, "num_minibatches": 1, "surrogate": ScoreFunction()}),
        (ppo, {"sampling": Episodes(), "num_minibatches": 1, "mean_over": "episodes"}),
        (ppo, {"estimator": RewardToGo(), "baseline": NoBaseline()}),
        (ppo, {"sampling": Steps(num_envs=3, num_steps=5), "num_minibatches": 5}),
        (ppo, {"optimizer": SGD(), "entropy": 0.01, "uniform_mixture": "linear:1:0"}),
        (ppo, {"surrogate": KLPenalty(), "target_kl": 0.02, "normalize_rewards": True}),
        (ppo, {"estimator": TDResidual(), "baseline": ValueFunction(shares_trunk=True)}),
        (vpg, {"baseline": MEMORY, "estimator": NStep()}),
        (vpg, {"estimator": ActionValue(), "normalize_returns": True}),
        (reinforce, {"estimator": TotalReturn(), "baseline": TimeMean()}),
        (reinforce, {"estimator": DiscountedRewardToGo(), "baseline": LeaveOneOut()}),
        (reinforce, {"optimizer": NaturalGradient(), "baseline": RunningMean()}),
        (reinforce, {"optimizer": TrustRegion(), "surrogate": ImportanceRatio()}),
        (trpo, {"estimator": GAE(lam=0.5), "scale_advantages": "minibatch"}),
    ],
)
def test_compositions_that_mean_something_are_not(make: Any, changes: dict[str, Any]) -> None:
    assert isinstance(make(**changes), Algorithm)


def test_an_algorithm_at_a_time_has_its_schedules_evaluated() -> None:
    algorithm = vpg(
        optimizer=Adam(learning_rate="linear:1:0"),
        baseline=ValueFunction(optimizer=SGD(learning_rate="linear:0:8")),
        entropy="linear:0.5:0.25",
        uniform_mixture="cosine:1:0",
    )
    now = algorithm.at(0.75)
    assert now.optimizer.learning_rate.value == 0.25
    assert now.baseline.optimizer.learning_rate.value == 6.0
    assert now.entropy.value == 0.3125
    np.testing.assert_allclose(now.uniform_mixture.value, 0.5 - 0.5 * 0.5**0.5, rtol=1e-5)
    assert algorithm.optimizer.learning_rate.value == 1.0
    assert (
        trpo(optimizer=TrustRegion(max_kl="linear:0.02:0")).at(0.5).optimizer.max_kl.value == 0.01
    )
    for constant in (reinforce(), vpg()):
        assert eqx.tree_equal(constant.at(0.3), constant)


FULL = {
    "replay": vpg(baseline=MEMORY, uniform_mixture=0.1, target_kl=None),
    "penalty": ppo(surrogate=KLPenalty(), target_kl=0.1),
    "optax": reinforce(optimizer=Optax("lion", settings={"b1": 0.8}), baseline=RunningMean()),
}


@pytest.mark.parametrize("name", [*ALGORITHMS, *FULL])
def test_changing_a_number_does_not_trace_again_and_changing_a_part_does(name: str) -> None:
    traces = []

    @jax.jit
    def use(algorithm: Algorithm) -> list:
        traces.append(algorithm)
        return [leaf * 2.0 for leaf in jax.tree.leaves(algorithm.at(0.5))]

    algorithm = FULL[name] if name in FULL else ALGORITHMS[name]()
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
