"""Natural optimisers: one step on the whole batch, sized by how far it moves the policy."""

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from uphill.parts.checks import (
    DIVERGENCES,
    check_count,
    check_not_negative,
    check_positive,
    check_schedule,
    require,
)
from uphill.parts.optimizers import Optimizer, Problem
from uphill.parts.schedule import Schedule
from uphill.theory.natural_gradient import backtrack, conjugate_gradient, natural_step_size
from uphill.trajectory import Array, Metrics, Scalar


class NaturalStep(Optimizer):
    """θ ← θ + α x,   x = (F + cI)⁻¹ g,   α = min(√(2δ / xᵀ(F + cI)x), α_max)

    g is the ascent direction, F the mean Fisher information over the batch, which is never formed.
    The first α goes as far as the divergence δ however small g is. Where all returns are equal, g
    is noise, and such steps move a solved policy at random; α_max is what keeps it there.
    """

    needs_whole_batch: ClassVar[bool] = True

    max_kl: Schedule = eqx.field(
        converter=Schedule.of("max_kl"), default=0.01, metadata=DIVERGENCES
    )
    """KL divergence δ between the old policy and the new one, as predicted by F + damping · I; a
    trust region measures it, too, and stays below."""
    damping: Scalar = 0.1
    """Added to F's diagonal: keeps the step short in directions on which the batch has no
    information."""
    num_iterations: int = eqx.field(static=True, default=10)
    """Steps of the conjugate gradient."""
    max_step_size: Scalar | None = None
    """The largest multiple of the natural gradient that is taken, however little of the divergence
    it costs: about 20 where rewards are scaled and advantages are not; None for no limit."""

    def __check_init__(self) -> None:
        check_schedule(max_kl=self.max_kl)
        for first in self.max_kl.ends[:1]:
            check_positive(max_kl=first)
        check_not_negative(damping=self.damping)
        check_count(num_iterations=self.num_iterations)
        if self.max_step_size is not None:
            check_positive(max_step_size=self.max_step_size)

    def start(self, model: Any) -> None:
        return None

    def step(
        self, state: PyTree, parameters: Float[Array, " P"], problem: Problem
    ) -> tuple[Float[Array, " P"], PyTree, Metrics]:
        descent, metrics = problem.gradient(parameters)
        ascent = -descent
        metrics["gradient/norm"] = jnp.sqrt(ascent @ ascent)
        direction, curved = self.direction(ascent, problem)
        size = natural_step_size(direction, curved, self.max_kl.value)
        if self.max_step_size is not None:
            size = jnp.minimum(size, self.max_step_size)
        step, more = self.confirmed(size * direction, parameters, problem)
        return parameters + step, state, metrics | more

    def direction(
        self, ascent: Float[Array, " P"], problem: Problem
    ) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
        """x by conjugate gradients, and (F + cI) x."""

        def curvature(vector: Array) -> Array:
            return problem.curvature(vector) + self.damping * vector

        direction, _ = conjugate_gradient(curvature, jnp.asarray(ascent), self.num_iterations)
        return direction, curvature(direction)

    @abstractmethod
    def confirmed(
        self, step: Float[Array, " P"], parameters: Float[Array, " P"], problem: Problem
    ) -> tuple[Float[Array, " P"], Metrics]:
        """The step that is actually taken."""

    def check(self, algorithm: Any) -> None:
        name, surrogate = type(self).__name__, algorithm.surrogate
        require(
            self.accepts(surrogate),
            "surrogate",
            type(surrogate).__name__,
            f"{name} limits the step itself, so use ImportanceRatio",
        )

    def accepts(self, surrogate: Any) -> bool:
        """Whether it can follow this surrogate."""
        return not surrogate.limits_step


class NaturalGradient(NaturalStep):
    """The natural gradient, F⁻¹ g, scaled to a predicted KL divergence.

    F is the Fisher information of the policy on the batch, which is never formed. Direction and
    step size use F + damping · I, so F itself predicts a KL divergence of at most `max_kl`. Whether
    the policy moved that far is not checked.

    Reference: Kakade (2001), https://papers.nips.cc/paper/2073; Rajeswaran et al. (2017),
    https://arxiv.org/abs/1703.02660
    """

    def confirmed(
        self, step: Float[Array, " P"], parameters: Float[Array, " P"], problem: Problem
    ) -> tuple[Float[Array, " P"], Metrics]:
        return step, {}


class TrustRegion(NaturalStep):
    """TRPO's step: along the natural gradient, with a backtracking line search.

    The step is halved until the surrogate improves and the KL divergence is at most `max_kl`, both
    measured on the batch. If that never happens, no step is taken.

    Reference: Schulman et al. (2015), https://arxiv.org/abs/1502.05477
    """

    num_backtracks: int = eqx.field(static=True, default=10)
    """Steps tried, each half as long as the one before."""

    def __check_init__(self) -> None:
        check_count(num_backtracks=self.num_backtracks)

    def confirmed(
        self, step: Float[Array, " P"], parameters: Float[Array, " P"], problem: Problem
    ) -> tuple[Float[Array, " P"], Metrics]:
        def outcome(fraction: Array) -> tuple[Array, Array]:
            return problem.outcome(parameters + fraction * step)

        fraction, _, _ = backtrack(outcome, self.max_kl.value, self.num_backtracks)
        # Where no fraction is accepted, the step may hold anything, even NaN.
        step = jnp.where(fraction > 0, fraction * step, 0.0)
        return step, {"policy/step_fraction": fraction}

    def accepts(self, surrogate: Any) -> bool:
        """Its line search evaluates the ratio."""
        return surrogate.is_ratio and not surrogate.limits_step
