"""Playing: a fixed policy acts, and the environment's responses are recorded."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Any

import gymnasium
import numpy as np

from uphill.doctor.facts import Broken, Complaint, Failure, Play, Transitions
from uphill.doctor.finding import Name
from uphill.doctor.numbers import complaint, flatten, number_names
from uphill.doctor.watch import TookTooLong, Watch
from uphill.envs.backends.checks import described, is_true, number
from uphill.envs.leaves import leaves
from uphill.errors import UphillError

_RAISES: dict[str, Name] = {"reset": "reset-raises", "step": "step-raises"}
_NONE = np.zeros(0)
_MOST_NUMBERS = 2_000_000
"""Numbers of observations that are kept."""


@dataclass(frozen=True)
class Limits:
    """When to stop: whichever comes first."""

    episodes: int
    steps: int
    seconds: float


def nothing() -> Play:
    """What is seen of an environment that is not played."""
    none, never, whole = np.zeros(0), np.zeros(0, bool), np.zeros(0, int)
    no_steps = Transitions(whole, whole, np.zeros((0, 0)), none, whole)
    return Play(np.zeros((0, 0)), none, none, whole, never, never, 0, 0.0, no_steps)


class Answering(gymnasium.Wrapper):
    """The innermost wrapper: of those around it, some would stumble over a wrong answer."""

    def reset(self, **keywords: Any) -> tuple[Any, dict]:
        result = self.env.reset(**keywords)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Broken(
                "wrong-return",
                f"reset returned {described(result)}, but it should be (observation, info).",
            )
        return result

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        result = self.env.step(action)
        if not isinstance(result, tuple) or len(result) != 5:
            raise Broken(
                "wrong-return",
                f"step returned {described(result)}, but it should be "
                "(observation, reward, terminated, truncated, info).",
            )
        return result


@dataclass(frozen=True)
class Guarded:
    """An environment whose calls return what they should, or raise `Broken`."""

    env: gymnasium.Env
    watch: Watch

    def reset(self, seed: int | None = None) -> Any:
        """The first observation."""
        return self._call("reset", lambda: self.env.reset(seed=seed))[0]

    def step(self, action: Any) -> tuple[Any, float, bool, bool]:
        """Observation, reward, terminated, truncated."""
        answer = self._call("step", lambda: self.env.step(action))
        observation, reward, terminated, truncated, _ = answer
        with _as_broken("reward-not-a-number"):
            gained = float(number(reward))
        with _as_broken("wrong-return"):
            ended = is_true("terminated", terminated), is_true("truncated", truncated)
        return observation, gained, *ended

    def _call(self, what: str, function: Callable[[], Any]) -> Any:
        try:
            return self.watch.call(function)
        except TookTooLong:
            seconds = self.watch.seconds
            raise Broken("hangs", f"{what} did not return within {seconds:g} s.") from None
        except Broken:
            raise
        except (Exception, SystemExit) as error:
            raise Broken(_RAISES[what], f"{what} raised {describe_error(error)}.") from error


@contextmanager
def _as_broken(finding: Name) -> Iterator[None]:
    """What training would refuse is a finding."""
    try:
        yield
    except UphillError as error:
        raise Broken(finding, f"step {error}") from error


def describe_error(error: BaseException) -> str:
    """The exception, and the line that it came from: of the user's own code, if any was in it."""
    text = " ".join(str(error).split())
    shown = f"{type(error).__name__}: {text:.160}" if text else type(error).__name__
    frames = [frame for frame in extract_tb(error.__traceback__) if not _is_here(frame)]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    if own:
        shown += f" ({Path(own[-1].filename).name}, line {own[-1].lineno})"
    return shown


def _is_here(frame: FrameSummary) -> bool:
    return Path(frame.filename).parent == Path(__file__).parent


def play_guarded(env: Guarded, act: Callable[[], Any], limits: Limits, seed: int) -> Play:
    """Play episodes, the first of them from a seed, with the actions that `act` gives."""
    notes = _Notes(env.env)
    deadline = time.monotonic() + limits.seconds
    failure = None
    try:
        while not notes.is_enough(limits) and time.monotonic() < deadline:
            notes.start(env.reset(seed if notes.is_first else None))
            _episode(env, act, notes, limits, deadline)
    except Broken as broken:
        when = notes.when()
        failure = replace(broken.failure, seen=f"{when[0].upper()}{when[1:]}, {broken}")
    return notes.play(failure)


