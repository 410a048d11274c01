"""Runs small enough for tests: tiny networks on CartPole, a few updates."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

import uphill
from plain import trpo
from uphill.parts import Adam, Algorithm, ClippedRatio, Episodes, Steps, ValueFunction
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.runs.checkpoint import read_manifest, read_tensors
from uphill.runs.experiment import Experiment, write_experiment
from uphill.runs.metrics import MetricsFile
from uphill.runs.saved import write_evaluation
from uphill.training.evaluate import evaluation_of

NETWORK = NetworkSettings(hidden=(8,))
POLICY = PolicySettings(hidden=(8,))


def small_ppo(**changes: Any) -> Algorithm:
    """32 transitions an update; every number that can be scheduled is."""
    parts: dict[str, Any] = {
        "sampling": Steps(num_envs=4, num_steps=8),
        "baseline": ValueFunction(network=NETWORK),
        "surrogate": ClippedRatio(epsilon="linear:0.2:0.05"),
        "optimizer": Adam(learning_rate="linear:1e-2:0"),
        "policy": POLICY,
        "entropy": "linear:1e-2:0",
        "num_epochs": 2,
        "num_minibatches": 2,
        "normalize_observations": True,
        "normalize_rewards": False,
    }
    return uphill.ppo(**parts | changes)


def small_vpg(**changes: Any) -> Algorithm:
    """Four whole episodes an update; the value function has an optimiser of its own."""
    parts: dict[str, Any] = {
        "sampling": Episodes(num_envs=4, per_env=1),
        "baseline": ValueFunction(network=NETWORK, optimizer=Adam("linear:1e-2:0"), num_steps=2),
        "optimizer": Adam("linear:1e-2:0"),
        "policy": POLICY,
    }
    return uphill.vpg(**parts | changes)


def small_trpo(**changes: Any) -> Algorithm:
    """32 transitions an update, and one natural step."""
    parts: dict[str, Any] = {
        "sampling": Steps(num_envs=4, num_steps=8),
        "baseline": ValueFunction(network=NETWORK, optimizer=Adam("cosine:1e-2:0"), num_steps=2),
        "policy": POLICY,
    }
    return trpo(**parts | changes)


def train_small(out: Path, algorithm: Algorithm | None = None, **keywords: Any) -> uphill.Run:
    defaults: dict[str, Any] = {"steps": 300, "episodes": 4, "quiet": True}
    env = keywords.pop("env", "CartPole-v1")
    return uphill.train(env, algorithm or small_ppo(), out=out, **defaults | keywords)


def write_run(
    folder: Path,
    curves: list[list[Any]],
    *,
    scores: list[float] | None = None,
    **experiment: Any,
) -> uphill.Run:
    """A run directory that nothing trained: each seed's returns, at a hundred steps and half a
    second from each other; and each seed's final score."""
    folder.mkdir(parents=True)
    seeds = len(curves)
    defaults: dict[str, Any] = {"env": "CartPole-v1", "algo": "ppo", "seed": 0, "steps": 1000}
    defaults |= {"is_callable": False, "env_kwargs": {}, "backend": "compiled", "is_async": False}
    settings = defaults | {"algorithm": small_ppo(), "seeds": seeds} | experiment
    write_experiment(folder, Experiment(**settings))
    file = MetricsFile(folder)
    for t, values in enumerate(zip(*curves, strict=True), start=1):
        shared = {"steps": 100 * t, "time/seconds": 0.5 * t, "rollout/num_episodes": t}
        returns = [{"seed": s, "rollout/episode_return": x} for s, x in enumerate(values)]
        file.append([row | shared for row in returns])
    if scores is not None:
        write_evaluation(folder, evaluation_of(np.tile(np.array(scores)[None, :, None], (2, 1, 4))))
    return uphill.Run(folder)


def rows_of(run: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv` as texts, without the columns that a clock wrote."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def numbers_of(row: dict[str, str]) -> dict[str, float]:
    """A row as numbers: NaN where a cell is empty."""
    return {name: float(cell) if cell else np.nan for name, cell in row.items()}


def contents_of(run: Path) -> dict[str, Any]:
    """All that a run directory holds, by the names of its files: their bytes, without what a clock
    wrote."""
    files = (path for path in run.rglob("*") if path.is_file())
    return {str(path.relative_to(run)): _timeless(path) for path in files}


def _timeless(path: Path) -> Any:
    if path.name == "metrics.csv":
        return rows_of(path.parent)
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_text()))
    return path.read_bytes()


def _without_times(document: Any) -> Any:
    # metrics.csv is as long as the times in it.
    times = {"seconds", "compile_seconds", "best_seconds", "metrics_offset"}
    if isinstance(document, dict):
        return {k: _without_times(v) for k, v in document.items() if k not in times}
    return [_without_times(x) for x in document] if isinstance(document, list) else document


def tensors_of(run: Path, name: str = "latest") -> dict[str, np.ndarray]:
    """The tensors of a checkpoint."""
    return read_tensors(run, read_manifest(run, name))
