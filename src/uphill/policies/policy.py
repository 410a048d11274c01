"""The policy, π(a|s), and the value function's network, V(s): a network and what it stands for."""

import math

import equinox as eqx
import numpy as np
from jaxtyping import Float

from uphill.errors import UphillError
from uphill.policies.networks import ACTIVATIONS, MLP, mlp
from uphill.policies.spaces import ActionKind, Bounded
from uphill.theory.distributions import Distribution
from uphill.trajectory import Array


class NetworkSettings(eqx.Module):
    """The size and shape of a network."""

    hidden: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(64, 64))
    """Units of each hidden layer; none makes it linear."""
    activation: str = eqx.field(static=True, default="tanh")
    """Activation of the hidden layers: tanh, relu, elu, gelu or silu."""

    def __check_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UphillError(
                f"activation is {self.activation!r}: choose one of {', '.join(ACTIVATIONS)}."
            )
        if any(units < 1 for units in self.hidden):
            raise UphillError(f"hidden is {self.hidden}: every layer needs at least 1 unit.")


class PolicySettings(NetworkSettings):
    """The policy's network, and how it explores at first."""

    initial_log_std: float = eqx.field(static=True, default=0.0)
    """Logarithm of σ before training, for continuous actions (as a fraction of half the range)."""

    def __check_init__(self) -> None:
        if not math.isfinite(self.initial_log_std):
            raise UphillError(
                f"initial_log_std is {self.initial_log_std}: use a finite number, 0 for σ = 1."
            )


class Policy(eqx.Module):
    """π(a|s): features in, a distribution over actions out."""

    network: MLP
    log_std: Float[Array, " P"] | None
    action_kind: ActionKind = eqx.field(static=True)

    def __call__(self, features: Float[Array, "*batch D"]) -> Distribution:
        return self.action_kind.distribution(self.network(features), self.log_std)


class Critic(eqx.Module):
    """V(s): features in, the expected return out."""

    network: MLP

    def __call__(self, features: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
        return self.network(features)[..., 0]


def make_policy(
    settings: PolicySettings,
    num_features: int,
    action_kind: ActionKind,
    generator: np.random.Generator,
) -> Policy:
    """A policy that starts close to uniform, since its last layer is small.

    Reference: Andrychowicz et al. (2021), https://arxiv.org/abs/2006.05990
    """
    outputs = action_kind.num_parameters
    sizes = (num_features, *settings.hidden, outputs)
    network = mlp(sizes, settings.activation, 0.01, generator)
    log_std = None
    if isinstance(action_kind, Bounded):
        log_std = np.full(outputs, settings.initial_log_std, np.float32)
    return Policy(network, log_std, action_kind)


def make_critic(
    settings: NetworkSettings, num_features: int, generator: np.random.Generator
) -> Critic:
    """A value network with random weights."""
    sizes = (num_features, *settings.hidden, 1)
    return Critic(mlp(sizes, settings.activation, 1.0, generator))
