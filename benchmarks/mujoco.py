"""`python -m benchmarks.mujoco [TASK/ALGO …]`: the table of docs/mujoco.md, row by row.

Each row is a command `uphill train` with the presets of uphill/sessions/mujoco_presets.py. Results
are kept in mujoco.json, next to this file. A row that is there with today's settings is not
measured again, and an interrupted one continues from its checkpoint in runs/mujoco. The command may
be stopped at any time. After each row, docs/mujoco.md is rewritten (`--write` does only that).
"""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mujoco_page import page
from uphill.parts.algorithms import ALGORITHMS
from uphill.run import load
from uphill.runs.configuration import encode, flags
from uphill.sessions.mujoco_presets import TASKS
from uphill.sessions.presets import Preset, preset
from uphill.training.cores import usable_cores

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = Path(__file__).with_suffix(".json"), ROOT / "docs/mujoco.md"
FEW_SEEDS = ("Ant-v5", "Humanoid-v5")
"""Tasks with five seeds instead of ten: their steps take several times as long."""


@dataclass(frozen=True)
class Row:
    """One training: a task, an algorithm, and the seeds."""

    env: str
    algo: str

    @property
    def name(self) -> str:
        return f"{self.env}/{self.algo}"

    @property
    def seeds(self) -> int:
        return 5 if self.env in FEW_SEEDS else 10

    @property
    def arguments(self) -> list[str]:
        return ["train", self.env, "--algo", self.algo, "--seeds", str(self.seeds)]

    @property
    def preset(self) -> Preset:
        return preset(self.env, self.algo)

    @property
    def settings(self) -> str:
        """What the preset changes in the algorithm, as flags."""
        return " ".join(flags(ALGORITHMS[self.algo](), self.preset.algorithm))

    def is_in(self, results: dict[str, dict[str, Any]]) -> bool:
        """Whether it was measured with today's settings."""
        found = results.get(self.name, {})
        return (found.get("settings"), found.get("steps")) == (self.settings, self.preset.steps)


def rows() -> list[Row]:
    """PPO's first; then the other algorithms on three tasks; then the rest."""
    first = [Row(env, "ppo") for env in TASKS]
    others = ("trpo", "npg", "a2c", "reinforce")
    three = [Row(env, algo) for algo in others for env in TASKS[:3]]
    return [*first, *three, *(Row(env, algo) for env in TASKS[3:] for algo in others)]


def measured(row: Row, folder: Path) -> dict[str, Any]:
    """Starts or continues the row's training, and returns its results.

    Raises:
        subprocess.CalledProcessError: if the command failed or was interrupted.
    """
    program = [sys.executable, "-m", "uphill.cli"]
    if folder.exists() and not (folder / "checkpoint").exists():
        shutil.rmtree(folder)  # stopped before its first checkpoint
    if not folder.exists():
        subprocess.run([*program, *row.arguments, "--out", str(folder)], check=True)
    run = load(folder)
    if encode(run.experiment.algorithm) != encode(row.preset.algorithm):
        sys.exit(f"{folder} holds a run with other settings: remove it, and start again.")
    if min(run.summary()["steps"]) < row.preset.steps:
        subprocess.run([*program, "resume", str(folder)], check=True)
        run = load(folder)
    evaluation = run.evaluation or run.evaluate()
    summary = run.summary()
    return {
        "settings": row.settings,
        "steps": row.preset.steps,
        "seeds": row.seeds,
        "seconds": round(summary["seconds"]),
        **{kind: rounded(evaluation[kind]) for kind in ("stochastic", "deterministic")},
        "date": time.strftime("%Y-%m-%d"),
        "cores": usable_cores(),
        "platform": run.experiment.platform,
        "versions": run.experiment.versions,
    }


def rounded(numbers: Any) -> Any:
    if isinstance(numbers, dict):
        return {name: rounded(x) for name, x in numbers.items()}
    if isinstance(numbers, list | tuple):
        return [rounded(x) for x in numbers]
    return round(float(numbers), 2)


def kept() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(results: dict[str, dict[str, Any]]) -> None:
    order = {row.name: row for row in rows()}
    text = json.dumps({name: results[name] for name in order if name in results}, indent=1)
    RESULTS.write_text(text + "\n")
    PAGE.write_text(page(list(order.values()), results))


def main(arguments: list[str]) -> int:
    known = {row.name: row for row in rows()}
    unknown = [name for name in arguments if name not in known and name != "--write"]
    if unknown:
        print(f"There is no row {unknown[0]!r}: use {', '.join(known)}, or --write.")
        return 2
    keep(kept())
    if "--write" in arguments:
        return 0
    for name in arguments or known:
        row = known[name]
        if row.is_in(kept()):
            continue
        print(f"--- {name}: uphill {' '.join(row.arguments)}", flush=True)
        folder = ROOT / "runs/mujoco" / name.replace("/", "-")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = measured(row, folder)
        except (KeyboardInterrupt, subprocess.CalledProcessError) as error:
            print(f"Stopped at {name} ({error or 'interrupted'}); the same command continues.")
            return 1
        keep(kept() | {name: found})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
