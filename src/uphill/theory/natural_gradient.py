"""The natural gradient: steepest ascent where distance is measured by the change of the policy.

F is the Fisher matrix, E[∇log π ∇log πᵀ]. It is never formed: F v costs about two gradients,
conjugate gradients need nothing else, and a line search corrects the error of the quadratic model.

References: Kakade (2001),
https://papers.nips.cc/paper/2073-a-natural-policy-gradient; Schulman et al. (2015),
https://arxiv.org/abs/1502.05477; Rajeswaran et al. (2017), https://arxiv.org/abs/1703.02660
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Shaped

from uphill.trajectory import Array, Scalar

D = TypeVar("D")


def conjugate_gradient(
    matvec: Callable[[Array], Array],
    b: Float[Array, " P"],
    num_steps: Int[Array, ""] | int,
    tolerance: Scalar = 1e-10,
) -> tuple[Float[Array, " P"], Float[Array, ""]]:
    """x with A x ≈ b for a positive semi-definite A, and how much is missing: ‖b − A x‖.

    It starts from 0, takes `num_steps` steps at most, and stops once ‖b − A x‖ ≤ tolerance · ‖b‖,
    or where A has no curvature. What `b` has outside of the range of A can't be solved for: x stays
    finite, but may be large there, unless A is damped (A + c I).

    Reference: Hestenes & Stiefel (1952), https://doi.org/10.6028/jres.049.044

    >>> x, _ = conjugate_gradient(lambda v: 4 * v, jnp.array([1.0, 2.0]), 10)
    >>> x.tolist()
    [0.25, 0.5]
    """
    enough = tolerance * jnp.sqrt(b @ b)
    flat = 100 * jnp.finfo(b.dtype).eps  # what rounding makes of no curvature, and some more

    def unfinished(state: tuple) -> Bool[Array, ""]:
        k, curved, _, _, _, squared, _ = state
        return (k < num_steps) & curved & (jnp.sqrt(squared) > enough)

    def improve(state: tuple) -> tuple:
        k, _, x, residual, direction, squared, steepest = state
        image = matvec(direction)
        curvature = direction @ image
        per_length = curvature / (direction @ direction)
        steepest = jnp.maximum(steepest, per_length)
        # Along what is flat but for rounding, a step would be endless. (‖p‖ ≥ ‖r‖ > 0 above.)
        curved = per_length > flat * steepest
        step = squared / jnp.where(curved, curvature, 1.0)
        x = jnp.where(curved, x + step * direction, x)
        residual = jnp.where(curved, residual - step * image, residual)
        left = residual @ residual
        return k + 1, curved, x, residual, residual + left / squared * direction, left, steepest

    x, b = jnp.zeros_like(b), jnp.asarray(b)
    start = (0, jnp.array(True), x, b, b, b @ b, jnp.zeros((), b.dtype))
    _, _, x, _, _, squared, _ = lax.while_loop(unfinished, improve, start)
    return x, jnp.sqrt(squared)


def fisher_vector_product(
    distribution_of: Callable[[jax.Array], D],
    parameters: Float[Array, " P"],
    kl: Callable[[D, D], Float[Array, "..."]],
    vector: Float[Array, " P"],
    weight: Shaped[Array, "..."] | None = None,
) -> Float[Array, " P"]:
    """F v, summed over the samples (weighed by `weight`, or where that mask is True).

    F = Σ_i w_i J_iᵀ H_i J_i,   J = ∂d/∂θ,   H = ∇²_d KL(d₀ ‖ d) at d = d₀

    `distribution_of` gives the distributions d of all samples: a pytree of float arrays. `kl` gives
    one number for each sample. KL has no gradient at d₀, so the terms that the Hessian of
    KL(π_θ₀ ‖ π_θ) in θ would have besides are 0, and F is the Fisher matrix.

    Reference: Martens (2020), https://arxiv.org/abs/1412.1193
    """

    def total(of: D, to: D) -> Float[Array, ""]:
        each = kl(of, to)
        # Selected, not only multiplied: what is masked out may be infinite.
        return (each if weight is None else jnp.where(weight != 0, weight * each, 0.0)).sum()

    now, tangent = jax.jvp(distribution_of, (parameters,), (vector,))
    to_gradient = jax.grad(lambda to: total(now, to))
    _, cotangent = jax.jvp(to_gradient, (now,), (tangent,))
    _, pull_back = jax.vjp(distribution_of, parameters)
    return pull_back(cotangent)[0]


def natural_step_size(
    direction: Float[Array, " P"], curvature_direction: Float[Array, " P"], max_kl: Scalar
) -> Float[Array, ""]:
    """The step size along x at which the quadratic model of the KL divergence reaches δ.

    α = √(2 δ / xᵀ F x),   from   KL ≈ ½ α² xᵀ F x

    `curvature_direction` is F x. 0 where xᵀ F x isn't positive.
    """
    curvature = jnp.asarray(direction) @ jnp.asarray(curvature_direction)
    positive = curvature > 0
    return jnp.where(positive, jnp.sqrt(2 * max_kl / jnp.where(positive, curvature, 1.0)), 0.0)


def backtrack(
    evaluate: Callable[[Array], tuple[Array, Array]],
    max_kl: Scalar,
    num_steps: Int[Array, ""] | int,
    shrink: Scalar = 0.5,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """The largest of the fractions 1, s, s², … of a step that improves and stays in the region.

    `evaluate(fraction)` gives (improvement, KL). The first of `num_steps` fractions with an
    improvement above 0 and a KL up to `max_kl` is taken, and no later one is tried. Returns the
    fraction and its two numbers: three zeros if none will do. A NaN never will.

    Reference: Schulman et al. (2015), appendix C, https://arxiv.org/abs/1502.05477
    """
    dtype = jax.eval_shape(evaluate, 1.0)[0].dtype

    def refused(state: tuple) -> Bool[Array, ""]:
        k, _, accepted, *_ = state
        return (k < num_steps) & ~accepted

    def attempt(state: tuple) -> tuple:
        k, fraction, *_ = state
        improvement, kl = (jnp.asarray(x, dtype) for x in evaluate(fraction))
        accepted = (improvement > 0) & (kl <= max_kl)
        tried = fraction, improvement, kl
        chosen = (jnp.where(accepted, x, 0.0) for x in tried)
        return k + 1, fraction * jnp.asarray(shrink, dtype), accepted, *chosen

    zero = jnp.zeros((), dtype)
    start = (0, jnp.ones((), dtype), jnp.array(False), zero, zero, zero)
    _, _, _, fraction, improvement, kl = lax.while_loop(refused, attempt, start)
    return fraction, improvement, kl
