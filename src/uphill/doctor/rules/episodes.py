"""How episodes end, and whether they can be repeated."""

import numpy as np

from uphill.doctor.facts import EnvironmentFacts
from uphill.doctor.finding import Finding
from uphill.words import option

_LONG = 1000
"""Steps without an end after which an episode without a time limit counts as endless."""
_VERY_LONG = 5000
"""The same, whatever the time limit."""
_SHORT = 10
"""Episodes of fewer steps may well have a fixed length."""
_SOON = 20
"""Where no episode lasts as long, a time limit would hardly ever be met."""


def lengths(facts: EnvironmentFacts) -> np.ndarray:
    """Lengths of all whole episodes that were played."""
    return np.concatenate([play.lengths for play in facts.plays])


def never_ends(facts: EnvironmentFacts) -> list[Finding]:
    """No episode came to an end, though there was time for it."""
    steps = max(play.unfinished for play in facts.plays)
    limit = facts.max_episode_steps
    if len(lengths(facts)) or steps < (_LONG if limit is None else _VERY_LONG):
        return []
    has = "it has no time limit" if limit is None else f"its time limit is {limit:,} steps"
    return [
        Finding(
            "episode-never-ends",
            "problem",
            f"No episode ended, neither at random nor with constant actions: the longest went on "
            f"for {steps:,} steps, and {has}.",
            "Return terminated=True where the task is over, and give it a time limit: "
            f"max_episode_steps in gymnasium.register, or {option('max_episode_steps', 1000)}.",
        )
    ]


def no_time_limit(facts: EnvironmentFacts) -> list[Finding]:
    """Episodes that only an event ends: a good policy may play forever."""
    all_lengths, is_cut = lengths(facts), any(p.truncated.any() for p in facts.plays)
    if facts.max_episode_steps is not None or is_cut or ends_at_one_length(facts):
        return []
    if not len(all_lengths) or all_lengths.max() < _SOON:
        return []
    low, high = all_lengths.min(), all_lengths.max()
    return [
        Finding(
            "no-time-limit",
            "advice",
            f"There is no time limit: episodes ended by themselves, the shortest after {low:,} "
            f"steps and the longest after {high:,}, but those of a better policy may never end.",
            "Give it one: max_episode_steps in gymnasium.register, or "
            f"{option('max_episode_steps', 1000)} (algorithms that need whole episodes can't do "
            "without).",
        )
    ]


def ends_at_one_length(facts: EnvironmentFacts) -> bool:
    """Whether all episodes were terminated at the same step, whatever was done."""
    all_lengths = lengths(facts)
    is_terminated = all((p.terminated & ~p.truncated).all() for p in facts.plays)
    is_same = len(all_lengths) >= 5 and len(set(all_lengths.tolist())) == 1
    return bool(is_terminated and is_same and all_lengths[0] >= _SHORT)


def time_limit_as_termination(facts: EnvironmentFacts) -> list[Finding]:
    """A time limit that says it was the task's own end."""
    if not ends_at_one_length(facts):
        return []
    count, length = len(lengths(facts)), lengths(facts)[0]
    return [
        Finding(
            "time-limit-as-termination",
            "advice",
            f"All {count:,} episodes were terminated at step {length:,}, whatever was done: that "
            "looks like a time limit.",
            "If it is one, return truncated=True and terminated=False there (or leave it to "
            "max_episode_steps): after a termination nothing more can be earned, after a time "
            "limit it could, and value functions learn the difference.",
        )
    ]


def both_flags(facts: EnvironmentFacts) -> list[Finding]:
    """Episodes that were terminated and truncated in the same step."""
    both = sum(int((p.terminated & p.truncated).sum()) for p in facts.plays)
    count = len(lengths(facts))
    if not both or 2 * both < count:
        return []
    return [
        Finding(
            "terminated-and-truncated",
            "advice",
            f"{both:,} of {count:,} episodes ended with terminated and truncated both True.",
            "terminated is for an end of the task itself, truncated for a time limit: return True "
            "for the one that it was.",
        )
    ]


def not_repeatable(facts: EnvironmentFacts) -> list[Finding]:
    """The same seed gives something else."""
    spec = facts.repeats
    if spec is None or spec.step:
        return []
    if not spec.reset:
        return [
            Finding(
                "reset-not-repeatable",
                "advice",
                "Two resets with the same seed gave different first observations.",
                "Call super().reset(seed=seed) in reset, and draw all that is random from "
                "self.np_random: runs can't be repeated otherwise.",
            )
        ]
    return [
        Finding(
            "step-not-repeatable",
            "advice",
            "The same actions after a reset with the same seed gave different observations or "
            "rewards.",
            "Draw all that is random from self.np_random, and see that reset forgets everything of "
            "the last episode: runs can't be repeated otherwise.",
        )
    ]
