"""What parts have in common: they are checked; and those that learn or remember have a state."""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from uphill.policies.actions import ActionKind
from uphill.policies.encodings import Encoding
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import Policy


class Setup(NamedTuple):
    """What a part knows when training begins."""

    encoding: Encoding
    action_kind: ActionKind
    num_envs: int
    policy: Policy
    network: NetworkFactory | None = None
    """makes the hidden layers, in place of the settings"""


class Part(eqx.Module):
    """A part is its settings, and never changes."""

    def check(self, algorithm: Any) -> None:
        """Raises:
        UphillError: if the part does not fit the other parts or the numbers of `algorithm`.
        """


class StatefulPart(Part):
    """What a part learns or remembers from batch to batch is a state: any tree of arrays, which the
    learner keeps for it, checkpoints hold, and a resumed run goes on with.
    """

    def init(self, setup: Setup, generator: np.random.Generator) -> PyTree:
        """The state before the first batch, of NumPy arrays; None for a part that has none."""
        return None

    def unlearned(self, before: PyTree, after: PyTree) -> PyTree:
        """The state after a batch that has only filled the scales of observations or rewards, or
        counts no step, and moved no network: as if the batch had not been."""
        return before

    def networks(self, state: PyTree) -> PyTree:
        """What of the state learns as the policy does: it must stay finite, and a run that starts
        from another's networks (`init_from`) takes a baseline's over."""
        return None
