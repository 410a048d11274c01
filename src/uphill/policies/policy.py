"""The policy, π(a|s), and the value functions, V(s) and Q(s, a): trunks, and heads on top."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from uphill.errors import UphillError
from uphill.policies.actions import ActionKind
from uphill.policies.bounded import BOX_DISTRIBUTIONS
from uphill.policies.choices import Choice
from uphill.policies.convolutions import (
    AutoConvolution,
    Convolution,
    ConvolutionalTrunk,
    convolutional,
)
from uphill.policies.encodings import Encoding, images_in
from uphill.policies.images import Image
from uphill.policies.networks import MLP, affine, check_activation, linear, mlp
from uphill.policies.own_network import NetworkFactory, OwnTrunk, own_trunk
from uphill.theory.distributions import Distribution
from uphill.trajectory import Array
from uphill.words import listed

Trunk = MLP | ConvolutionalTrunk | OwnTrunk

LOG_STD_BOUNDS = (-20.0, 2.0)
"""A network's log σ is kept between these: one large output would overflow σ, or leave a density so
narrow that a single sample decides the gradient."""
_FARTHEST_LOG_STD, _GREATEST_GAIN = 20, 1_000_000
"""Before training: far beyond what is of use, and squares of both fit into 32 bits."""


_MOST_UNITS = 2**16
"""Two such layers have 2³² weights, 16 GiB."""


def _widths(hidden: Any) -> tuple[int, ...]:
    if not isinstance(hidden, Iterable):
        raise UphillError(f"hidden is {hidden!r}: give a number for each layer, such as (64, 64).")
    return tuple(hidden)


def _pair(bounds: Any) -> Any:
    """Bounds as two floats, if they are two numbers; else as they are, to be refused."""
    is_pair = isinstance(bounds, Sequence) and len(bounds) == 2
    if is_pair and all(isinstance(x, int | float | np.number) for x in bounds):
        return tuple(map(float, bounds))
    return bounds


# What the command line's help shows as choices.
_ACTIVATIONS = {"choices": ("tanh", "relu", "elu", "gelu", "silu")}
_LOG_STDS = {"choices": ("free", "head", "network")}


def _check_layers(hidden: tuple[int, ...], activation: str | None, convolution: Any) -> None:
    if not isinstance(convolution, AutoConvolution | Convolution | None):
        raise UphillError(
            f"convolution is {convolution!r}: use Convolution(), AutoConvolution() or None."
        )
    if activation is not None:
        check_activation(activation)
    if not all(isinstance(units, int | np.integer) for units in hidden):
        raise UphillError(f"hidden is {hidden}: use a whole number for each layer.")
    if any(units < 1 for units in hidden):
        raise UphillError(f"hidden is {hidden}: every layer needs at least 1 unit.")
    if any(units > _MOST_UNITS for units in hidden):
        raise UphillError(f"hidden is {hidden}: use at most {_MOST_UNITS:,} units in a layer.")


def _is_finite(x: object) -> bool:
    return isinstance(x, int | float | np.number) and math.isfinite(x)


class PolicySettings(eqx.Module):
    """The policy's network, the meaning of its outputs, and its initial exploration."""

    hidden: tuple[int, ...] = eqx.field(static=True, converter=_widths, default=(64, 64))
    """Units of each hidden layer; none makes it linear."""
    activation: str = eqx.field(static=True, default="tanh", metadata=_ACTIVATIONS)
    """Activation of the hidden layers: tanh, relu, elu, gelu or silu."""
    convolution: AutoConvolution | Convolution | None = AutoConvolution()
    """Convolutional layers before the hidden ones, for each image of the observation."""
    initial_log_std: float = eqx.field(static=True, default=-0.5)
    """Logarithm of σ before training, for continuous actions (as a fraction of half the range)."""
    log_std: str = eqx.field(static=True, default="free", metadata=_LOG_STDS)
    """Where log σ comes from: free (a parameter, the same for every observation), head (of the
    policy's network) or network (a separate one)."""
    distribution: str = eqx.field(
        static=True, default="gaussian", metadata={"choices": BOX_DISTRIBUTIONS}
    )
    """Distribution over continuous actions: gaussian (clipped to the bounds), tanh-gaussian
    (squashed into them) or beta."""
    head_gain: float = eqx.field(static=True, default=0.01)
    """Gain of the last layer's initial orthogonal weights: if it is small, the initial policy
    hardly depends on the observation."""
    action_bounds: tuple[float, float] | None = eqx.field(
        static=True, converter=_pair, default=None
    )
    """Lower and upper bound of continuous actions whose space has infinite bounds."""

    def __check_init__(self) -> None:
        _check_layers(self.hidden, self.activation, self.convolution)
        if not _is_finite(self.initial_log_std) or abs(self.initial_log_std) > _FARTHEST_LOG_STD:
            raise UphillError(
                f"initial_log_std is {self.initial_log_std!r}: use a number from "
                f"-{_FARTHEST_LOG_STD} to {_FARTHEST_LOG_STD}, 0 for σ = 1."
            )
        if not _is_finite(self.head_gain) or not 0 <= self.head_gain <= _GREATEST_GAIN:
            raise UphillError(
                f"head_gain is {self.head_gain!r}: use a number from 0 to {_GREATEST_GAIN:,}."
            )
        if self.log_std not in ("free", "head", "network"):
            raise UphillError(f"log_std is {self.log_std!r}: choose free, head or network.")
        if self.distribution not in BOX_DISTRIBUTIONS:
            raise UphillError(
                f"distribution is {self.distribution!r}: choose one of "
                f"{', '.join(BOX_DISTRIBUTIONS)}."
            )
        self._check_bounds()
        low, high = LOG_STD_BOUNDS
        if self.log_std != "free" and not low <= self.initial_log_std <= high:
            raise UphillError(
                f"initial_log_std is {self.initial_log_std}: a network's log σ is clipped, so use "
                f"a number from {low:.0f} to {high:.0f}."
            )

    def _check_bounds(self) -> None:
        bounds = self.action_bounds
        if bounds is None:
            return
        is_pair = isinstance(bounds, tuple) and len(bounds) == 2
        if not is_pair or not all(map(_is_finite, bounds)) or not bounds[0] < bounds[1]:
            raise UphillError(
                f"action_bounds is {bounds!r}: give a finite number and a greater one, as (-1, 1)."
            )


