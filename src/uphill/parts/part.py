"""What all parts have in common, and those that learn or remember something."""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
import wadler_lindig
from jaxtyping import PyTree

from uphill.policies.actions import ActionKind
from uphill.policies.encodings import Encoding
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import Policy, PolicySettings


class Setup(NamedTuple):
    """What a part knows when training begins."""

    encoding: Encoding
    action_kind: ActionKind
    num_envs: int
    policy: Policy
    network: NetworkFactory | None = None
    """makes the hidden layers, instead of the settings"""
    settings: PolicySettings = PolicySettings()
    """of the policy"""


class Part(eqx.Module):
    """A part consists of its settings and never changes."""

    def __repr__(self) -> str:
        """With all of them: Equinox leaves those out that have their defaults."""
        return wadler_lindig.pformat(self, hide_defaults=False)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Its fields that have no effect, as the others are."""
        return ()

    def check(self, algorithm: Any) -> None:
        """Raises:
        UphillError: if the part does not fit the other parts or the numbers of `algorithm`.
        """


class StatefulPart(Part):
    """What such a part learns or remembers from batch to batch is its state: any pytree of arrays.
    The learner keeps it, checkpoints hold it, and a resumed run restores it.
    """

    def init(self, setup: Setup, generator: np.random.Generator) -> PyTree:
        """The state before the first batch, as NumPy arrays; None for a part without one."""
        return None

    def unlearned(self, before: PyTree, after: PyTree) -> PyTree:
        """The state to keep when a batch only updated statistics or counted no step: learned
        parameters revert to `before`."""
        return before

    def networks(self, state: PyTree) -> PyTree:
        """The networks in the state, which learn by gradients: they must stay finite, and a run
        that starts from another run's networks (`init_from`) takes over those of the baseline."""
        return None
