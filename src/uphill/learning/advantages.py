"""From a trajectory to weighted samples: values → returns → minus the baseline → advantages."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from uphill.batch import Batch
from uphill.errors import UphillError
from uphill.learning.learner import Learner
from uphill.parts import Algorithm, Seen
from uphill.parts.part import Part
from uphill.parts.sampling import Sampling
from uphill.theory.means import masked_mean, standardize
from uphill.theory.moments import varies
from uphill.trajectory import BLOCK, Array, Metrics, Trajectory, divided


def make_batch(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory
) -> tuple[Batch, Metrics]:
    """The samples of a trajectory with their advantages."""
    estimator, baseline = algorithm.estimator, algorithm.baseline
    seen = look_at(algorithm, learner, trajectory)
    returns = estimator(learner.parts.estimator, seen)
    _check_shape(returns, seen, estimator, "")
    learned = estimator.target(seen, returns)
    _check_shape(learned, seen, estimator, ".target")
    target = baseline.target(seen, learned, estimator.gamma)
    _check_shape(target, seen, baseline, ".target")
    advantage = advantage_of(algorithm, learner, seen, returns)
    metrics = {}
    if seen.value is not None:
        # A learned Q is no measure for V: both learn the return, so that is compared.
        known = target if estimator.is_learned else returns
        metrics["value/explained_variance"] = explained_variance(known, seen.value, seen.mask)
    t, scale = trajectory, learner.scales.deviation
    own = divided(target, scale * baseline.unit(learner.parts.baseline))
    rows = (seen.features, t.action, t.log_prob, advantage, own, seen.mask)
    return batch_of(t, (*rows, divided(learned, scale) if estimator.is_learned else None)), metrics


def look_at(algorithm: Algorithm, learner: Learner, trajectory: Trajectory) -> Seen:
    """Pass every observation through every network, once."""
    actor, sampling = learner.actor, algorithm.sampling
    features = actor.features(trajectory.observation)
    seen = Seen(
        learner.scales.applied(trajectory),
        features,
        mask=_mask(sampling, trajectory),
        policy=actor.policy,
        uniform=algorithm.uniform,
        quota=sampling.quota,
        deviation=learner.scales.deviation,
    )
    if not algorithm.baseline.has_value:
        return seen

    def value(features: Array) -> Array:
        return algorithm.baseline.value(learner.parts.baseline, actor.policy, features)

    of_every = seen.every(value, features)
    _check_shape(of_every, seen, algorithm.baseline, ".value")
    final = value(actor.features(trajectory.final_observation))
    return seen.valued(seen.deviation * of_every, seen.deviation * final)


def _mask(sampling: Sampling, trajectory: Trajectory) -> Bool[Array, "T N"]:
    counted = sampling.counted(trajectory)
    wanted = jax.typeof(trajectory.mask)
    if (counted.shape, counted.dtype) != (wanted.shape, wanted.dtype):
        raise UphillError(
            f"{type(sampling).__name__}.counted returned {jax.typeof(counted).str_short()}: return "
            f"a truth value for each step of each environment, {wanted.str_short()}."
        )
    return counted


def advantage_of(
    algorithm: Algorithm, learner: Learner, seen: Seen, returns: Float[Array, "T N"]
) -> Float[Array, "T N"]:
    """Ψ: the returns minus the baseline, in units of the returns' standard deviation if they are
    normalised."""
    baseline = algorithm.baseline(learner.parts.baseline, seen, returns)
    _check_shape(baseline, seen, algorithm.baseline, "", may_be_shared=True)
    advantage = returns - baseline
    weight = algorithm.estimator.weight(seen)
    if weight is not None:
        _check_shape(weight, seen, algorithm.estimator, ".weight", may_be_shared=True)
        advantage = weight * advantage
    advantage = divided(advantage, seen.deviation)
    return standardize(advantage, seen.mask) if algorithm.scale_advantages == "batch" else advantage


def _check_shape(
    found: Any, seen: Seen, part: Part, method: str, may_be_shared: bool = False
) -> None:
    """Raises:
    UphillError: unless a part returned a number for each step of each environment, or (if it
        `may_be_shared`) one that all steps or all environments share: other shapes would be
        spread over the wrong axis.
    """
    steps, envs = seen.mask.shape
    allowed = [(steps, envs)]
    if may_be_shared:
        allowed += [(), (steps, 1), (1, envs), (1, 1)]
    shape = () if isinstance(found, int | float) else getattr(found, "shape", None)
    if shape not in allowed:
        told = f"{type(found).__name__}" if shape is None else f"shape {shape}"
        raise UphillError(
            f"{type(part).__name__}{method} returned {told}: return a number for each of {steps} "
            f"steps of {envs} environments, as an array of shape ({steps}, {envs})."
        )


def explained_variance(
    returns: Float[Array, "T N"], value: Float[Array, "T N"], mask: Bool[Array, "T N"]
) -> Float[Array, ""]:
    """How much of the returns' variance V explained, before it learned from them.

    1 − Var(G − V) / Var(G),   at most 1 − E[Var(G | s)] / Var(G), and 0 for a constant V

    NaN where the returns don't vary beyond rounding: there is nothing to explain.
    """

    def variance(x: Array) -> Array:
        return masked_mean((x - masked_mean(x, mask)) ** 2, mask)

    total = variance(returns)
    explained = 1.0 - variance(returns - value) / total
    return jnp.where(varies(masked_mean(returns, mask), total), explained, jnp.nan)


def batch_of(trajectory: Trajectory, rows: tuple) -> Batch:
    """Time and environments merged into one axis of samples, in blocks, of which some may be
    unfilled."""
    t = trajectory
    size = t.mask.size if t.length is None else BLOCK * t.mask.shape[1]
    flat = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[2:]), rows)
    return Batch(*flat, num_blocks=None if t.length is None else t.length // BLOCK)
