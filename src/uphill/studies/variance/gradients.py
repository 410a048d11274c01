"""The gradients of many estimators on the same data, from which variance and bias are measured."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PRNGKeyArray

from uphill.learning.advantages import advantage_of, batch_of, look_at, make_batch
from uphill.learning.learner import Learner, PartStates
from uphill.learning.objective import mean_gradient
from uphill.learning.update import learned, served_by
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
from uphill.trajectory import Array, Metrics, Trajectory

_OWN = Adam(learning_rate=3e-3)
_RUNNING = RunningMean(decay=0.95)
VALUE, RUNNING, ACTION_VALUE = "value function", "running mean", "action value"
TO_GO, WEIGHED = "reward-to-go", "γ^t reward-to-go"


class Entry(NamedTuple):
    """One estimator with one baseline."""

    estimator: str
    baseline: str
    algorithm: Algorithm


class Fitted(NamedTuple):
    """A policy, and what has been fitted to its episodes: by these, every entry's parts have their
    states."""

    learner: Learner
    """of `fitting`: V is its baseline's state, Q its estimator's"""
    running_mean: Float[Array, "2"]

    def learner_of(self, entry: Entry) -> Learner:
        """The learner with the states that the entry's parts need."""
        parts = self.learner.parts
        of_baseline = {VALUE: parts.baseline, RUNNING: self.running_mean}
        estimator = parts.estimator if entry.estimator == ACTION_VALUE else None
        states = PartStates(estimator, of_baseline.get(entry.baseline), None, None)
        return eqx.tree_at(lambda x: x.parts, self.learner, states)


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
        RUNNING: _RUNNING,
        "per-time-step mean": TimeMean(),
        "leave-one-out": LeaveOneOut(),
    }
    table: list[tuple[str, str, Any, Any]] = [
        ("total return", name, TotalReturn(gamma), stateless[name])
        for name in ("none", "batch mean")
    ]
    table += [(TO_GO, name, RewardToGo(gamma), b) for name, b in stateless.items()]
    table += [(TO_GO, VALUE, RewardToGo(gamma), v)]
    if gamma < 1:
        weighed = DiscountedRewardToGo(gamma)
        table += [(WEIGHED, "none", weighed, NoBaseline())]
        table += [(WEIGHED, VALUE, weighed, v)]
    shorter = [g for g in (0.99, 0.95) if g < gamma]
    table += [(f"reward-to-go, γ = {g}", "none", RewardToGo(g), NoBaseline()) for g in shorter]
    table += [(f"GAE, λ = {lam:g}", VALUE, GAE(gamma, lam), v) for lam in _LAMBDAS]
    table += [(f"{n}-step", VALUE, NStep(gamma, n), v) for n in (20, 5)]
    table += [("TD residual", VALUE, TDResidual(gamma), v)]
    q = ActionValue(gamma=gamma)
    table += [(ACTION_VALUE, "none", q, NoBaseline()), (ACTION_VALUE, VALUE, q, v)]
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
    names = [entry[:2] for entry in table]
    weighed = (WEIGHED, VALUE)
    return names.index(weighed if weighed in names else (TO_GO, VALUE))


def fit(
    algorithm: Algorithm, fitted: Fitted, trajectory: Trajectory, key: PRNGKeyArray
) -> tuple[Fitted, Metrics]:
    """What is fitted after a trajectory, by `fitting`: value functions, and mean and scale of
    returns; the policy stays. And what `make_batch` tells."""
    learner = fitted.learner
    batch, metrics = make_batch(algorithm, learner, trajectory)
    parts = learned(algorithm, learner, learner, trajectory, batch, key)
    gamma = algorithm.estimator.gamma
    served = served_by(algorithm, learner, trajectory, batch)
    mean = _RUNNING.learned(fitted.running_mean, served, key)
    after = eqx.tree_at(
        lambda x: (x.parts, x.scales), learner, (parts, learner.scales.seen(trajectory, gamma))
    )
    return Fitted(after, mean), metrics


def gradients(
    table: list[Entry],
    fitted: Fitted,
    trajectory: Trajectory,
    lanes: tuple[int, ...] = (),
) -> Float[Array, "E P"]:
    """The policy's gradient by each entry, all on one trajectory; then, for each of `lanes`, those
    of the entries on that many environments only.

    It is linear in the advantages, so that one program computes them all.
    """
    num_envs, policy = trajectory.mask.shape[1], fitted.learner.actor.policy

    def of(entry: Entry) -> Array:
        learner = fitted.learner_of(entry)
        seen = look_at(entry.algorithm, learner, trajectory)
        returns = entry.algorithm.estimator(learner.parts.estimator, seen)
        return advantage_of(entry.algorithm, learner, seen, returns)

    advantages = [of(entry) for entry in table]
    plain = table[0].algorithm
    seen = look_at(plain, fitted.learner_of(table[0]), trajectory)
    for n in lanes:
        few = jnp.broadcast_to(jnp.arange(num_envs) < n, seen.mask.shape)
        advantages += [jnp.where(few, num_envs / n * x, 0.0) for x in advantages[: len(table)]]

    def gradient(advantage: Array) -> Array:
        t = trajectory
        rows = (seen.features, t.action, t.log_prob, advantage, advantage, seen.mask, None)
        descent, _ = mean_gradient(plain, (policy, None), batch_of(t, rows), policy)
        return -ravel_pytree(descent)[0]

    return fitted.learner.scales.deviation * jax.vmap(gradient)(jnp.stack(advantages))
