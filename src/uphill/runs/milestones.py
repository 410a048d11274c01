"""Milestones: moments of training that are worth seeing again.

    untrained        how the policy played at first
    above_random     the first episode that earned more than all of those
    quarter … threshold  the first that came this far of the way from their mean to the threshold
    solved           the mean of the last 100 episodes is at the threshold

Without a threshold there are `quarter_trained`, `half_trained` and `three_quarters_trained` in
place of the last two rows. A world adds its own (`uphill.envs.base.Eventful`).

They are detected at logging points, so they do not depend on how training is split into chunks.
"""

from dataclasses import dataclass, replace

import numpy as np

from uphill.training.rows import REACHED, Rows

UNTRAINED = "untrained"
SOLVED = "solved"
AT_FIRST = 10
"""Episodes, or a few more, that show how an untrained policy plays."""
SOLVED_OVER = 100
"""Episodes whose mean has to reach the threshold for a task to be solved; in training the last."""
_WAY = {"quarter": 0.25, "half": 0.5, "three_quarters": 0.75, "threshold": 1.0}
_TRAINED = {"quarter_trained": 0.25, "half_trained": 0.5, "three_quarters_trained": 0.75}
_TITLES = {
    UNTRAINED: "untrained",
    "above_random": "first episode above random play",
    "quarter": "a quarter of the way to the threshold",
    "half": "half of the way to the threshold",
    "three_quarters": "three quarters of the way to the threshold",
    "threshold": "first episode at the threshold",
    SOLVED: "solved",
    "quarter_trained": "a quarter of the training",
    "half_trained": "half of the training",
    "three_quarters_trained": "three quarters of the training",
}


_TUNED = {
    UNTRAINED: "before fine-tuning",
    "above_random": "first episode above any before fine-tuning",
}


@dataclass(frozen=True)
class Milestone:
    """One seed reached something; its policy at that logging point was kept."""

    name: str
    seed_index: int
    update: int
    """updates by then"""
    steps: int
    """the seed's transitions by then"""
    seconds: float
    """of training by then, compiling included"""
    episode_return: float
    """of the episode that reached it; where it is no single one, the mean of the last episodes"""
    sha256: str = ""
    """checksum of the file that holds the policy"""


@dataclass(frozen=True)
class Seen:
    """A milestone of the world, and the best return of the update in which it was first met."""

    name: str
    episode_return: float


@dataclass(frozen=True)
class Tracked:
    """What one seed's milestones are decided by: its training episodes so far."""

    first_episodes: int = 0
    first_sum: float = 0.0
    first_best: float | None = None
    best: float | None = None
    """the best since those"""
    seen: tuple[Seen, ...] = ()
    """the world's own"""


def title(name: str, is_tuned: bool = False) -> str:
    """What a milestone is called in a caption; `is_tuned` of a training that began with the policy
    of another run.

    >>> title("first_curve"), title("untrained"), title("untrained", is_tuned=True)
    ('first curve', 'untrained', 'before fine-tuning')
    """
    if is_tuned and name in _TUNED:
        return _TUNED[name]
    return _TITLES.get(name, name.replace("_", " "))


def is_mean(name: str) -> bool:
    """Whether the return of a milestone is the mean of several episodes, and not that of one."""
    return name in (UNTRAINED, SOLVED, *_TRAINED)


def followed(tracked: Tracked, rows: Rows, seed_index: int) -> Tracked:
    """`tracked`, after the updates of these rows."""
    worlds = [name for name in rows if name.startswith(REACHED)]
    for u in np.flatnonzero(rows["num_episodes"][:, seed_index]):
        episodes = int(rows["num_episodes"][u, seed_index])
        best = float(rows["return_max"][u, seed_index])
        if tracked.first_episodes < AT_FIRST:
            tracked = replace(
                tracked,
                first_episodes=tracked.first_episodes + episodes,
                first_sum=tracked.first_sum + float(rows["return_sum"][u, seed_index]),
                first_best=_larger(tracked.first_best, best),
            )
        else:
            tracked = replace(tracked, best=_larger(tracked.best, best))
        counts = {name.removeprefix(REACHED): rows[name][u, seed_index] for name in worlds}
        known = {seen.name for seen in tracked.seen}
        new = [name for name, count in counts.items() if count and name not in known]
        # What more episodes come to is easier, so it was there before.
        new.sort(key=lambda name: -counts[name])
        seen = (*tracked.seen, *(Seen(name, best) for name in new))
        tracked = replace(tracked, seen=seen)
    return tracked


def reached(
    tracked: Tracked,
    threshold: float | None,
    recent: float | None,
    is_solved: bool,
    progress: float,
) -> dict[str, float]:
    """All that a seed has reached, the earliest first, with the return that it was reached with.

    `recent` is the mean of the last episodes, `progress` the fraction of its steps.
    """
    found: dict[str, float] = {}
    if tracked.first_episodes < AT_FIRST or tracked.first_best is None or recent is None:
        return found
    mean = tracked.first_sum / tracked.first_episodes
    found[UNTRAINED] = mean
    found |= {seen.name: seen.episode_return for seen in tracked.seen}
    best = tracked.best
    if best is not None and best > tracked.first_best:
        found["above_random"] = best
        if threshold is not None and threshold > mean:
            # Not mean + (threshold − mean), which rounding may put above the threshold itself.
            levels = {
                name: threshold - (1 - part) * (threshold - mean) for name, part in _WAY.items()
            }
            found |= {name: best for name, level in levels.items() if best >= level}
    if threshold is None:
        found |= {name: recent for name, part in _TRAINED.items() if progress >= part}
    if is_solved:
        found[SOLVED] = recent
    return found


def _larger(old: float | None, new: float) -> float:
    return new if old is None else max(old, new)
