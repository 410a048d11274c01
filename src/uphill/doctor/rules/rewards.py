"""Findings about rewards: constant or sparse ones, or ones at a scale that is hard to learn
from."""

import numpy as np

from uphill.doctor.facts import EnvironmentFacts, Play
from uphill.doctor.finding import Finding
from uphill.words import number, option

_FEWEST = 50
"""Minimum steps of random play before a finding is reported."""
_FEW_EPISODES = 10
_RARE = 0.05
"""The part of the episodes that may earn something else, and rewards are still sparse."""
_HUGE, _TINY = 100.0, 1e-3


def never_varies(facts: EnvironmentFacts) -> list[Finding]:
    """No play of any kind earned anything but the same."""
    if not _is_monotonous(facts) or _is_known_to_vary(facts):
        return []
    rewards, trained = facts.random.rewards, facts.training is not None
    who = (
        "at random, with constant actions and after brief training"
        if trained
        else ("at random and with constant actions")
    )
    what = f"Every episode earned {facts.random.returns[:1].sum():.6g}"
    if len(set(rewards.tolist())) == 1:
        what = f"Every reward was {rewards[0]:.6g}, and so every episode earned the same"
    return [
        Finding(
            "reward-constant",
            "problem",
            f"{what}, {who}: nothing tells a good action from a bad one.",
            "See whether the reward is computed at all; if its goal is only hard to reach, reward "
            "what leads there.",
        )
    ]


def is_sparse(facts: EnvironmentFacts) -> list[Finding]:
    """Random play hardly ever sees a difference, though there is one."""
    play = facts.random
    if len(play.rewards) < _FEWEST or not _is_known_to_vary(facts):
        return []
    if not _varies_rarely(play):
        return []
    return [
        Finding(
            "sparse-reward",
            "advice",
            f"{_sameness(play)}, though there is more to be had, {_evidence(facts)}: until a "
            "policy happens upon that, it has nothing to learn from.",
            "Reward progress towards the goal, or start some episodes near it; else explore more "
            f"(an entropy bonus, such as {option('entropy', 0.01)}) and train longer.",
        )
    ]


def _varies_rarely(play: Play) -> bool:
    if len(play.returns) < _FEW_EPISODES:
        return _are_alike(play.rewards, play.returns)
    return bool(np.mean(play.returns != _most_common(play.returns)) <= _RARE)


def _are_alike(rewards: np.ndarray, returns: np.ndarray) -> bool:
    """Whether all episodes earned the same; of few episodes all rewards must be the same, too."""
    is_enough = len(returns) >= _FEW_EPISODES or len(set(rewards.tolist())) == 1
    return is_enough and len(set(returns.tolist())) <= 1


def badly_scaled_rewards(facts: EnvironmentFacts) -> list[Finding]:
    """Rewards far from 1."""
    rewards = facts.random.rewards
    if len(rewards) < _FEWEST or not rewards.any():
        return []
    size, most = np.sqrt(np.mean(rewards**2)), np.abs(rewards).max()
    if size <= _HUGE and most >= _TINY:
        return []
    word = "huge" if size > _HUGE else "tiny"
    return [
        Finding(
            "reward-scale",
            "advice",
            f"Rewards are {word}: their root mean square is {number(size)}, the largest "
            f"{number(most)}.",
            f"Train with {option('normalize_rewards', True)}, as PPO does by itself, or scale them "
            "in the environment: learning rates suit rewards around 1.",
        )
    ]


def _is_monotonous(facts: EnvironmentFacts) -> bool:
    """Whether nothing that was played, at random or not, earned anything else than the rest."""
    rewards = np.concatenate([play.rewards for play in facts.plays])
    returns = np.concatenate([play.returns for play in facts.plays])
    if facts.training is not None and len(returns):
        trained = (facts.training.deterministic, facts.training.stochastic)
        returns = np.concatenate([returns, *trained])
    if len(rewards) < _FEWEST:
        return False
    return _are_alike(rewards, returns)


def _is_known_to_vary(facts: EnvironmentFacts) -> bool:
    """Whether more can be earned: something did, or the threshold promises it."""
    if not _is_monotonous(facts):
        return True
    returns, threshold = facts.random.returns, facts.reward_threshold
    return threshold is not None and len(returns) > 0 and threshold > returns.max()


def _evidence(facts: EnvironmentFacts) -> str:
    """How it is known that more can be earned than random play mostly does."""
    random, trained = facts.random.returns, facts.training
    if trained is not None and len(random) and trained.returns.mean() > random.max():
        return "as a briefly trained policy showed"
    usual = set(random.tolist())
    for constant in facts.constants:
        if set(constant.play.returns.tolist()) - usual:
            return f"as the constant action {constant.action} showed"
    if len(usual) > 1 or facts.reward_threshold is None:
        return "as the others showed"
    return f"since its reward threshold is {facts.reward_threshold:g}"


def _most_common(values: np.ndarray) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _sameness(play: Play) -> str:
    """What random play earned again and again, as the beginning of a sentence."""
    if not len(play.returns):
        return f"All {len(play.rewards):,} rewards of random play were {play.rewards[0]:.6g}"
    common = _most_common(play.returns)
    same, count = int((play.returns == common).sum()), len(play.returns)
    some = f"All {count:,}" if same == count else f"{same:,} of {count:,}"
    return f"{some} episodes of random play earned {common:.6g}"
