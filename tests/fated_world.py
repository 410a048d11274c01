"""CartPole whose episodes have a fate, drawn when they begin."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax

from uphill.envs.worlds import CartPole


class Fated(eqx.Module):
    inner: Any
    fate: Any
    """uniform from 0 to 1, the same for a whole episode"""


@dataclass(frozen=True)
class FatedCartPole(CartPole):
    """CartPole, whose rewards may depend on an episode's fate."""

    def initial(self, key: Any) -> Any:
        fate, inner = jax.random.split(key)
        return Fated(super().initial(inner), jax.random.uniform(fate))

    def transition(self, state: Any, action: Any, key: Any) -> Any:
        return Fated(super().transition(state.inner, action, key), state.fate)

    def observation(self, state: Any) -> Any:
        return super().observation(state.inner)

    def terminated(self, state: Any) -> Any:
        return super().terminated(state.inner)
