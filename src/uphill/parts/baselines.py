"""Baselines: what to subtract from a return before it weighs an action's score.

Their formulas are in `theory/means.py`; the learned one is fitted in `value_function.py`.
"""

import equinox as eqx

from uphill.parts.checks import (
    check_below_one,
    check_choice,
    check_count,
    check_not_negative,
    check_parts,
    check_unit,
    require,
)
from uphill.parts.optimizers import SGD, Adam, Optax, RMSProp
from uphill.policies.policy import NetworkSettings


class NoBaseline(eqx.Module):
    """Ψ is the return itself."""


class BatchMean(eqx.Module):
    """Subtracts the mean return of the batch."""


class RunningMean(eqx.Module):
    """Subtracts the mean return of the batches before this one: unbiased, and a little late."""

    decay: float = 0.9
    """Weight of what was known when a new batch comes."""

    def __check_init__(self) -> None:
        check_below_one(decay=self.decay)


class TimeMean(eqx.Module):
    """Subtracts the mean return of the batch's episodes at the same time step."""


class LeaveOneOut(eqx.Module):
    """Subtracts the mean return of the other environments: unbiased.

    Reference: Kool et al. (2019), https://openreview.net/forum?id=r1lgTGL5DE
    """


class Replay(eqx.Module):
    """A memory of the last transitions, from which V learns off-policy."""

    capacity: int = eqx.field(static=True, default=2000)
    """Transitions that are kept."""
    num_samples: int = eqx.field(static=True, default=256)
    """Transitions drawn for each gradient step."""

    def __check_init__(self) -> None:
        check_count(capacity=self.capacity, num_samples=self.num_samples)


class ValueFunction(eqx.Module):
    """Subtracts a learned V(s), fitted to `targets` by least squares.

    Without an optimiser of its own it is one loss with the policy's, weighed by `coefficient`, and
    learns in the same minibatches. With one, it takes `num_steps` gradient steps after the
    policy's, on the whole batch or from a memory.
    """

    network: NetworkSettings = NetworkSettings()
    shares_trunk: bool = eqx.field(static=True, default=False)
    """V is a head on the policy's hidden layers; `network` is then not used."""
    targets: str = eqx.field(static=True, default="estimator")
    """What V learns: estimator (the estimator's return), monte-carlo (the rewards to the end of the
    episode), td (r + γ V(s')) or lambda (the λ-return)."""
    lam: float = 0.95
    """λ of the λ-return as the target."""
    coefficient: float = 0.5
    """Weight of (V − G)² in the joint loss."""
    optimizer: Adam | RMSProp | SGD | Optax | None = None
    num_steps: int = eqx.field(static=True, default=1)
    """Gradient steps an update, with an optimiser of its own."""
    replay: Replay | None = None

    def __check_init__(self) -> None:
        check_parts(self)
        check_not_negative(coefficient=self.coefficient)
        check_unit(lam=self.lam)
        check_count(num_steps=self.num_steps)
        check_choice(("estimator", "monte-carlo", "td", "lambda"), targets=self.targets)
        self._check_optimizer()
        require(
            self.replay is None or self.targets in ("monte-carlo", "td"),
            "targets",
            repr(self.targets),
            "a memory holds single transitions, from which only td or monte-carlo can be had",
        )

    def _check_optimizer(self) -> None:
        is_own = self.optimizer is not None
        require(
            is_own or self.num_steps == 1,
            "num_steps",
            self.num_steps,
            "without an optimiser of its own the value function learns in the policy's steps, so "
            "use 1, or give it an optimizer",
        )
        require(
            is_own or self.replay is None,
            "replay",
            "Replay",
            "without an optimiser of its own the value function learns from the policy's batch, so "
            "leave it out, or give it an optimizer",
        )
        require(
            not (is_own and self.shares_trunk),
            "shares_trunk",
            True,
            "steps of the value function's own would move the policy, so leave its optimizer out",
        )
