"""How often a training is logged, and how often what costs much is measured."""

from uphill.parts import Algorithm

LEAST_POINTS = 50
"""The fewest logging points in a run that has so many updates, and at most twice as many in one of
fixed windows: to look at what was learned takes as long as an update of a small network."""
EPISODIC_MEASURE = 10
"""Updates between two measurements of what costs about as much as an update on whole episodes."""


def logging_interval(algorithm: Algorithm, steps: int, max_episode_steps: int | None) -> int:
    """Updates between two logging points; `max_episode_steps` matters to whole episodes only."""
    fewest = steps // algorithm.sampling.most_transitions(max_episode_steps)
    every = max(1, fewest // LEAST_POINTS)
    if not algorithm.sampling.has_whole_episodes:
        return every
    return 1 if steps < 1e6 else min(5, every)


def measuring_interval(algorithm: Algorithm, steps: int) -> int:
    """Updates between two in which the diagnostics that cost most are measured."""
    if algorithm.sampling.has_whole_episodes:
        return EPISODIC_MEASURE
    return logging_interval(algorithm, steps, None)
