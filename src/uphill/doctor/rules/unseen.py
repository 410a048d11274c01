"""Whether the reward depends on something that the observation does not hold."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from uphill.doctor.facts import EnvironmentFacts, Play
from uphill.doctor.finding import Finding
from uphill.doctor.rules.observations import is_constant
from uphill.words import percent

_MOST_STEPS, _MOST_NUMBERS = 1500, 64
"""Steps that are compared, and numbers that an observation may have."""
_FEWEST = 50
"""Minimum number of steps with a similar one in another episode and in their own, before a finding
is reported."""
_NEAR, _SAME = 0.05, 0.01
"""Like steps are nearer than this part of what two steps are apart; and so near that it makes no
difference."""
_APART = 4
"""Steps of one episode that lie nearer in time are no news of each other."""
_MUCH, _TIMES = 0.3, 3.0
"""How much of the rewards' differences like steps of other episodes have, and how many times that
of similar steps of their own episode, before something is reported as missing."""


class Likeness(NamedTuple):
    """Mean differences of reward between steps that are alike: in observations and action."""

    num_steps: int
    elsewhere: float
    """to the most alike step of another episode"""
    here: float
    """to the most alike step of the same one, which is no more alike than that"""
    any_two: float
    """between any two steps"""


def depends_on_what_is_not_seen(facts: EnvironmentFacts) -> list[Finding]:
    """Steps that look alike earn the same within an episode, and something else in another one."""
    found = likeness(facts.random)
    if found is None or found.num_steps < _FEWEST or not found.any_two:
        return []
    if found.elsewhere < max(_MUCH * found.any_two, _TIMES * found.here):
        return []
    return [
        Finding(
            "reward-unseen-cause",
            "advice",
            "Steps that looked alike, in what was seen before and after them and in what was done, "
            "earned much the same within an episode but not in another one: there they differed by "
            f"{percent(found.elsewhere / found.any_two)} of what any two steps differ by (in "
            f"{found.num_steps:,} steps of random play).",
            "Put what changes from episode to episode (a goal, a target, a mode) into the "
            "observation: a policy can't learn to go where it does not see.",
        )
    ]


def likeness(play: Play) -> Likeness | None:
    """How much rewards differ between similar steps; None where there is nothing to compare.

    Each step is compared with the most alike one of another episode, and the most alike one of its
    own that is not more alike (unless both are as good as the same): where the observation holds
    what the reward depends on, the former has the smaller difference, and where rewards are noise,
    both have the same.
    """
    steps = play.transitions
    count, rows = min(len(steps.rewards), _MOST_STEPS), play.rows
    if count < _FEWEST or not 0 < rows.shape[1] <= _MOST_NUMBERS or np.ptp(steps.rewards) == 0:
        return None
    if is_constant(rows).all():  # nothing is seen at all
        return None
    chosen = np.linspace(0, len(steps.rewards) - 1, count).astype(int)
    before, after = rows[steps.before[chosen]], rows[steps.after[chosen]]
    distance = _distances(np.concatenate([before, after, steps.actions[chosen]], -1))
    return _compared(distance, steps.rewards[chosen], steps.episodes[chosen], chosen)


def _distances(x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n n"]:
    """The largest difference of a number between two steps, in units of its standard deviation."""
    found = np.zeros((len(x), len(x)))
    for column in x.T:
        if deviation := column.std():
            np.maximum(found, np.abs(column[:, None] - column[None]) / deviation, out=found)
    return found


def _compared(
    distance: Float[np.ndarray, "n n"],
    rewards: Float[np.ndarray, " n"],
    episodes: Int[np.ndarray, " n"],
    times: Int[np.ndarray, " n"],
) -> Likeness | None:
    is_same = episodes[:, None] == episodes[None]
    is_close = np.abs(times[:, None] - times[None]) < _APART
    difference = np.abs(rewards[:, None] - rewards[None])
    elsewhere, to_other = _nearest(distance, ~is_same, difference)
    far = np.median(distance[~is_same]) if (~is_same).any() else 0.0
    # In its own episode what is at least as far: it has every reason to differ more.
    is_fair = (distance >= elsewhere[:, None]) | (elsewhere <= _SAME * far)[:, None]
    here, to_own = _nearest(distance, is_same & ~is_close & is_fair, difference)
    counts = (here <= _NEAR * far) & (elsewhere <= _NEAR * far)
    if not counts.any():
        return None
    other, own = (float(x[counts].mean()) for x in (to_other, to_own))
    return Likeness(int(counts.sum()), other, own, float(difference[~is_same].mean()))


def _nearest(
    distance: Float[np.ndarray, "n n"], may: np.ndarray, difference: Float[np.ndarray, "n n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The distance of the nearest step that may be chosen (infinite where none), and the mean
    difference of reward to those at that distance."""
    masked = np.where(may, distance, np.inf)
    least = masked.min(1)
    is_least = may & (masked <= least[:, None])
    total = np.maximum(is_least.sum(1), 1)
    return least, np.where(is_least, difference, 0.0).sum(1) / total
