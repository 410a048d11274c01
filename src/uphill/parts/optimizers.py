"""Optimisers: how a gradient becomes a step.

Those here use the gradient and its history; `from_optax.py` has all others of Optax. The natural
ones, which measure a step by how far it moves the policy, are in `natural.py`.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from uphill.parts.checks import (
    NORMS,
    RATES,
    check_below_one,
    check_not_negative,
    check_number,
    check_schedule,
    require,
    searched,
)
from uphill.parts.part import Part
from uphill.parts.schedule import Schedule
from uphill.trajectory import Array, Metrics, Scalar, is_key


class Problem(NamedTuple):
    """What an optimiser may ask of a batch. Parameters are those of all networks that it trains, as
    `Optimizer.flattened` returns them."""

    gradient: Callable[[PyTree], tuple[PyTree, Metrics]]
    """of the loss (minus the mean objective), and the batch means of the per-sample metrics"""
    curvature: Callable[[Float[Array, " P"]], Float[Array, " P"]]
    """F v, where F is the Fisher information of the policy before the step"""
    outcome: Callable[[Float[Array, " P"]], tuple[Array, Array]]
    """for new parameters: the improvement of the mean objective over the parameters before the
    step, and the mean KL(π_old ‖ π)"""


class Optimizer(Part):
    """An optimiser takes the steps; `problem` gives it access to the batch."""

    needs_whole_batch: ClassVar[bool] = False
    """Whether it takes a single step on the whole batch, and moves only the policy."""

    @abstractmethod
    def start(self, model: Any) -> PyTree:
        """The state before the first step, as NumPy arrays; None for a stateless optimiser."""

    @abstractmethod
    def step(
        self, state: PyTree, parameters: PyTree, problem: Problem
    ) -> tuple[PyTree, PyTree, Metrics]:
        """The parameters and the state after a step, and its metrics to log, those of
        `problem.gradient` included."""

    def flattened(self, model: Any) -> tuple[Any, Callable[[Any], Any]]:
        """The networks' parameters as the optimiser gets them, and the function that restores the
        networks.

        One flat vector, since a dozen small arrays would cost a dozen kernels per step.
        """
        return ravel_pytree(model)


class GradientOptimizer(Optimizer):
    """A gradient transformation in Optax's sense."""

    @abstractmethod
    def transform(self) -> optax.GradientTransformation:
        """The transformation; its numbers may be traced."""

    def start(self, model: Any) -> PyTree:
        return as_numpy(self.transform().init(self.flattened(model)[0]))

    def step(
        self, state: PyTree, parameters: PyTree, problem: Problem
    ) -> tuple[PyTree, PyTree, Metrics]:
        gradient, metrics = problem.gradient(parameters)
        metrics["gradient/norm"] = optax.tree.norm(gradient)
        updates, state = self.transform().update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, metrics


class _FromZeros(GradientOptimizer):
    """An optimiser whose state starts as zeros, so that no program is compiled to initialise it."""

    def start(self, model: Any) -> PyTree:
        init = self.transform().init
        shapes = jax.eval_shape(lambda model: init(self.flattened(model)[0]), model)
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


class Adam(_FromZeros):
    """Adam (Kingma & Ba, 2015), after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(
        converter=Schedule.of("learning_rate"),
        default=3e-4,
        metadata=RATES,
    )
    """Step size."""
    max_grad_norm: Scalar | None = eqx.field(default=0.5, metadata=NORMS)
    """The gradient is scaled down to this norm if it is longer; None for never."""
    b1: Scalar = 0.9
    """Decay of the first moment."""
    b2: Scalar = 0.999
    """Decay of the second moment."""
    eps: Scalar = 1e-5
    """Added to the root of the second moment."""

    def __check_init__(self) -> None:
        check_optimizer(self.learning_rate, self.max_grad_norm)
        check_below_one(b1=self.b1, b2=self.b2)
        check_not_negative(eps=self.eps)

    def transform(self) -> optax.GradientTransformation:
        step = optax.adam(self.learning_rate.value, b1=self.b1, b2=self.b2, eps=self.eps)
        return clipped(step, self.max_grad_norm)


class RMSProp(_FromZeros):
    """RMSProp (Tieleman & Hinton, 2012), after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(
        converter=Schedule.of("learning_rate"),
        default=7e-4,
        metadata=RATES,
    )
    """Step size."""
    max_grad_norm: Scalar | None = eqx.field(default=0.5, metadata=NORMS)
    """The gradient is scaled down to this norm if it is longer; None for never."""
    decay: Scalar = 0.99
    """Decay of the second moment."""
    eps: Scalar = 1e-5
    """Added to the second moment."""

    def __check_init__(self) -> None:
        check_optimizer(self.learning_rate, self.max_grad_norm)
        check_below_one(decay=self.decay)
        check_not_negative(eps=self.eps)

    def transform(self) -> optax.GradientTransformation:
        step = optax.rmsprop(self.learning_rate.value, decay=self.decay, eps=self.eps)
        return clipped(step, self.max_grad_norm)


class SGD(_FromZeros):
    """Plain gradient ascent, after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(
        converter=Schedule.of("learning_rate"),
        default=1e-2,
        metadata=searched(1e-4, 1.0, "log"),
    )
    """Step size."""
    max_grad_norm: Scalar | None = eqx.field(default=None, metadata=NORMS)
    """The gradient is scaled down to this norm if it is longer; None for never."""

    def __check_init__(self) -> None:
        check_optimizer(self.learning_rate, self.max_grad_norm)

    def transform(self) -> optax.GradientTransformation:
        return clipped(optax.sgd(self.learning_rate.value), self.max_grad_norm)


def as_numpy(state: PyTree) -> PyTree:
    """A state of NumPy arrays, also where Optax keeps plain numbers."""
    return jax.tree.map(lambda x: x if is_key(x) else np.asarray(x), state)


def clipped(
    step: optax.GradientTransformation, max_grad_norm: Scalar | None
) -> optax.GradientTransformation:
    """The step, for a gradient that is first clipped to that norm; None clips nothing."""
    if max_grad_norm is None:
        return step
    # Optax's annotation says float; a traced number, as here, works as well.
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), step)  # pyright: ignore


def check_optimizer(learning_rate: Schedule, max_grad_norm: Scalar | None) -> None:
    """Raises:
    UphillError: if the learning rate is negative, or the norm is not positive.
    """
    check_schedule(learning_rate=learning_rate)
    if max_grad_norm is not None:
        check_number(max_grad_norm=max_grad_norm)
        is_norm = (max_grad_norm > 0) & (max_grad_norm < float("inf"))
        require(is_norm, "max_grad_norm", max_grad_norm, "use a number above 0, or None")