def _episode(
    env: Guarded, act: Callable[[], Any], notes: "_Notes", limits: Limits, deadline: float
) -> None:
    is_over = False
    while not is_over and not notes.is_enough(limits):
        action = act()
        notes.begin_step(action)
        started = time.perf_counter()
        answer = env.step(action)
        now = time.perf_counter()
        is_over = notes.take(*answer, now - started)
        if time.monotonic() > deadline:
            return


class _Notes:
    """What was seen up to now."""

    def __init__(self, env: gymnasium.Env) -> None:
        self._space, self._action_space = env.observation_space, env.action_space
        self._size = len(number_names(self._space))
        # Texts and the like have no numbers: what depends on them is not looked for.
        has_numbers = all(space.shape is not None for _, _, space in leaves(self._action_space, ""))
        self._num_actions = len(number_names(self._action_space)) if has_numbers else 0
        self._action = _NONE
        self._most_rows = max(50, _MOST_NUMBERS // max(1, self._size))
        self._rows: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._episodes: list[tuple[float, int, bool, bool]] = []
        self._steps: list[tuple[int, int, int, float]] = []
        self._actions: list[np.ndarray] = []
        self._seen: tuple[Any, np.ndarray] | None = None
        self._row, self._overwritten = -1, 0
        self._complaints: dict[Name, Complaint] = {}
        self._return, self._length, self._seconds = 0.0, 0, 0.0
        self.is_first = True

    def is_enough(self, limits: Limits) -> bool:
        steps = len(self._rewards)
        return len(self._episodes) >= limits.episodes or steps >= limits.steps

    def start(self, observation: Any) -> None:
        """An episode has begun."""
        self._return, self._length, self.is_first = 0.0, 0, False
        self._row = self._look(observation)

    def begin_step(self, action: Any) -> None:
        """A step is about to be taken."""
        self._length += 1
        # A copy: the environment may write into what it is given.
        self._action = flatten(self._action_space, action).copy() if self._num_actions else _NONE

    def take(
        self, observation: Any, reward: float, terminated: bool, truncated: bool, seconds: float
    ) -> bool:
        """A step was taken; whether the episode is over."""
        self._seconds += seconds
        before, self._row = self._row, self._look(observation)
        if min(before, self._row) >= 0 and np.isfinite(reward):
            self._steps.append((before, self._row, len(self._episodes), reward))
            self._actions.append(self._action)
        if np.isfinite(reward):
            self._rewards.append(reward)
            self._return += reward
        else:
            self._complain("reward-not-finite", f"the reward was {reward}")
            self._rewards.append(0.0)
        is_over = terminated or truncated
        if is_over:
            self._episodes.append((self._return, self._length, terminated, truncated))
            self._length = 0
        return is_over

    def _look(self, observation: Any) -> int:
        """Note an observation; the number of its row, or −1 where none is kept."""
        found = complaint(self._space, observation)
        if found is not None:
            self._complain(*found)
        if len(self._rows) >= self._most_rows:
            return -1
        if self._seen is not None:
            old, then = self._seen
            now = flatten(self._space, old)
            self._overwritten += not np.array_equal(now, then, equal_nan=True)
        row = flatten(self._space, observation).copy()
        self._seen = observation, row
        if not np.isfinite(row).all():
            return -1
        self._rows.append(row)
        return len(self._rows) - 1

    def _complain(self, name: Name, clause: str) -> None:
        old = self._complaints.get(name)
        count, example = (old.count, old.example) if old else (0, f"{clause} {self.when()}")
        self._complaints[name] = Complaint(count + 1, example)

    def when(self) -> str:
        """The step that is being taken, as words."""
        where = f"step {self._length}" if self._length else "the reset"
        return f"at {where} of episode {len(self._episodes) + 1}"

    def play(self, failure: Failure | None) -> Play:
        columns = zip(*self._episodes, strict=True) if self._episodes else ((),) * 4
        returns, lengths, terminated, truncated = columns
        return Play(
            np.array(self._rows).reshape(len(self._rows), self._size),
            np.array(self._rewards),
            np.array(returns, float),
            np.array(lengths, int),
            np.array(terminated, bool),
            np.array(truncated, bool),
            self._length,
            self._seconds,
            self._transitions(),
            self._overwritten,
            self._complaints,
            failure,
        )

    def _transitions(self) -> Transitions:
        columns = zip(*self._steps, strict=True) if self._steps else ((),) * 4
        before, after, episodes, rewards = columns
        actions = np.array(self._actions, float).reshape(len(self._actions), self._num_actions)
        return Transitions(
            np.array(before, int),
            np.array(after, int),
            actions,
            np.array(rewards, float),
            np.array(episodes, int),
        )
