"""Surrogates: per-sample objectives whose gradient ascends the expected return.

Each takes the log-probability of a sampled action under the policy that is being improved
(`log_prob`), under the policy that sampled it (`old_log_prob`), and its advantage. Nothing is
averaged here: `mean_gradient` in `learning/objective.py` takes the mean over samples.
"""

import jax.numpy as jnp
from jaxtyping import Float

from uphill.trajectory import Array, Scalar


def score_function(
    log_prob: Float[Array, "*shape"], advantage: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """REINFORCE: its gradient is the score function, weighted.

    L = log π(a|s) · A,   ∇L = ∇log π(a|s) · A

    Reference: Williams (1992), https://doi.org/10.1007/BF00992696
    """
    return log_prob * advantage


def importance_ratio(
    log_prob: Float[Array, "*shape"],
    old_log_prob: Float[Array, "*shape"],
    advantage: Float[Array, "*shape"],
) -> Float[Array, "*shape"]:
    """TRPO: the importance ratio, weighted. Its gradient at π = π_old is that of `score_function`.

    r = π(a|s) / π_old(a|s),   L = r A

    References: Kakade & Langford (2002), https://dl.acm.org/doi/10.5555/645531.656005; Schulman et
    al. (2015), https://arxiv.org/abs/1502.05477
    """
    return jnp.exp(log_prob - old_log_prob) * advantage


def kl_penalized(
    log_prob: Float[Array, "*shape"],
    old_log_prob: Float[Array, "*shape"],
    advantage: Float[Array, "*shape"],
    kl: Float[Array, "*shape"],
    beta: Scalar,
) -> Float[Array, "*shape"]:
    """PPO with a penalty instead of clipping; `kl` is KL(π_old ‖ π) at each sample's state.

    r = π(a|s) / π_old(a|s),   L = r A − β KL

    Reference: Schulman et al. (2017), section 4, https://arxiv.org/abs/1707.06347
    """
    return importance_ratio(log_prob, old_log_prob, advantage) - beta * kl


def clipped_ratio(
    log_prob: Float[Array, "*shape"],
    old_log_prob: Float[Array, "*shape"],
    advantage: Float[Array, "*shape"],
    epsilon: Scalar,
) -> Float[Array, "*shape"]:
    """PPO: the importance ratio, without reward for leaving [1 − ε, 1 + ε].

    r = π(a|s) / π_old(a|s),   L = min(r A, clip(r, 1 − ε, 1 + ε) A)

    Reference: Schulman et al. (2017), https://arxiv.org/abs/1707.06347

    >>> log_two = jnp.log(jnp.array([2.0, 2.0]))
    >>> clipped_ratio(log_two, jnp.zeros(2), jnp.array([1.0, -1.0]), 0.25).tolist()
    [1.25, -2.0]
    """
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon)
    return jnp.minimum(ratio * advantage, clipped * advantage)


def approximate_kl(
    log_prob: Float[Array, "*shape"], old_log_prob: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """A per-sample estimate of KL(π_old ‖ π): never negative, unbiased, and of low variance.

    k₃ = (r − 1) − log r,   r = π(a|s) / π_old(a|s)

    Reference: Schulman (2020), http://joschu.net/blog/kl-approx.html
    """
    log_ratio = log_prob - old_log_prob
    return jnp.expm1(log_ratio) - log_ratio


def adapted_coefficient(beta: Scalar, kl: Scalar, target: Scalar) -> Float[Array, ""]:
    """The coefficient of `kl_penalized` for the next batch, after `kl` was reached in this one.

    β ← 2 β if KL > 1.5 d,   β / 2 if KL < d / 1.5

    It stays within 2^±40: a coefficient that has become 0 could never grow again.

    Reference: Schulman et al. (2017), section 4, https://arxiv.org/abs/1707.06347

    >>> [adapted_coefficient(1.0, kl, 0.01).item() for kl in (0.001, 0.01, 0.1)]
    [0.5, 1.0, 2.0]
    """
    factor = jnp.where(kl > 1.5 * target, 2.0, jnp.where(kl < target / 1.5, 0.5, 1.0))
    return jnp.clip(beta * factor, 2.0**-40, 2.0**40)
