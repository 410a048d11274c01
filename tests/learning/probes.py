"""Five probe environments in one compiled world: each episode draws which of them it is.

The five are those of Andy L. Jones, "Debugging RL, without the agonizing pain" (2021),
https://andyljones.com/posts/rl-debugging.html.
"""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

CONSTANT, OBSERVED, DELAYED, ACTED, BOTH = range(5)
STATES = {
    "constant": (CONSTANT, 0.0),
    "observed −": (OBSERVED, -1.0),
    "observed +": (OBSERVED, 1.0),
    "delayed, first step": (DELAYED, 0.0),
    "delayed, last step": (DELAYED, 1.0),
    "acted": (ACTED, 0.0),
    "both −": (BOTH, -1.0),
    "both +": (BOTH, 1.0),
}
"""Every state there is: the probe, and the probe's own observation."""


def observation(probe, own):
    """Which probe it is, one-hot, then the probe's own observation in a place of its own: a linear
    function of these ten numbers can be right about all five."""
    which = jax.nn.one_hot(probe, 5)
    return jnp.concatenate([which, which * own])


def best_action(probe, own):
    """The number that an action should be, where actions matter; choices are −1 and 1."""
    return jnp.where(probe == ACTED, 0.5, 0.5 * own)


class State(eqx.Module):
    probe: jax.Array
    own: jax.Array
    ended: jax.Array


@dataclass(frozen=True)
class Probes:
    """One step each, two in the probe of the delayed reward.

    constant: 1. observed: what is observed, ±1. delayed: 0, then 1. acted: choices earn 1 or −1,
    numbers −(a − ½)². both: the right choice depends on the observation x = ±1, the right number
    is x / 2.
    """

    is_continuous: bool = False
    max_episode_steps: int = 3
    reward_threshold: float | None = None
    observation_space: ClassVar = gymnasium.spaces.Box(-1.0, 1.0, (10,))

    @property
    def action_space(self):
        is_continuous = self.is_continuous
        return (
            gymnasium.spaces.Box(-1.0, 1.0, (1,))
            if is_continuous
            else (gymnasium.spaces.Discrete(2))
        )

    def initial(self, key):
        key_probe, key_own = jax.random.split(key)
        probe = jax.random.randint(key_probe, (), 0, 5)
        sign = jax.random.rademacher(key_own, (), jnp.float32)
        is_signed = (probe == OBSERVED) | (probe == BOTH)
        return State(probe, jnp.where(is_signed, sign, 0.0), jnp.bool_(False))

    def transition(self, state, action, key):
        goes_on = (state.probe == DELAYED) & (state.own == 0)
        own = jnp.where(state.probe == DELAYED, 1.0, state.own)
        return State(state.probe, own, ~goes_on)

    def observation(self, state):
        return observation(state.probe, state.own)

    def reward(self, state, action, next_state):
        acted = self.earned(state.probe, state.own, action)
        unacted = jnp.stack([jnp.float32(1.0), state.own, state.own])
        return jnp.where(state.probe < ACTED, unacted[jnp.minimum(state.probe, 2)], acted)

    def earned(self, probe, own, action):
        """What an action earns in the probes where actions matter."""
        best = best_action(probe, own)
        if self.is_continuous:
            return -((action[0] - best) ** 2)
        return jnp.where((action == 1) == (best > 0), 1.0, -1.0)

    def terminated(self, state):
        return state.ended


def true_values(actor, gamma):
    """V of every state under a policy: enumerated for choices, by quadrature for numbers."""
    matters = np.array([probe >= ACTED for probe, _ in STATES.values()])
    best = np.array([best_action(*state) for state in STATES.values()])
    known = {CONSTANT: lambda x: 1.0, OBSERVED: lambda x: x, DELAYED: lambda x: x or gamma}
    unacted = [known[p](x) if p < ACTED else 0.0 for p, x in STATES.values()]
    return np.where(matters, _expected(actor, best), unacted)


def _expected(actor, best):
    distribution = actor(observations())
    if hasattr(distribution, "log_std"):
        noise, weight = np.polynomial.hermite_e.hermegauss(201)
        mean, std = np.asarray(distribution.mean)[:, 0], np.exp(distribution.log_std)[:, 0]
        action = np.clip(mean[:, None] + std[:, None] * noise, -1, 1)
        return -((action - best[:, None]) ** 2) @ weight / weight.sum()
    logits = np.asarray(distribution.logits)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.sign(best) * (probability[:, 1] - probability[:, 0])


def observations():
    """The observation of every state."""
    return np.stack([np.asarray(observation(*state)) for state in STATES.values()])
