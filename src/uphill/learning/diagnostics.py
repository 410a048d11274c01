"""Diagnostics of an update beyond its loss. They cost about as much as a step on the whole batch,
so a separate program measures them now and then."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from uphill.batch import Batch, mean_of
from uphill.learning.advantages import make_batch
from uphill.learning.learner import Learner, current
from uphill.learning.objective import mean_gradient, mean_kl, with_scaled_advantages
from uphill.parts import Algorithm
from uphill.policies.actions import ActionKind, Composite
from uphill.policies.bounded import Bounded
from uphill.policies.policy import Policy
from uphill.trajectory import Array, Metrics, Trajectory

MAX_GROUPS = 8


def measures(algorithm: Algorithm, action_kind: ActionKind) -> tuple[str, ...]:
    """The names of what `measure` measures."""
    clipped = ("policy/clipped_actions",) if action_kind.can_clip else ()
    snr = ("gradient/snr",) if num_groups(algorithm.sampling.num_envs) > 1 else ()
    return ("policy/kl", *clipped, *snr)


def measure(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory, after: Policy
) -> Metrics:
    """How far an update moved the policy, and how much of its gradient was signal.

    `learner` and `trajectory` are what the update began with, `after` is the policy it led to.
    """
    algorithm = current(algorithm, learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    policy = learner.actor.policy
    measured = {
        "policy/kl": lambda: mean_kl(algorithm, policy, after, batch),
        "policy/clipped_actions": lambda: clipped_actions(policy.action_kind, batch),
        "gradient/snr": lambda: gradient_snr(algorithm, policy, batch),
    }
    return {name: measured[name]() for name in measures(algorithm, policy.action_kind)}


def clipped_actions(action_kind: ActionKind, batch: Batch) -> Float[Array, ""]:
    """The fraction of the actions' components that lay outside the bounds."""
    assert isinstance(action_kind, Bounded | Composite)

    return mean_of(lambda samples: action_kind.clipped(samples.action), batch)


def num_groups(num_envs: int) -> int:
    """Into how many groups of equal size environments are split: at most eight."""
    return max(g for g in range(1, MAX_GROUPS + 1) if num_envs % g == 0)


def gradient_snr(algorithm: Algorithm, policy: Policy, batch: Batch) -> Float[Array, ""]:
    """The signal-to-noise ratio of the policy's gradient, from disjoint groups of environments.

    ĝ = mean(g_i),   s² = Σ ‖g_i − ĝ‖² / (k (k − 1)),   SNR = (‖ĝ‖² − s²) / s²

    s² estimates the variance of ĝ, and ‖ĝ‖² − s² the squared length of its expectation, so 1 means
    as much signal as noise, and 0 nothing but noise (of which the estimate may be negative).
    """
    # Scaled before they are split: a group by itself would have another scale.
    batch = with_scaled_advantages(algorithm, batch)
    groups = by_group(batch, algorithm.sampling.num_envs)

    def gradient(group: Batch) -> Array:
        # Its own mean over steps; where the divisor is a number of episodes, the scale does not
        # matter to a ratio.
        descent, _ = mean_gradient(algorithm, (policy, None), group, policy)
        return ravel_pytree(descent)[0]

    gradients = jax.lax.map(gradient, groups)
    k = gradients.shape[0]
    mean = gradients.mean(0)
    deviation = gradients - jnp.broadcast_to(mean, gradients.shape)
    noise = (deviation**2).sum() / (k * (k - 1))
    return (mean @ mean - noise) / jnp.maximum(noise, jnp.finfo(noise.dtype).tiny)


def by_group(batch: Batch, num_envs: int) -> Batch:
    """The batch with a leading axis for groups of environments."""
    k = num_groups(num_envs)

    def split(x: Array) -> Array:
        by_env = x.reshape(x.shape[0], -1, k, num_envs // k, *x.shape[2:])
        return jnp.moveaxis(by_env, 2, 0).reshape(k, x.shape[0], -1, *x.shape[2:])

    rows = [batch.features, batch.action, batch.old_log_prob, batch.advantage, batch.target]
    rows += [batch.mask]
    num_blocks = None
    if batch.num_blocks is not None:
        num_blocks = jnp.broadcast_to(batch.num_blocks, (k,))
    return jax.vmap(lambda rows, n: Batch(*rows, num_blocks=n))(
        [split(x) for x in rows], num_blocks
    )
