"""EnvironmentFacts as a JSON document, and an examination as text for people."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uphill.doctor.command import is_slow_python
from uphill.doctor.facts import EnvironmentFacts, Play, summary
from uphill.doctor.finding import Finding
from uphill.doctor.rules.learning import best_constant
from uphill.envs.make import ENVPOOL_IS_FASTER
from uphill.policies.images import white_of
from uphill.words import among, count, duration, number, option, wrapped

_WIDTH = 80


def document(facts: EnvironmentFacts) -> dict[str, Any]:
    """The facts in plain numbers and sentences, for JSON."""
    random, seconds = facts.random, facts.step_seconds
    return {
        "reason": facts.choice.reason,
        "examined_through": facts.through,
        "observation_space": str(facts.observation_space),
        "action_space": str(facts.action_space),
        "max_episode_steps": facts.max_episode_steps,
        "reward_threshold": facts.reward_threshold,
        "microseconds_per_step": None if seconds is None else 1e6 * seconds,
        "steps_per_second": None if seconds is None else 1 / seconds,
        "speed": speed(facts),
        "reward": _rewards(random),
        "repeats_with_seed": None if facts.repeats is None else facts.repeats.step,
        "random": summary(random.returns),
        "random_lengths": _lengths(random),
        "constant": [
            {"action": x.action, "returns": summary(x.play.returns)} for x in facts.constants
        ],
        "trained": _trained(facts),
        "no_training": facts.no_training,
        "situations_compared": 0 if facts.effects is None else facts.effects.num_situations,
        "printed_lines": len(facts.printed),
    }


def _rewards(play: Play) -> dict[str, Any] | None:
    rewards = play.rewards
    if not len(rewards):
        return None
    low, mean, high = float(rewards.min()), float(rewards.mean()), float(rewards.max())
    distinct = len(np.unique(rewards))
    return {"steps": len(rewards), "min": low, "mean": mean, "max": high, "distinct": distinct}


def _lengths(play: Play) -> dict[str, Any] | None:
    if not len(play.lengths):
        return None
    low, high = int(play.lengths.min()), int(play.lengths.max())
    return {"min": low, "mean": float(play.lengths.mean()), "max": high}


def _trained(facts: EnvironmentFacts) -> dict[str, Any] | None:
    training = facts.training
    if training is None:
        return None
    return {
        "algo": training.algo,
        "steps": training.steps,
        "seconds": training.seconds,
        "steps_per_second": training.steps_per_second,
        "deterministic": summary(training.deterministic),
        "stochastic": summary(training.stochastic),
    }


def speed(facts: EnvironmentFacts) -> str | None:
    """What a step costs, and which backend suits, as a sentence."""
    seconds, choice = facts.step_seconds, facts.choice
    if seconds is None:
        return None
    took = f"one step takes {duration(seconds)} in Python"
    if choice.backend == "compiled":
        return f"{took}; training compiles it, which is far faster."
    if choice.backend == "envpool":
        return f"{took}; training steps EnvPool's in C++, many at once."
    if is_slow_python(facts):
        return f"{took}: {option('is_async', True)} steps each environment in its own process."
    if ENVPOOL_IS_FASTER in choice.reason:
        return f"{took}; {ENVPOOL_IS_FASTER}."
    return f"{took}, which is quick enough for one process."


def text(facts: EnvironmentFacts, findings: Sequence[Finding], command: str) -> str:
    """The whole examination, as text."""
    choice = facts.choice
    lines = [wrapped(f"{choice.name}: backend {choice.backend}, since {choice.reason}.", _WIDTH)]
    lines += [_row(name, text) for name, text in _table(facts)]
    for finding in findings:
        lines += ["", f"{finding.severity.upper()}  {finding.name}"]
        lines += [_wrapped(finding.seen), _wrapped(finding.mend, "→ ")]
    lines += ["", _verdict(findings), "", f"  {command}"]
    return "\n".join(lines)


def _table(facts: EnvironmentFacts) -> list[tuple[str, str]]:
    limit = facts.max_episode_steps
    rows = [
        ("observation", _space(facts.observation_space)),
        ("action", _space(facts.action_space)),
        ("time limit", "none" if limit is None else f"{limit:,} steps"),
    ]
    if len(facts.random.rewards):
        played = _returns(facts.random.returns) + _length_words(facts.random)
        rows.append(("random play", played))
    best = best_constant(facts)
    if best is not None:
        rows.append(("constant", f"{_returns(best.play.returns)}: always action {best.action}"))
    training = facts.training
    if training is not None:
        after = f"after {training.steps:,} steps of {training.algo}"
        rows.append(("trained", f"{_returns(training.returns)}: {after}"))
    elif facts.cannot_train is None:
        rows.append(("trained", f"not at all, since {facts.no_training}"))
    if (text := speed(facts)) is not None:
        rows.append(("speed", text))
    return rows


def _space(space: gymnasium.Space) -> str:
    """A space in words, unabridged, so that no name has to be guessed."""
    match space:
        case spaces.Box():
            shape = " × ".join(map(str, space.shape)) or "1"
            kind = f"(Box of {space.dtype}){_bounds(space)}"
            if white_of(space) is not None:
                return f"image of {shape} {kind}"
            return f"{shape} {'number' if shape == '1' else 'numbers'} {kind}"
        case spaces.Discrete():
            first = "" if space.start == 0 else f" from {space.start}"
            return f"{count(int(space.n), 'choice')}{first} (Discrete)"
        case spaces.MultiDiscrete():
            sizes = among([str(n) for n in space.nvec.ravel()])
            return f"choices among {', '.join(sizes)} (MultiDiscrete)"
        case spaces.MultiBinary():
            return f"{np.prod(space.shape)} yes or no (MultiBinary)"
        case spaces.Dict():
            return "; ".join(f"{key}: {_space(part)}" for key, part in space.items()) + " (Dict)"
        case spaces.Tuple():
            return "; ".join(f"[{k}]: {_space(x)}" for k, x in enumerate(space.spaces)) + " (Tuple)"
    return str(space)


def _bounds(space: spaces.Box) -> str:
    if not space.low.size or not np.isfinite([space.low.min(), space.high.max()]).all():
        return ""
    return f", {number(float(space.low.min()))} to {number(float(space.high.max()))}"


def _returns(returns: np.ndarray) -> str:
    found = summary(returns)
    if found is None:
        return "no episode came to an end"
    mean, low, high = (number(x) for x in (found["mean"], *found["ci95"]))
    return f"return {mean} (95 %: {low} to {high}), {count(len(returns), 'episode')}"


def _length_words(play: Play) -> str:
    if not len(play.lengths):
        return f" in {len(play.rewards):,} steps"
    low, high = play.lengths.min(), play.lengths.max()
    return f" of {low:,} steps" if low == high else f" of {low:,} to {high:,} steps"


def _row(name: str, text: str) -> str:
    return wrapped(f"  {name:13} {text}", _WIDTH, 16)


def _wrapped(text: str, mark: str = "") -> str:
    return wrapped(f"  {mark}{text}", _WIDTH, 2 + len(mark))


def _verdict(findings: Sequence[Finding]) -> str:
    severities = {finding.severity for finding in findings}
    if "problem" in severities:
        return "Mend the environment first; then train with:"
    if "advice" in severities:
        return "Nothing keeps it from being trained on, but read the advice. Train with:"
    return "Nothing wrong was found. Train with:"