class NetworkSettings(eqx.Module):
    """The size and shape of a network beside the policy's; what is left out is as there."""

    hidden: tuple[int, ...] | None = eqx.field(
        static=True, converter=lambda x: None if x is None else _widths(x), default=None
    )
    """Units of each hidden layer, empty for a linear network; None for those of the policy."""
    activation: str | None = eqx.field(static=True, default=None, metadata=_ACTIVATIONS)
    """Activation of the hidden layers: tanh, relu, elu, gelu or silu; None for the policy's."""
    convolution: AutoConvolution | Convolution | None = AutoConvolution()
    """Convolutional layers before the hidden ones, for each image of the observation;
    AutoConvolution for those of the policy."""

    def __check_init__(self) -> None:
        _check_layers(self.hidden or (), self.activation, self.convolution)

    def beside(self, policy: PolicySettings) -> PolicySettings:
        """The policy's settings, changed to what this network has of its own."""
        is_left_out = isinstance(self.convolution, AutoConvolution)
        return replace(
            policy,
            hidden=policy.hidden if self.hidden is None else self.hidden,
            activation=self.activation or policy.activation,
            convolution=policy.convolution if is_left_out else self.convolution,
        )


class Network(eqx.Module):
    """A trunk and one head: features in, numbers out."""

    trunk: Trunk
    head: eqx.nn.Linear

    def __call__(self, features: Float[Array, "*batch D"]) -> Float[Array, "*batch outputs"]:
        return affine(self.head, self.trunk(features))


