"""Runs for the tests of what is made of runs: trained once, then copied and changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

import uphill
from small_runs import small_ppo, train_small
from uphill.runs.experiment import Experiment, make_experiment


def an_experiment(**changes: Any) -> Experiment:
    """What training CartPole is, as experiment.json says it."""
    settings = {"env": "CartPole-v1", "is_callable": False, "env_kwargs": {}, "seed": 0, "seeds": 1}
    settings |= {"backend": "compiled", "is_async": False, "steps": 2000}
    return make_experiment(**settings | {"algo": "ppo", "algorithm": small_ppo()} | changes)


def train_pair(folder: Path) -> tuple[Path, Path]:
    """A run of CartPole with two seeds and two milestones each, and one that looks as if it had
    trained for a shorter time and came half as far."""
    first = train_small(folder / "first", steps=2000, seeds=2, episodes=100).path
    second = copied(first, folder / "second", steps=600)
    evaluation = json.loads((second / "evaluation.json").read_text())
    for kind in ("deterministic", "stochastic"):
        halved = {name: np.multiply(x, 0.5).tolist() for name, x in evaluation[kind].items()}
        evaluation[kind] = halved
    (second / "evaluation.json").write_text(json.dumps(evaluation))
    return first, second


def copied(run: Path, to: Path, *without: str, **changes: Any) -> Path:
    """A copy of a run, made now: without some of its files, and with other fields in
    experiment.json."""
    shutil.copytree(run, to, copy_function=shutil.copy)
    for name in without:
        (to / name).unlink()
    path = to / "experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return to


def hostile(run: Path, to: Path) -> Path:
    """A copy whose names would be markup, script and style, if they were not text."""
    name = "</title><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
    settings = "</script></style>'\"&<b>{{ 7 * 7 }}"
    return copied(
        run, to, env=name, is_callable=True, settings=settings, command=name, platform=settings
    )


def load(path: Path) -> uphill.Run:
    return uphill.load(path)
