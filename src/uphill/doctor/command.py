"""The suggested next command."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from uphill.doctor.facts import EnvironmentFacts
from uphill.doctor.finding import Finding, Name
from uphill.doctor.rules.learning import has_learned
from uphill.doctor.rules.observations import categories_seen
from uphill.envs.make import ASKED_FOR
from uphill.sessions.presets import preset

SLOW_STEP = 1e-3
"""Seconds per step; slower environments gain from separate processes."""
_TIME_LIMIT = 1000


def training_command(facts: EnvironmentFacts, findings: Sequence[Finding]) -> str:
    """How to train on the environment: its preset, with changes that answer the findings."""
    algo = preset(facts.choice.name).algo
    names: set[Name] = {finding.name for finding in findings}
    changes = _changes(facts, names)
    if not isinstance(facts.choice.env, str):
        return _call(facts, algo, changes, names)
    flags = [f"--algo {algo}"]
    for name, value in changes.items():
        flag = f"--{name.replace('_', '-')}"
        flags.append(flag if value is True else f"{flag} {value}")
    if _lacks_limit(names):
        flags.append(f"--max-episode-steps {_TIME_LIMIT}")
    elif facts.choice.alterations.max_episode_steps is not None:
        flags.append(f"--max-episode-steps {facts.choice.alterations.max_episode_steps}")
    if is_slow_python(facts):
        flags.append("--async-envs")
    return " ".join(["uphill train", shlex.quote(facts.choice.name), *_given(facts), *flags])


def _changes(facts: EnvironmentFacts, names: set[Name]) -> dict[str, Any]:
    """What the preset lacks, and the findings ask for."""
    algorithm, changes = preset(facts.choice.name).algorithm, {}
    if "observation-scale" in names and not algorithm.normalize_observations:
        changes["normalize_observations"] = True
    if "reward-scale" in names and not algorithm.normalize_rewards:
        changes["normalize_rewards"] = True
    if "observation-categories" in names:
        changes["observation_categories"] = 1 + max(most for _, most in categories_seen(facts))
    if "sparse-reward" in names and not algorithm.entropy.value and not has_learned(facts):
        changes["entropy"] = 0.01
    return changes


def _lacks_limit(names: set[Name]) -> bool:
    return bool(names & {"no-time-limit", "episode-never-ends"})


def _call(facts: EnvironmentFacts, algo: str, changes: dict[str, Any], names: set[Name]) -> str:
    """The same for a Python callable or a world, which no command line can name."""
    settings = ", ".join(f"{name}={value}" for name, value in changes.items())
    env = facts.choice.name + ("()" if facts.choice.backend == "compiled" else "")
    given = [env, f"uphill.{algo}({settings})"]
    if facts.choice.env_kwargs:
        given.append(f"env_kwargs={facts.choice.env_kwargs!r}")
    if facts.choice.alterations.wrappers:
        given.append(f"wrappers={[one.text for one in facts.choice.alterations.wrappers]}")
    for name in ("drop_observations", "reset_options"):
        if value := getattr(facts.choice.alterations, name):
            given.append(f"{name}={value!r}")
    if _lacks_limit(names):
        given.append(f"max_episode_steps={_TIME_LIMIT}")
    elif facts.choice.alterations.max_episode_steps is not None:
        given.append(f"max_episode_steps={facts.choice.alterations.max_episode_steps}")
    if is_slow_python(facts):
        given.append("is_async=True")
    return f"uphill.train({', '.join(given)})"


def is_slow_python(facts: EnvironmentFacts) -> bool:
    """Whether environments should rather step in separate processes."""
    seconds = facts.step_seconds
    return facts.choice.backend == "gymnasium" and seconds is not None and seconds > SLOW_STEP


def _given(facts: EnvironmentFacts) -> list[str]:
    """The arguments that the examination was given, but the time limit."""
    choice = facts.choice
    given = [f"--backend {choice.backend}"] if choice.reason == ASKED_FOR else []
    for key, value in choice.env_kwargs.items():
        text = value if isinstance(value, str) else json.dumps(value)
        given.append(f"--env.{key.replace('_', '-')} {shlex.quote(text)}")
    given += [f"--wrapper {shlex.quote(one.text)}" for one in choice.alterations.wrappers]
    given += [f"--drop-observation {shlex.quote(x)}" for x in choice.alterations.drop_observations]
    if choice.alterations.reset_options is not None:
        given.append(f"--reset-options {shlex.quote(json.dumps(choice.alterations.reset_options))}")
    return given
