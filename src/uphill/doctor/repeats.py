"""Replayed episodes: whether the same seed repeats them, and what another action changes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uphill.doctor.facts import Effects, Repeats
from uphill.doctor.numbers import exact_bytes
from uphill.doctor.play import Guarded
from uphill.envs.leaves import PartPath, ends, leaves

_HELD = 5
"""Steps for which an action is held: some effects come late."""
_LONGEST_START = 40
"""Steps before the action, at most."""
FEWEST, _MANY = 4, 64
"""The minimum of situations before a finding is reported, and the maximum."""
_MOST_ACTIONS = 24

Fingerprint = tuple[bytes, ...]


def look_for_repeats(env: Guarded, seed: int, steps: int = 30) -> Repeats:
    """Play the same actions from the same seed twice.

    Raises:
        Broken: if the environment can't be played on.
    """
    action_space = env.env.action_space
    action_space.seed(seed)
    actions = [action_space.sample() for _ in range(steps)]
    first, second = outcome(env, seed, actions), outcome(env, seed, actions)
    return Repeats(reset=first[0] == second[0], step=first == second)


def outcome(env: Guarded, seed: int, actions: Sequence[Any]) -> Fingerprint:
    """All that follows from a seed and actions, up to the end of the episode; exactly."""
    space = env.env.observation_space
    seen = [exact_bytes(space, env.reset(seed))]
    for action in actions:
        observation, reward, terminated, truncated = env.step(action)
        answer = np.array([reward, terminated, truncated])
        seen.append(exact_bytes(space, observation) + answer.tobytes())
        if terminated or truncated:
            break
    return tuple(seen)


@dataclass(frozen=True)
class Situation:
    """A point in an episode, from which it can be replayed."""

    seed: int
    actions: tuple[Any, ...]


def look_for_effects(env: Guarded, seed: int, seconds: float) -> Effects | None:
    """Compare actions in situations that are alike but for them.

    Stops as soon as every action is known to have a distinct effect. The environment must repeat
    itself. None where the actions are of a kind that nobody can vary.

    Raises:
        Broken: if the environment can't be played on.
    """
    space = env.env.action_space
    space.seed(seed + 1)
    if isinstance(space, spaces.Discrete):
        return _compare(env, seed, seconds, _actions(space), _alike)
    components = _components(space)
    return _compare(env, seed, seconds, components, _idle) if components else None


def _actions(space: spaces.Discrete) -> dict[str, Callable[[Any], list[Any]]]:
    """For each action, by its name, what to play for it: itself."""
    chosen = spread_choices(space, _MOST_ACTIONS)
    return {str(k): lambda _, k=k: [space.dtype.type(k)] for k in chosen}


def spread_choices(space: spaces.Discrete[Any], most: int) -> list[int]:
    """So many choices at most, from the first to the last, exactly: Python's numbers have no
    width."""
    first, size = int(space.start), int(space.n)
    count = min(most, size)
    return [first + k * (size - 1) // max(1, count - 1) for k in range(count)]


def _components(space: gymnasium.Space) -> dict[str, Callable[[Any], list[Any]]]:
    """For each component, by its name, two actions that differ in it alone."""
    found = [
        (name, path, part, index)
        for name, path, part in leaves(space, "action")
        if ends(part) is not None
        for index in np.ndindex(part.shape or ())
    ]
    many = np.linspace(0, len(found) - 1, min(_MOST_ACTIONS, len(found))).astype(int)

    def both(base: Any, path: PartPath, part: gymnasium.Space, index: tuple[int, ...]) -> list[Any]:
        return [
            with_part(base, path, lambda x, end=end: _with_number(part, x, index, end[index]))
            for end in bounds(part)
        ]

    pairs: dict[str, Callable[[Any], list[Any]]] = {}
    for k in np.unique(many):
        name, path, part, index = found[k]
        shown = f"{name}[{', '.join(map(str, index))}]" if index else name
        pairs[shown] = lambda base, at=path, part=part, index=index: both(base, at, part, index)
    return pairs


def _with_number(part: gymnasium.Space, x: Any, index: tuple[int, ...], number: Any) -> Any:
    """A part of an action, with another number in one place."""
    changed = np.array(x)
    changed[index] = number
    return part.dtype.type(changed) if isinstance(part, spaces.Discrete) else changed


def with_part(action: Any, path: PartPath, change: Callable[[Any], Any]) -> Any:
    """An action with another part at `path`."""
    if not path:
        return change(action)
    key, *rest = path
    part = with_part(action[key], tuple(rest), change)
    if isinstance(action, tuple):
        return (*action[:key], part, *action[key + 1 :])
    return {**action, key: part}


def bounds(space: gymnasium.Space) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest of each component of an action; of unbounded ones ∓1."""
    found = ends(space)
    if found is None:
        raise TypeError(f"{space} has no components")
    low, high = (np.array(np.broadcast_to(x, space.shape or ())) for x in found)
    if np.issubdtype(low.dtype, np.floating):
        huge = 1e6  # an implausible bound
        low = np.where(low < -huge, np.minimum(high, 0) - 1, low).astype(low.dtype)
        high = np.where(high > huge, np.maximum(low, 0) + 1, high).astype(high.dtype)
    return low, high


def _compare(
    env: Guarded,
    seed: int,
    seconds: float,
    choices: dict[str, Callable[[Any], list[Any]]],
    judge: Callable[[dict[str, list[Any]], int], Effects],
) -> Effects:
    deadline, generator = time.monotonic() + seconds, np.random.default_rng(seed)
    seen: dict[str, list[Any]] = {name: [] for name in choices}
    effects = Effects(0)
    for k in range(_MANY):
        situation = _situation(env, int(generator.integers(2**31)), generator)
        base = env.env.action_space.sample()
        for name, actions in choices.items():
            outcomes = [
                outcome(env, situation.seed, [*situation.actions, *[action] * _HELD])
                for action in actions(base)
            ]
            seen[name].append(outcomes[0] if len(outcomes) == 1 else len(set(outcomes)))
        effects = judge(seen, k + 1)
        is_clear = not effects.alike and not effects.idle and not effects.is_all
        if (k + 1 >= FEWEST and is_clear) or time.monotonic() > deadline:
            break
    return effects


def _situation(env: Guarded, seed: int, generator: np.random.Generator) -> Situation:
    """Random actions from a seed on, but not to the end of the episode."""
    wanted, actions = int(generator.integers(_LONGEST_START + 1)), []
    env.reset(seed)
    for _ in range(wanted):
        action = env.env.action_space.sample()
        *_, terminated, truncated = env.step(action)
        if terminated or truncated:
            break
        actions.append(action)
    return Situation(seed, tuple(actions))


def _alike(seen: dict[str, list[Any]], num_situations: int) -> Effects:
    """Groups of actions whose outcomes never differed."""
    groups: dict[tuple, list[str]] = {}
    for name, outcomes in seen.items():
        groups.setdefault(tuple(outcomes), []).append(name)
    alike = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    return Effects(num_situations, alike, is_all=len(groups) == 1 and len(seen) > 1)


def _idle(seen: dict[str, list[Any]], num_situations: int) -> Effects:
    """Components whose two extremes never had different outcomes."""
    idle = tuple(name for name, counts in seen.items() if max(counts) == 1)
    return Effects(num_situations, idle=idle, is_all=len(idle) == len(seen))
