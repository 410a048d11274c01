"""Findings from a brief training: whether anything can be learned, and from the observations."""

import numpy as np

from uphill.doctor.facts import ConstantPlay, EnvironmentFacts, Training
from uphill.doctor.finding import Finding
from uphill.doctor.rules.actions import without_effect
from uphill.doctor.rules.observations import constant_numbers
from uphill.doctor.rules.rewards import is_sparse, never_varies
from uphill.doctor.training import FEWEST_STEPS
from uphill.words import number

_SURE = 2.5
"""Standard errors between two means before they count as different."""
_FEWEST_EPISODES = 2
"""Of random play, to compare with: one has no spread."""


def no_better_than_random(facts: EnvironmentFacts) -> list[Finding]:
    """Training did not help, and no other finding says why."""
    training = _informative(facts)
    if training is None or is_better_than_random(facts, training) or _is_explained(facts):
        return []
    trained, random = number(training.returns.mean()), number(facts.random.returns.mean())
    return [
        Finding(
            "no-better-than-random",
            "advice",
            f"After {training.steps:,} steps of {training.algo} a policy earned {trained} an "
            f"episode, random play {random}.",
            "See whether the observation holds what the reward depends on, whether rewards come "
            "soon after what earns them, and whether the signs are right; or train longer, some "
            "tasks are slow to begin.",
        )
    ]


def constant_as_good(facts: EnvironmentFacts) -> list[Finding]:
    """A policy that sees nothing earns as much."""
    training, best = _informative(facts), best_constant(facts)
    if training is None or best is None or not is_better_than_random(facts, training):
        return []
    constant, trained = best.play.returns.mean(), training.returns.mean()
    gained = abs(constant - facts.random.returns.mean())
    # More, and it has learned from what it saw; much less, and it has not learned enough yet.
    if not -0.05 * gained <= trained - constant <= 0.01 * gained or constant_numbers(facts):
        return []
    return [
        Finding(
            "constant-as-good",
            "advice",
            f"Always the action {best.action} earned {number(constant)} an episode, a policy after "
            f"{training.steps:,} steps of {training.algo} {number(trained)}: nothing that it saw "
            "has helped it.",
            "If it stays so with more training, see whether the reward should depend on more than "
            "the action, and whether the observation holds what it depends on.",
        )
    ]


def best_constant(facts: EnvironmentFacts) -> ConstantPlay | None:
    """The constant action that earned most, if episodes came to an end."""
    whole = [constant for constant in facts.constants if len(constant.play.returns)]
    return max(whole, key=lambda constant: constant.play.returns.mean(), default=None)


def has_learned(facts: EnvironmentFacts) -> bool:
    """Whether brief training got anywhere."""
    training = facts.training
    if training is None or len(facts.random.returns) < _FEWEST_EPISODES:
        return False
    return is_better_than_random(facts, training)


def is_better_than_random(facts: EnvironmentFacts, training: Training) -> bool:
    """Whether a trained policy earned more than random play: Welch's test."""
    a, b = training.returns, facts.random.returns
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return bool(a.mean() - b.mean() > _SURE * error)


def _informative(facts: EnvironmentFacts) -> Training | None:
    training = facts.training
    has_enough = training is not None and training.steps >= FEWEST_STEPS
    return training if has_enough and len(facts.random.returns) >= _FEWEST_EPISODES else None


def _is_explained(facts: EnvironmentFacts) -> bool:
    """Whether another finding is the reason, or random play reaches the goal already."""
    causes = (never_varies, is_sparse, constant_numbers, without_effect)
    threshold, mean = facts.reward_threshold, facts.random.returns.mean()
    is_solved = threshold is not None and mean >= threshold
    return is_solved or any(
        x.severity == "problem" or x.name == "sparse-reward"
        for cause in causes
        for x in cause(facts)
    )
