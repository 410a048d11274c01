"""The gradients of many estimators on the same data: what their variance and bias are seen in."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PRNGKeyArray

from uphill.learning.advantages import (
    Metrics,
    advantage_of,
    batch_of,
    counted,
    look_at,
    make_batch,
    returns_of,
)
from uphill.learning.learner import Learner
from uphill.learning.objective import descent_direction
from uphill.learning.remembered import remember
from uphill.learning.update import fit_critics
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    Adam,
    Algorithm,
    BatchMean,
    DiscountedRewardToGo,
    Episodes,
    LeaveOneOut,
    NoBaseline,
    NStep,
    RewardToGo,
    RunningMean,
    ScoreFunction,
    TDResidual,
    TimeMean,
    TotalReturn,
    ValueFunction,
)
from uphill.policies.policy import PolicySettings
from uphill.theory.means import masked_mean, update_running_mean
from uphill.trajectory import Array, Trajectory

_OWN = Adam(learning_rate=3e-3)


class Entry(NamedTuple):
    """One estimator with one baseline."""

    estimator: str
    baseline: str
    algorithm: Algorithm


def composed(estimator: Any, baseline: Any, num_envs: int, **changes: Any) -> Algorithm:
    """The plain policy gradient of whole episodes, with these two parts."""
    parts: dict[str, Any] = {
        "sampling": Episodes(num_envs=num_envs),
        "surrogate": ScoreFunction(),
        "optimizer": SGD(learning_rate=0.0),
        "mean_over": "episodes",
        "normalize_returns": True,
    }
    return Algorithm(estimator=estimator, baseline=baseline, **parts | changes)


def fitting(gamma: float, num_envs: int, policy: PolicySettings) -> Algorithm:
    """What the value functions V and Q are fitted with: both to the rewards that follow."""
    q = ActionValue(gamma=gamma, optimizer=_OWN, num_steps=4)
    v = ValueFunction(targets="monte-carlo", optimizer=_OWN, num_steps=4)
    return composed(q, v, num_envs, policy=policy)


def entries(gamma: float, num_envs: int) -> list[Entry]:
    """Every estimator with the baselines that make sense, on whole episodes."""
    v = ValueFunction(optimizer=_OWN)
    stateless = {
        "none": NoBaseline(),
        "batch mean": BatchMean(),
        "running mean": RunningMean(),
        "per-time-step mean": TimeMean(),
        **({"leave-one-out": LeaveOneOut()} if num_envs > 1 else {}),
    }
    table: list[tuple[str, str, Any, Any]] = [
        ("total return", name, TotalReturn(gamma), stateless[name])
        for name in ("none", "batch mean")
    ]
    table += [("reward-to-go", name, RewardToGo(gamma), b) for name, b in stateless.items()]
    table += [("reward-to-go", "value function", RewardToGo(gamma), v)]
    if gamma < 1:
        weighed = DiscountedRewardToGo(gamma)
        table += [("γ^t reward-to-go", "none", weighed, NoBaseline())]
        table += [("γ^t reward-to-go", "value function", weighed, v)]
    shorter = [g for g in (0.99, 0.95) if g < gamma]
    table += [(f"reward-to-go, γ = {g}", "none", RewardToGo(g), NoBaseline()) for g in shorter]
    table += [(f"GAE, λ = {lam:g}", "value function", GAE(gamma, lam), v) for lam in _LAMBDAS]
    table += [(f"{n}-step", "value function", NStep(gamma, n), v) for n in (20, 5)]
    table += [("TD residual", "value function", TDResidual(gamma), v)]
    q = ActionValue(gamma=gamma)
    table += [("action value", "none", q, NoBaseline()), ("action value", "value function", q, v)]
    return [
        Entry(name, of, composed(estimator, baseline, num_envs))
        for name, of, estimator, baseline in table
    ]


_LAMBDAS = (1.0, 0.99, 0.95, 0.9, 0.5)


def reference(table: list[Entry]) -> int:
    """Which entry the others' bias is measured against: one without, and with little noise.

    With a discount that is the γ^t-weighted one, the gradient of the discounted return; without,
    the same as reward-to-go.
    """
    exact = (DiscountedRewardToGo, RewardToGo)
    for kind in exact:
        for k, entry in enumerate(table):
            parts = (entry.algorithm.estimator, entry.algorithm.baseline)
            if isinstance(parts[0], kind) and isinstance(parts[1], ValueFunction):
                return k
    raise AssertionError("the table has no unbiased entry with a value function")


def fit(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory, key: PRNGKeyArray
) -> tuple[Learner, Metrics]:
    """The learner whose value functions, and mean and scale of returns, have seen a trajectory; its
    policy stays; and what `make_batch` tells."""
    batch, metrics = make_batch(algorithm, learner, trajectory)
    old = learner.remembered
    new = remember(algorithm, old, learner.actor.encoding, trajectory, batch, None)
    assert old.running_mean is not None
    mean, weight = old.running_mean
    mean = update_running_mean(mean, weight, masked_mean(batch.target, batch.mask), 0.95)
    learner = eqx.tree_at(
        lambda x: (x.remembered.return_scale, x.remembered.running_mean),
        fit_critics(algorithm, learner, batch, key),
        (new.return_scale, jnp.stack(mean)),
    )
    return learner, metrics


def gradients(
    algorithms: list[Algorithm],
    learner: Learner,
    trajectory: Trajectory,
    lanes: tuple[int, ...] = (),
) -> Float[Array, "E P"]:
    """The policy's gradient by each algorithm, all on one trajectory; then, for each of `lanes`,
    those of the algorithms on so many environments only.

    It is linear in the advantages, so that one program computes them all.
    """
    num_envs, policy = trajectory.mask.shape[1], learner.actor.policy
    seen = look_at(learner, trajectory)
    mask = counted(algorithms[0], trajectory)

    def of(algorithm: Algorithm) -> Array:
        returns, _, _ = returns_of(algorithm, seen)
        return advantage_of(algorithm, learner, seen, returns, mask)

    advantages = [of(algorithm) for algorithm in algorithms]
    for n in lanes:
        few = jnp.broadcast_to(jnp.arange(num_envs) < n, mask.shape)
        advantages += [jnp.where(few, num_envs / n * x, 0.0) for x in advantages[: len(algorithms)]]

    def gradient(advantage: Array) -> Array:
        rows = (seen.features, trajectory.action, trajectory.log_prob, advantage, advantage, mask)
        batch = batch_of(trajectory, (*rows, None))
        descent, _ = descent_direction(algorithms[0], (policy, None), batch)
        return -ravel_pytree(descent)[0]

    scale = learner.remembered.return_deviation
    return scale * jax.vmap(gradient)(jnp.stack(advantages))