class Policy(eqx.Module):
    """π(a|s): features in, a distribution over actions out."""

    trunk: Trunk
    head: eqx.nn.Linear
    log_std: Float[Array, " P"] | eqx.nn.Linear | Network | None
    action_kind: ActionKind = eqx.field(static=True)

    def __call__(self, features: Float[Array, "*batch D"]) -> Distribution:
        return self.distribution(self.hidden(features), features)

    def hidden(self, features: Float[Array, "*batch D"]) -> Float[Array, "*batch H"]:
        """What the trunk makes of the features."""
        return self.trunk(features)

    def distribution(
        self, hidden: Float[Array, "*batch H"], features: Float[Array, "*batch D"]
    ) -> Distribution:
        """The distribution that the heads make of the hidden units."""
        log_std = self.log_std
        if isinstance(log_std, eqx.nn.Linear):
            log_std = jnp.clip(affine(log_std, hidden), *LOG_STD_BOUNDS)
        elif isinstance(log_std, Network):
            log_std = jnp.clip(log_std(features), *LOG_STD_BOUNDS)
        return self.action_kind.distribution(affine(self.head, hidden), log_std)


class Critic(eqx.Module):
    """V(s): the expected return. Without its own trunk it uses the policy's.

    A shared trunk is held by the policy only: two copies would diverge at the first update.
    """

    trunk: Trunk | None
    head: eqx.nn.Linear

    @property
    def is_shared(self) -> bool:
        """Whether the trunk is the policy's."""
        return self.trunk is None

    def __call__(
        self, features: Float[Array, "*batch D"], hidden: Float[Array, "*batch H"] | None = None
    ) -> Float[Array, "*batch"]:
        """V of each observation; `hidden` is what the policy's trunk made of the features."""
        if self.trunk is not None:
            hidden = self.trunk(features)
        assert hidden is not None, "a critic on the policy's trunk needs its hidden units"
        return affine(self.head, hidden)[..., 0]


def values(
    policy: Policy, critic: Critic, features: Float[Array, "*batch D"]
) -> Float[Array, "*batch"]:
    """V(s), computed through the policy's trunk if the critic shares it."""
    return critic(features, policy.hidden(features) if critic.is_shared else None)


class ActionCritic(eqx.Module):
    """Q(s, a): the expected return after an action.

    For a choice among `A` actions the network gives one number for each; else it is a function of
    the features and the action together.
    """

    network: Network
    action_kind: ActionKind = eqx.field(static=True)

    def __call__(
        self, features: Float[Array, "*batch D"], action: Shaped[Array, "*batch_and_event"]
    ) -> Float[Array, "*batch"]:
        if isinstance(self.action_kind, Choice):
            of_each = self.network(features)
            # As in `Categorical.log_prob`: a comparison and a sum are cheaper than a gather.
            chosen = jax.nn.one_hot(action, of_each.shape[-1], dtype=bool)
            return jnp.where(chosen, of_each, 0.0).sum(-1)
        both = jnp.concatenate([features, self.action_kind.vector(action)], -1)
        return self.network(both)[..., 0]


# --- how they start -----------------------------------------------------------------------------


def make_policy(
    settings: PolicySettings,
    encoding: Encoding,
    action_kind: ActionKind,
    generator: np.random.Generator,
    network: NetworkFactory | None = None,
) -> Policy:
    """A policy that starts close to uniform where its last layer is small (`head_gain`).

    Raises:
        UphillError: if the settings don't fit the observations, or `network` can't be a trunk.

    Reference: Andrychowicz et al. (2021), https://arxiv.org/abs/2006.05990
    """
    trunk, num_hidden = make_trunk(settings, encoding, generator, network)
    head = linear(num_hidden, action_kind.num_parameters, settings.head_gain, generator)
    outputs = action_kind.num_log_std
    if not outputs:
        return Policy(trunk, head, None, action_kind)
    start = np.full(outputs, settings.initial_log_std, np.float32)
    if settings.log_std == "free":
        return Policy(trunk, head, start, action_kind)
    own = None
    if settings.log_std == "network":
        own, num_hidden = make_trunk(settings, encoding, generator, network)
    of_std = linear(num_hidden, outputs, settings.head_gain, generator)
    of_std = eqx.tree_at(lambda layer: layer.bias, of_std, start)
    return Policy(trunk, head, of_std if own is None else Network(own, of_std), action_kind)


