"""Checks before training begins."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from uphill.errors import UphillError
from uphill.learning.counting import MOST_COUNTED
from uphill.parts import Algorithm
from uphill.parts.checks import check_count
from uphill.parts.sampling import Sampling
from uphill.policies.actions import ActionKind, components
from uphill.policies.encodings import Encoding
from uphill.policies.policy import PolicySettings
from uphill.training.state import TrainState
from uphill.words import count, option

_MOST_TRANSITIONS = 10**8
_MOST_UPDATES = 2**31 - 1


def check_numbers(num_steps: int, seeds: Any, measure_every: Any, devices: Any) -> None:
    """Raises:
    UphillError: if there are more steps than can be counted, no valid seeds, or JAX is set to
        64-bit numbers.
    """
    config: Any = jax.config
    if config.jax_enable_x64:
        raise UphillError(
            "JAX_ENABLE_X64 is on, and training uses 32-bit numbers: switch it off (or train "
            "inside `with jax.enable_x64(False):`)."
        )
    if not isinstance(num_steps, int | np.integer) or not 1 <= num_steps <= MOST_COUNTED:
        raise UphillError(f"steps is {num_steps!r}: use a number from 1 to {MOST_COUNTED}.")
    is_some = isinstance(seeds, Sequence) and len(seeds) > 0
    if not is_some or not all(isinstance(s, int | np.integer) and 0 <= s < 2**32 for s in seeds):
        raise UphillError(
            f"seeds is {seeds!r}: give a tuple of numbers from 0 to {2**32 - 1}, such as "
            "tuple(range(3))."
        )
    check_count(devices=devices)
    if measure_every is not None:
        check_count(measure_every=measure_every)


def check_algorithm(algorithm: Any) -> None:
    """Raises:
    UphillError: if it is none.
    """
    if not isinstance(algorithm, Algorithm):
        shown = getattr(algorithm, "__name__", repr(algorithm))
        raise UphillError(f"algorithm is {shown}: give an Algorithm, such as uphill.ppo().")


def check_state(state: Any, num_seeds: int, encoding: Encoding, action_kind: ActionKind) -> None:
    """Raises:
    UphillError: unless it is a state of a trainer for so many seeds and such spaces.
    """
    if not isinstance(state, TrainState):
        raise UphillError(
            f"state is {type(state).__name__!r}: give what trainer.start() or iterate returned."
        )
    actor = state.learners.actor
    is_alike = actor.encoding == encoding and actor.policy.action_kind == action_kind
    if not is_alike or len(state.num_transitions) != num_seeds:
        raise UphillError(
            "state is that of another trainer, with other spaces or another number of seeds: give "
            "one that this trainer started."
        )


def check_devices(devices: int, name: str, backend: str, sampling: Sampling) -> None:
    """Raises:
    UphillError: if a seed can't be spread over so many devices.
    """
    if devices == 1:
        return
    if backend != "compiled":
        raise UphillError(
            f"{option('devices', devices)} divides the environments of a compiled world, and those "
            f"of {name} are stepped by {backend}: leave it out."
        )
    there = jax.devices()
    if devices > len(there):
        other = f", or start Python with JAX_NUM_CPU_DEVICES={devices} in the environment"
        raise UphillError(
            f"{option('devices', devices)} is more than the {len(there)} that JAX has started "
            f"with: use at most {len(there)}{other if there[0].platform == 'cpu' else ''}."
        )
    if sampling.num_envs % devices:
        even = [n for n in range(1, devices) if sampling.num_envs % n == 0]
        raise UphillError(
            f"{count(sampling.num_envs, 'environment')} can't be divided evenly among {devices} "
            f"devices: use {option('devices', even[-1])}, or a number of environments that can be."
        )


def check_updates(num_updates: int, sampling: Sampling) -> None:
    """Raises:
    UphillError: if there are more updates than can be counted.
    """
    if num_updates > _MOST_UPDATES:
        raise UphillError(
            f"This many steps need more than {_MOST_UPDATES:,} updates, but an update's random "
            f"numbers come from its 32-bit number: use fewer steps, or larger updates "
            f"({option('envs', 2 * sampling.num_envs)})."
        )


def check_episodes(name: str, sampling: Sampling, max_episode_steps: int | None) -> None:
    """Raises:
    UphillError: if the episodes that the sampling asks for may never end.
    """
    if sampling.has_whole_episodes and max_episode_steps is None:
        raise UphillError(
            f"{name} has no time limit, so whole episodes may never end: give it one, such as "
            f"{option('max_episode_steps', 1000)}."
        )
    if sampling.has_whole_episodes:
        most = sampling.most_transitions(max_episode_steps)
        if most > _MOST_TRANSITIONS:
            raise UphillError(
                f"{name} has a time limit of {max_episode_steps:,} steps, and whole episodes of "
                f"{sampling.num_envs} environments may then be {most:,} steps in one update, more "
                f"than memory holds: use a smaller {option('max_episode_steps')}, or fewer "
                f"{option('envs')}."
            )


def check_policy(name: str, space: gymnasium.Space, policy: PolicySettings) -> None:
    """Raises:
    UphillError: if a setting of the policy is for continuous actions, and there are none.
    """
    if any(isinstance(part, spaces.Box) for part in components(space)):
        return
    usual = PolicySettings()
    meaningless = {name: [getattr(usual, name)] for name in ("distribution", "log_std")}
    # 0 was the default once, and stands in run directories.
    meaningless["initial_log_std"] = [usual.initial_log_std, 0.0]
    for field, values in meaningless.items():
        value = getattr(policy, field)
        if value not in values:
            raise UphillError(
                f"{option(f'policy.{field}')} is {value!r}, a setting for continuous actions, and "
                f"those of {name} are {space}: leave it out."
            )
