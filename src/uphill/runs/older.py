"""Current names for the tensors of checkpoints from earlier versions."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

# In format 1 the learner held each network and each memory in a separate field; now they are the
# states of the parts.
_SINCE_1 = {
    "learners.critic_optimizer_state": "learners.parts.baseline.optimizer",
    "learners.action_critic_optimizer_state": "learners.parts.estimator.optimizer",
    "learners.optimizer_state": "learners.parts.optimizer",
    "learners.critic": "learners.parts.baseline.critic",
    "learners.action_critic": "learners.parts.estimator.critic",
    "learners.remembered.running_mean": "learners.parts.baseline",
    "learners.remembered.memory": "learners.parts.baseline.memory",
    "learners.remembered.kl_coefficient": "learners.parts.surrogate",
    "learners.remembered.reward_scale": "learners.scales.rewards",
    "learners.remembered.return_scale": "learners.scales.returns",
}


def renamed(tensors: Mapping[str, T], format: int) -> dict[str, T]:
    """A checkpoint's tensors by the names that they have today."""
    if format > 1:
        return dict(tensors)
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    """The name with the beginning, a whole number of fields, that stands in the table.

    >>> _renamed("learners.critic.head.bias")
    'learners.parts.baseline.critic.head.bias'
    """
    for old, new in _SINCE_1.items():
        if name == old or name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return name
