"""Trainings that are measured once: rows of a file, identified by what was trained."""

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uphill
from uphill.parts import Algorithm
from uphill.runs.configuration import encode

Row = dict[str, Any]
EPISODES = 20
"""In which each seed's final policy is evaluated."""


@dataclass(frozen=True)
class Training:
    """An algorithm in an environment, for some steps, over some seeds."""

    env: str
    algorithm: Algorithm
    steps: int
    seeds: tuple[int, ...]

    @property
    def identity(self) -> Row:
        return {
            "env": self.env,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "settings": key(self.algorithm),
        }

    def measured(self) -> Row:
        """The returns of the final policies, and the seconds that all of it took."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run = uphill.train(
                self.env,
                self.algorithm,
                seed=self.seeds[0],
                seeds=len(self.seeds),
                steps=self.steps,
                out=f"{folder}/run",
                quiet=True,
                episodes=EPISODES,
                checkpoint_every=1e6,
            )
            evaluation = run.evaluation
        assert evaluation is not None
        sampled, sure = (evaluation[x]["per_seed"] for x in ("stochastic", "deterministic"))
        return {
            **self.identity,
            "algo": self.algorithm.name,
            "sampled": [round(x, 4) for x in sampled],
            "deterministic": [round(x, 4) for x in sure],
            "seconds": round(time.monotonic() - began, 1),
        }


@dataclass(frozen=True)
class Kept:
    """A file with a row for each training. Several processes may add rows."""

    path: Path

    def rows(self) -> list[Row]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def keep(self, row: Row) -> None:
        with self.path.open("a") as file:  # one write
            file.write(json.dumps(row) + "\n")

    def measure(self, training: Training) -> None:
        """Measure a training, unless it is there."""
        if known(self.rows(), training.identity) is None:
            numbers = f"seeds {training.seeds[0]} to {training.seeds[-1]}"
            print(f"{training.env}, {training.algorithm.name}, {numbers}", flush=True)
            self.keep(training.measured())


def known(rows: list[Row], identity: Row) -> Row | None:
    """The row of a training, if it was measured."""
    return next((row for row in rows if all(row[k] == x for k, x in identity.items())), None)


def key(algorithm: Algorithm) -> str:
    """A hash of the settings: the same for the same settings, whatever their name, and whether a
    network's settings are given or inherited from the policy's."""
    document = encode(algorithm)
    for part in (document["baseline"], document["estimator"]):
        for name, value in part.get("network", {}).items():
            if value is None and name != "convolution":
                part["network"][name] = document["policy"][name]
    if document["optimizer"].get("max_step_size", 0) is None:
        del document["optimizer"]["max_step_size"]
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
