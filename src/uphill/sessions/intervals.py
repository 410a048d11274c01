"""How often to log, how often to measure expensive diagnostics, and where training ends."""

from uphill.parts import Algorithm
from uphill.parts.sampling import Sampling

LEAST_POINTS = 50
"""The fewest logging points of a run with at least this many updates; a run with fixed windows has
at most twice as many, since logging takes as long as an update of a small network."""
LONGEST_WINDOW = 10_000
"""The most updates between two logging points: their rows wait in memory, and in checkpoints."""
MOST_POINTS = 5_000
"""The most logging points of whole episodes in a run whose episodes are as long as they may be."""
WORTH_TELLING = 0.05
"""The share of the steps that an update must have."""
EPISODIC_MEASURE = 10
"""Updates between two measurements of what costs about as much as an update on whole episodes."""


def logging_interval(algorithm: Algorithm, steps: int, max_episode_steps: int | None) -> int:
    """Updates between two logging points; `max_episode_steps` matters to whole episodes only."""
    fewest = steps // algorithm.sampling.most_transitions(max_episode_steps)
    every = min(max(1, fewest // LEAST_POINTS), LONGEST_WINDOW)
    if not algorithm.sampling.has_whole_episodes:
        return every
    return 1 if steps < 1e6 else min(max(min(5, every), fewest // MOST_POINTS), LONGEST_WINDOW)


def measuring_interval(algorithm: Algorithm, steps: int) -> int:
    """Updates between two in which the diagnostics that cost most are measured."""
    if algorithm.sampling.has_whole_episodes:
        return EPISODIC_MEASURE
    return logging_interval(algorithm, steps, None)


def rounding(sampling: Sampling, steps: int, max_episode_steps: int | None) -> str:
    """The number of steps after rounding up to whole updates, in words; empty if it hardly matters.
    Steps in which an environment is reset don't count."""
    most = sampling.most_transitions(max_episode_steps)
    if most <= WORTH_TELLING * steps or (sampling.quota is not None and most <= steps):
        return ""
    if sampling.quota is None:
        size = f"{most:,} ({sampling.num_envs} environments × {sampling.num_rows(None)})"
    else:
        size = f"{most:,} ({sampling.num_envs * sampling.quota} episodes)"
    return f"{steps:,} steps are rounded up to whole updates, each of up to {size}."