def make_critic(
    settings: PolicySettings,
    encoding: Encoding,
    generator: np.random.Generator,
    shared_with: Policy | None = None,
    network: NetworkFactory | None = None,
) -> Critic:
    """A value function with random weights, on the trunk of `shared_with` if there is one.

    Raises:
        UphillError: if the settings don't fit the observations, or `network` can't be a trunk.
    """
    if shared_with is not None:
        num_hidden = shared_with.head.weight.shape[-1]
        return Critic(None, linear(num_hidden, 1, 1.0, generator))
    trunk, num_hidden = make_trunk(settings, encoding, generator, network)
    return Critic(trunk, linear(num_hidden, 1, 1.0, generator))


def make_action_critic(
    settings: PolicySettings,
    encoding: Encoding,
    action_kind: ActionKind,
    generator: np.random.Generator,
    network: NetworkFactory | None = None,
) -> ActionCritic:
    """An action-value function with random weights.

    Raises:
        UphillError: if the settings don't fit the observations, or `network` can't be a trunk.
    """
    is_choice = isinstance(action_kind, Choice)
    num_others = 0 if is_choice else action_kind.vector_size
    trunk, num_hidden = make_trunk(settings, encoding, generator, network, num_others)
    head = linear(num_hidden, action_kind.num_parameters if is_choice else 1, 1.0, generator)
    return ActionCritic(Network(trunk, head), action_kind)


def make_trunk(
    settings: PolicySettings,
    encoding: Encoding,
    generator: np.random.Generator,
    network: NetworkFactory | None = None,
    num_others: int = 0,
) -> tuple[Trunk, int]:
    """A trunk over the encoded observation (and `num_others` more numbers), and how many hidden
    units it gives.

    Raises:
        UphillError: if the settings don't fit the observations, or `network` can't be a trunk.
    """
    num_features = encoding.size + num_others
    if network is not None:
        return own_trunk(network, num_features, generator)
    convolution = settings.convolution
    images = _convolved_images(convolution, encoding)
    if convolution is None or not images:
        sizes = (num_features, *settings.hidden)
        return mlp(sizes, settings.activation, generator), sizes[-1]
    return convolutional(
        convolution, images, num_features, settings.hidden, settings.activation, generator
    )


def _convolved_images(
    convolution: AutoConvolution | Convolution | None, encoding: Encoding
) -> tuple[Image, ...]:
    """The images that go through convolutions.

    Raises:
        UphillError: if layers of certain sizes were asked for, and there is no image.
    """
    if convolution is None:
        return ()
    is_asked_for = isinstance(convolution, Convolution)
    images = tuple(images_in(encoding, any_of_three_axes=is_asked_for))
    if is_asked_for and not images:
        raise UphillError(
            f"convolution has kernels {convolution.kernels}: the observation has no image (a Box "
            f"of pixels) but is {encoding}, so leave convolution out."
        )
    return images


def images_described(settings: PolicySettings, encoding: Encoding) -> str:
    """What becomes of the observation's images, in words; nothing where it has none."""
    images = images_in(encoding)
    if not images:
        return ""
    convolution, kinds = settings.convolution, dict[str, list[Image]]()
    if convolution is None:
        return f"{listed(_sizes(images))} as plain numbers, without convolutions"
    for image in images:
        kinds.setdefault(str(convolution.fitting(image)), []).append(image)
    return "; ".join(f"{listed(_sizes(images))} through {kind}" for kind, images in kinds.items())


def _sizes(images: Iterable[Image]) -> list[str]:
    """Their sizes, each once."""
    return list(dict.fromkeys(f"images of {image}" for image in images))
