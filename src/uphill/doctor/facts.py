"""What the probes observed: plain data, from which findings are derived."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Int

from uphill.doctor.finding import Name
from uphill.envs.make import EnvironmentChoice

_RESAMPLES = 1000


@dataclass(frozen=True)
class Failure:
    """Why the environment could not be played on."""

    finding: Name
    seen: str


class Broken(Exception):
    """The environment can't be played on."""

    def __init__(self, finding: Name, seen: str) -> None:
        super().__init__(seen)
        self.failure = Failure(finding, seen)


@dataclass(frozen=True)
class Complaint:
    """Something wrong in what a step returned, which does not keep one from playing on."""

    count: int
    example: str
    """the first time, as a clause: "it was 3.2 at step 5" """


@dataclass(frozen=True)
class Transitions:
    """Steps of which all is known: the rows of `Play.rows` before and after each, and more."""

    before: Int[np.ndarray, " steps"]
    after: Int[np.ndarray, " steps"]
    actions: Float[np.ndarray, "steps A"]
    rewards: Float[np.ndarray, " steps"]
    episodes: Int[np.ndarray, " steps"]
    """the number of the episode that it is of"""


@dataclass(frozen=True)
class Play:
    """What was seen while a policy acted: of whole episodes their returns, lengths and ends."""

    rows: Float[np.ndarray, "rows D"]
    """observations as numbers: the first ones, as many as fit in memory"""
    rewards: Float[np.ndarray, " steps"]
    returns: Float[np.ndarray, " episodes"]
    lengths: Int[np.ndarray, " episodes"]
    terminated: Bool[np.ndarray, " episodes"]
    truncated: Bool[np.ndarray, " episodes"]
    unfinished: int
    """steps of the episode that was not played to its end"""
    seconds: float
    """spent in the environment's own `step`"""
    transitions: Transitions
    overwritten: int = 0
    """observations that were written over by the step after them"""
    complaints: dict[Name, Complaint] = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True)
class ConstantPlay:
    """Play with the same action at every step."""

    action: str
    play: Play


@dataclass(frozen=True)
class Repeats:
    """Whether the same seed, and the same actions, give the same again."""

    reset: bool
    step: bool


@dataclass(frozen=True)
class Effects:
    """What actions change, in situations that are alike but for the action."""

    num_situations: int
    alike: tuple[tuple[str, ...], ...] = ()
    """actions with the same effect in every situation, in groups"""
    idle: tuple[str, ...] = ()
    """components of the action that changed nothing in any situation"""
    is_all: bool = False
    """whether no action changed anything"""


@dataclass(frozen=True)
class CheckerMessage:
    """What Gymnasium's own checker says."""

    text: str
    is_error: bool


@dataclass(frozen=True)
class Training:
    """A brief training, and what the policy earns after it."""

    algo: str
    steps: int
    seconds: float
    steps_per_second: float
    deterministic: Float[np.ndarray, " episodes"]
    stochastic: Float[np.ndarray, " episodes"]

    @property
    def returns(self) -> Float[np.ndarray, " episodes"]:
        """The better half: the most probable action may be bad before a policy is sure."""
        is_sure = self.deterministic.mean() >= self.stochastic.mean()
        return self.deterministic if is_sure else self.stochastic


@dataclass(frozen=True)
class EnvironmentFacts:
    """All that is known of an environment. What was not probed is None."""

    choice: EnvironmentChoice
    through: str
    """what it was examined through: an ID of Gymnasium's, a callable, or EnvPool"""
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    max_episode_steps: int | None
    reward_threshold: float | None
    is_old: bool
    random: Play
    constants: tuple[ConstantPlay, ...] = ()
    repeats: Repeats | None = None
    effects: Effects | None = None
    broken: Failure | None = None
    """what ended the search for repeats and effects"""
    checker: tuple[CheckerMessage, ...] = ()
    training: Training | None = None
    no_training: str | None = None
    """why there was no training, as a sentence"""
    cannot_train: str | None = None
    """what training itself complained of"""
    printed: tuple[str, ...] = ()
    """lines that the environment printed while it was stepped at random"""

    @property
    def plays(self) -> tuple[Play, ...]:
        """Random play and all plays with constant actions."""
        return (self.random, *(constant.play for constant in self.constants))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Why it could not be played on, each kind once."""
        found = [*(play.failure for play in self.plays), self.broken]
        return tuple({x.finding: x for x in reversed(found) if x is not None}.values())[::-1]

    @property
    def step_seconds(self) -> float | None:
        """Mean time of one step in Python; None if none was taken."""
        steps = len(self.random.rewards)
        return self.random.seconds / steps if steps else None


def summary(returns: np.ndarray) -> dict[str, Any] | None:
    """The mean of episodes' returns and its 95 % bootstrap interval, or None for none."""
    count = len(returns)
    if not count:
        return None
    picks = np.random.default_rng(0).integers(count, size=(_RESAMPLES, count))
    low, high = np.percentile(returns[picks].mean(1), [2.5, 97.5])
    mean, std = float(returns.mean()), float(returns.std())
    return {"episodes": count, "mean": mean, "std": std, "ci95": [float(low), float(high)]}
