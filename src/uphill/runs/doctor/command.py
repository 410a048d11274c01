"""The command to go on with."""

import json
import shlex
from collections.abc import Sequence

from uphill.runs.doctor.facts import Facts
from uphill.runs.doctor.finding import Finding, Name
from uphill.runs.doctor.rules.learning import has_learned
from uphill.runs.presets import preset

SLOW_STEP = 1e-3
"""Seconds; slower environments gain from processes of their own."""
_TIME_LIMIT = 1000


def command(facts: Facts, findings: Sequence[Finding]) -> str:
    """How to train on the environment: its preset, and flags that answer the findings."""
    chosen = preset(facts.choice.name)
    algorithm = chosen.algorithm
    names: set[Name] = {finding.name for finding in findings}
    flags = [f"--algo {chosen.algo}"]
    if "observation-scale" in names and not algorithm.normalize_observations:
        flags.append("--normalize-observations")
    if "reward-scale" in names and not algorithm.normalize_rewards:
        flags.append("--normalize-rewards")
    if "sparse-reward" in names and not algorithm.entropy.value and not has_learned(facts):
        flags.append("--entropy 0.01")
    if names & {"no-time-limit", "episode-never-ends"}:
        flags.append(f"--env.max-episode-steps {_TIME_LIMIT}")
    if is_slow_python(facts):
        flags.append("--async-envs")
    if not isinstance(facts.choice.env, str):
        return _call(facts, chosen.algo, names)
    return " ".join(["uphill train", shlex.quote(facts.choice.name), *_given(facts), *flags])


def _call(facts: Facts, algo: str, names: set[Name]) -> str:
    """The same for a Python callable or a world, which no command line can name."""
    changes = ["normalize_observations=True"]
    if "reward-scale" in names:
        changes.append("normalize_rewards=True")
    if "sparse-reward" in names and not has_learned(facts):
        changes.append("entropy=0.01")
    env = facts.choice.name + ("()" if facts.choice.backend == "compiled" else "")
    given = [env, f"uphill.{algo}({', '.join(changes)})"]
    if facts.choice.env_kwargs:
        given.append(f"env_kwargs={facts.choice.env_kwargs!r}")
    if is_slow_python(facts):
        given.append("is_async=True")
    return f"uphill.train({', '.join(given)})"


def is_slow_python(facts: Facts) -> bool:
    """Whether environments had better step in processes of their own."""
    seconds = facts.step_seconds
    return facts.choice.backend == "gymnasium" and seconds is not None and seconds > SLOW_STEP


def _given(facts: Facts) -> list[str]:
    """The arguments that the examination was given."""
    choice = facts.choice
    given = [f"--backend {choice.backend}"] if choice.reason == "you asked for it" else []
    for key, value in choice.env_kwargs.items():
        text = value if isinstance(value, str) else json.dumps(value)
        given.append(f"--env.{key.replace('_', '-')} {shlex.quote(text)}")
    return given
