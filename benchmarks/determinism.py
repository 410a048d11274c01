"""What is reproducible, and how much the rest differs: the table of docs/determinism.md.

`python -m benchmarks determinism`: each cell compares the tensors of two `uphill train`
commands, run in separate processes with a shared compile cache.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np

from uphill.parts.algorithms import ALGORITHMS
from uphill.runs.checkpoint import read_manifest, read_tensors
from uphill.runs.metrics import read_metrics

SMALL = ["--seeds", "2", "--steps", "4000", "--envs", "8", "--episodes", "10", "--quiet"]
BACKENDS = {
    "compiled world": ["--backend", "compiled"],
    "EnvPool": ["--backend", "envpool"],
    "Python": ["--backend", "gymnasium"],
    "Python, `--async-envs`": ["--backend", "gymnasium", "--async-envs"],
}
FEWER = {name: BACKENDS[name] for name in ("compiled world", "EnvPool", "Python")}
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
ONE = {"JAX_NUM_CPU_DEVICES": "1"}
TWO = {"JAX_NUM_CPU_DEVICES": "2"}
QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"}
ANEW = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
OTHERS = {
    "each compiled anew": (ANEW, ANEW, ""),
    "1 device and 2": (ONE, TWO, ""),
    "1 device and 2, by XLA_FLAGS": (ONE, TWO_DEVICES, ""),
    "`--threads 1` and `--threads 2`": ({}, {}, "--threads"),
    "a quick compilation and an optimised one": (QUICK, {}, ""),
}


def determinism() -> None:
    """Two commands in turn: whether their tensors are byte-identical, else how far apart."""
    with tempfile.TemporaryDirectory() as folder:
        runs = (Path(folder, f"run{k}") for k in count())
        _head("the same command twice", BACKENDS)
        for algo in ALGORITHMS:
            pairs = [[["--algo", algo, *flags]] * 2 for flags in BACKENDS.values()]
            _row(algo, [_compared(*(_trained(next(runs), x) for x in pair)) for pair in pairs])
        _head("ppo", FEWER)
        for name, (*environments, flag) in OTHERS.items():
            cells = []
            for flags in FEWER.values():
                own = [["--algo", "ppo", *flags, *([flag, str(k)] if flag else [])] for k in (1, 2)]
                pair = zip(own, environments, strict=True)
                cells.append(_compared(*(_trained(next(runs), *x) for x in pair)))
            _row(name, cells)


def _head(first: str, columns: Iterable[str]) -> None:
    _row(first, columns)
    print("|---" * (1 + len(list(columns))) + "|")


def _row(name: str, cells: Iterable[str]) -> None:
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _trained(out: Path, flags: list[str], environment: dict[str, str] | None = None) -> Path:
    """Trains a run with the command, in a separate process."""
    command = [sys.executable, "-m", "uphill.cli", "train", "CartPole-v1", *SMALL, *flags]
    made = subprocess.run(
        [*command, "--out", str(out)],
        env=os.environ
        | {"JAX_COMPILATION_CACHE_DIR": str(out.parent / "cache")}
        | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(made.stderr)
    return out


def _compared(first: Path, second: Path) -> str:
    """`same`, or how far apart the networks' weights and the final training returns are."""
    tensors = []
    for run in (first, second):
        manifest = read_manifest(run, "latest")
        tensors.append(read_tensors(run, manifest))
    one, other = tensors
    if one.keys() == other.keys() and all(
        x.dtype == other[name].dtype and x.tobytes() == other[name].tobytes()
        for name, x in one.items()
    ):
        return "same"
    networks = [name for name in one if name.startswith("learners.actor.policy.")]
    distance = sum(float(np.square(one[x] - other[x]).sum()) for x in networks) ** 0.5
    length = sum(float(np.square(one[x]).sum()) for x in networks) ** 0.5
    returns = [read_metrics(run)["rollout/episode_return"] for run in (first, second)]
    return f"{distance / length:.0e}; {_last(returns[0])} and {_last(returns[1])}"


def _last(returns: np.ndarray) -> str:
    """The mean of the last rows in which an episode ended."""
    return f"{returns[np.isfinite(returns)][-10:].mean():.0f}"
