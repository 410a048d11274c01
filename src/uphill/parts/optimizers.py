"""Optimisers: from a gradient to a step.

Those of Optax take the step that the gradient's history asks for. `NaturalGradient` and
`TrustRegion` measure it by how far the policy moves instead: by the KL divergence.
"""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from uphill.parts.checks import (
    check_below_one,
    check_count,
    check_not_negative,
    check_number,
    check_positive,
    check_schedule,
    require,
)
from uphill.parts.schedule import Schedule, is_number
from uphill.trajectory import Scalar


class Adam(eqx.Module):
    """Adam (Kingma & Ba, 2015), after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(converter=Schedule.of("learning_rate"), default=3e-4)
    """Step size."""
    max_grad_norm: float | None = 0.5
    """The gradient is scaled down to this norm if it is longer; None for never."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.999
    """Decay of the second moment."""
    eps: float = 1e-5
    """Added to the root of the second moment."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)
        check_below_one(b1=self.b1, b2=self.b2)
        check_not_negative(eps=self.eps)

    def transform(self) -> optax.GradientTransformation:
        step = optax.adam(self.learning_rate.value, b1=self.b1, b2=self.b2, eps=self.eps)
        return _clipped(step, self.max_grad_norm)


class RMSProp(eqx.Module):
    """RMSProp (Tieleman & Hinton, 2012), after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(converter=Schedule.of("learning_rate"), default=7e-4)
    """Step size."""
    max_grad_norm: float | None = 0.5
    """The gradient is scaled down to this norm if it is longer; None for never."""
    decay: float = 0.99
    """Decay of the second moment."""
    eps: float = 1e-5
    """Added to the second moment."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)
        check_below_one(decay=self.decay)
        check_not_negative(eps=self.eps)

    def transform(self) -> optax.GradientTransformation:
        step = optax.rmsprop(self.learning_rate.value, decay=self.decay, eps=self.eps)
        return _clipped(step, self.max_grad_norm)


class SGD(eqx.Module):
    """Plain gradient ascent, after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(converter=Schedule.of("learning_rate"), default=1e-2)
    """Step size."""
    max_grad_norm: float | None = None
    """The gradient is scaled down to this norm if it is longer; None for never."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)

    def transform(self) -> optax.GradientTransformation:
        return _clipped(optax.sgd(self.learning_rate.value), self.max_grad_norm)


class Optax(eqx.Module):
    """Any optimiser of Optax that has a learning rate, by its name, after clipping the norm.

    >>> Optax("lion", learning_rate="cosine:1e-4:0", settings={"b2": 0.98}).name
    'lion'
    """

    name: str = eqx.field(static=True, default="adamw")
    """Its name in Optax: adamw, lion, nadam, adabelief, yogi, …"""
    learning_rate: Schedule = eqx.field(converter=Schedule.of("learning_rate"), default=3e-4)
    """Step size."""
    max_grad_norm: float | None = 0.5
    """The gradient is scaled down to this norm if it is longer; None for never."""
    settings: dict[str, float] = eqx.field(default_factory=dict)
    """Its other arguments: those that are numbers."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)
        is_name = isinstance(self.name, str) and self.name.isidentifier()
        make = getattr(optax, self.name, None) if is_name else None
        known = list(inspect.signature(make).parameters) if inspect.isfunction(make) else []
        require(
            "learning_rate" in known,
            "name",
            repr(self.name),
            "Optax has no optimiser with a learning rate of that name; use one such as adamw, "
            "lion, nadam or adabelief",
        )
        unknown = sorted(set(self.settings) - set(known) | {"learning_rate"} & set(self.settings))
        are_numbers = all(map(is_number, self.settings.values()))
        require(are_numbers, "settings", self.settings, "give each name a number")
        others = ", ".join(name for name in known if name != "learning_rate")
        require(not unknown, "settings", ", ".join(unknown), f"optax.{self.name} has {others}")
        require(self._works(), "name", repr(self.name), _NEEDS_MORE)

    def _works(self) -> bool:
        """Whether gradients and parameters are all that it asks for."""

        def step(x: jax.Array) -> Any:
            transform = self.transform()
            return transform.update(x, transform.init(x), x)[0]

        try:
            jax.eval_shape(step, jax.ShapeDtypeStruct((2,), jnp.float32))
        except Exception:
            return False
        return True

    def transform(self) -> optax.GradientTransformation:
        step = getattr(optax, self.name)(self.learning_rate.value, **self.settings)
        return _clipped(step, self.max_grad_norm)


_NEEDS_MORE = (
    "with these settings it asks for more than gradients (a line search, perhaps); use another, "
    "or mend the settings"
)


class NaturalGradient(eqx.Module):
    """The natural gradient: F⁻¹ g, as long as the policy is expected to move by `max_kl`.

    F is the Fisher information of the policy on the batch, and is never formed.

    Reference: Kakade (2001), https://papers.nips.cc/paper/2073; Rajeswaran et al. (2017),
    https://arxiv.org/abs/1703.02660
    """

    max_kl: Schedule = eqx.field(converter=Schedule.of("max_kl"), default=0.01)
    """KL divergence between the old policy and the new one, as F predicts it."""
    damping: float = 0.1
    """Added to F's diagonal: keeps directions that the batch says nothing about short."""
    num_iterations: int = eqx.field(static=True, default=10)
    """Steps of the conjugate gradient."""

    def __check_init__(self) -> None:
        _check_natural(self.max_kl, self.damping, self.num_iterations)


class TrustRegion(eqx.Module):
    """TRPO's step: along the natural gradient, as far as the batch confirms it.

    Halved until the surrogate improves and the KL divergence is at most `max_kl`, both measured on
    the batch; no step at all if that never happens.

    Reference: Schulman et al. (2015), https://arxiv.org/abs/1502.05477
    """

    max_kl: Schedule = eqx.field(converter=Schedule.of("max_kl"), default=0.01)
    """KL divergence between the old policy and the new one that is never exceeded."""
    damping: float = 0.1
    """Added to F's diagonal: keeps directions that the batch says nothing about short."""
    num_iterations: int = eqx.field(static=True, default=10)
    """Steps of the conjugate gradient."""
    num_backtracks: int = eqx.field(static=True, default=10)
    """Steps tried, each half as long as the one before."""

    def __check_init__(self) -> None:
        _check_natural(self.max_kl, self.damping, self.num_iterations)
        check_count(num_backtracks=self.num_backtracks)


GradientStep = Adam | RMSProp | SGD | Optax
NaturalStep = NaturalGradient | TrustRegion


def as_seen_by(optimizer: GradientStep, model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The parameters as an optimiser gets them, and the function that turns them back.

    One flat vector, since a dozen small arrays would cost a dozen kernels a step; but layer by
    layer for those of Optax, some of which take steps in units of each layer's norm.
    """
    return (model, lambda x: x) if isinstance(optimizer, Optax) else ravel_pytree(model)


def _clipped(
    step: optax.GradientTransformation, max_grad_norm: Scalar | None
) -> optax.GradientTransformation:
    if max_grad_norm is None:
        return step
    # Optax says float; a traced number works as well, and that is what it is here.
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), step)  # pyright: ignore


def _check_optimizer(learning_rate: Schedule, max_grad_norm: Scalar | None) -> None:
    check_schedule(learning_rate=learning_rate)
    if max_grad_norm is not None:
        check_number(max_grad_norm=max_grad_norm)
        is_norm = (max_grad_norm > 0) & (max_grad_norm < float("inf"))
        require(is_norm, "max_grad_norm", max_grad_norm, "use a number above 0, or None")


def _check_natural(max_kl: Schedule, damping: Scalar, num_iterations: int) -> None:
    check_schedule(max_kl=max_kl)
    check_positive(max_kl=max_kl.value)
    check_not_negative(damping=damping)
    check_count(num_iterations=num_iterations)
