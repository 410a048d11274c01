"""`python -m benchmarks.presets [ENV …]`: every preset beside its algorithm's defaults, over ten
seeds, and docs/presets.md.

Both are trained for the preset's steps. Rows are kept in presets.jsonl, next to this file, and
measured once. The command may be stopped at any time, and two may run in parallel. `--write` only
writes the page. Presets of MuJoCo's tasks are in docs/mujoco.md.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.markdown import table
from benchmarks.trainings import Kept, Row, Training, key, known
from uphill.parts.algorithms import ALGORITHMS
from uphill.sessions.mujoco_presets import TASKS
from uphill.sessions.presets import PRESETS, Preset
from uphill.theory.statistics import (
    confidence_interval,
    difference_of_iqms,
    interquartile_mean,
    mean_probability_of_improvement,
)
from uphill.words import number

KEPT = Kept(Path(__file__).with_suffix(".jsonl"))
PAGE = Path(__file__).parents[1] / "docs/presets.md"
SEEDS = tuple(range(10))

HEAD = """\
# Presets, beside the defaults

A preset is only worth keeping if it beats what an unknown environment gets. Each row trains both,
for the preset's steps, on the seeds 0 to 9, which no preset was chosen on: the interquartile mean
of the final policies' returns (20 episodes each, sampled actions) with its 95 % bootstrap interval,
the worst seed, and the probability that a seed of the preset is better than one of the defaults,
with its interval.

`python -m benchmarks.presets` measures what is missing, and writes this page; all rows are in
`benchmarks/presets.jsonl`. The presets of MuJoCo's tasks are in [mujoco.md](mujoco.md); what the
defaults reach elsewhere is in [defaults.md](defaults.md).
"""


KEPT_FOR = """\
A preset whose difference is in parentheses stays where the defaults leave seeds unsolved that it
solves (with sampled actions or the most probable ones: VPG and REINFORCE on CartPole-v1 and
Acrobot-v1, VPG on CarRace-v0, A2C on MountainCarContinuous-v0), where its worst seed is better
(REINFORCE on CarRace-v0), or where they are slower: PPO's preset for CartPole-v1 takes a third of
their time, those for the car races half of it. PPO's for Pendulum-v1 stays since all of its ten
seeds reach −172 (deterministic, 100 episodes); with the defaults the interquartile
mean is −167.5 [−175.4, −158.8], the worst seed −194.

## Presets that were dropped

Measured in the same way, these settings were no better than the defaults, which `uphill train` now
uses there, for the same number of steps:
"""
DROPPED = (
    ("CartPole-v1, A2C, 500,000", "8 × 16 steps, nothing normalised", 499.7, 485.1, 500, 500),
    (
        *("CartPole-v1, NPG, 200,000", "max-kl from 0.02 to 0.001, nothing normalised"),
        *(500, 495.8, 500, 500),
    ),
    ("CartPole-v1, TRPO, 200,000", "nothing normalised", 500, 476.6, 500, 500),
    (
        *("Acrobot-v1, PPO, 1,000,000", "16 × 128 steps, 4 epochs of 4 minibatches, from 1e-3"),
        *(-81.1, -94.0, -74.1, -79.0),
    ),
    (
        "MountainCar-v0, PPO, 1,000,000",
        "the same with 8 minibatches, λ 0.98 and an entropy bonus from 0.03",
        *(-110.7, -119.2, -100.0, -107.8),
    ),
    (
        *("CarRace-v0, A2C, 1,000,000", "16 × 32 steps instead of 16 × 16"),
        *(96.6, 96.4, 96.6, 92.4),
    ),
)


@dataclass(frozen=True)
class Pair:
    """A preset, and the defaults of its algorithm."""

    env: str
    preset: Preset

    @property
    def trainings(self) -> tuple[Training, Training]:
        algorithms = self.preset.algorithm, ALGORITHMS[self.preset.algo]()
        ours, plain = (Training(self.env, x, self.preset.steps, SEEDS) for x in algorithms)
        return ours, plain


def pairs() -> list[Pair]:
    """All presets that are not the defaults themselves; of versions that share them, the last."""
    last = {PRESETS[env]: env for env in PRESETS if env not in TASKS}
    every = [Pair(env, preset) for make, env in last.items() for preset in make().values()]
    return [pair for pair in every if len({key(x.algorithm) for x in pair.trainings}) == 2]


def line(rows: list[Row], pair: Pair) -> tuple[str, ...] | None:
    """A row of the table, if both were measured."""
    ours, plain = (known(rows, training.identity) for training in pair.trainings)
    if ours is None or plain is None:
        return None
    returns = [np.asarray(row["sampled"]) for row in (ours, plain)]
    probability, (low, high) = mean_probability_of_improvement([(returns[0], returns[1])])
    difference, ends = difference_of_iqms(*returns)
    return (
        f"{pair.env}, {pair.preset.algo}",
        f"{pair.preset.steps:,}",
        *(x for values in returns for x in (_iqm(values), number(float(values.min())))),
        number(difference) if min(ends) > 0 or max(ends) < 0 else f"({number(difference)})",
        f"{probability:.2f} ({low:.2f} to {high:.2f})",
    )


def _iqm(values: np.ndarray) -> str:
    low, high = confidence_interval(values)
    return f"{number(float(interquartile_mean(values)))} [{number(low)}, {number(high)}]"


def page(rows: list[Row]) -> str:
    """The text of docs/presets.md, as far as it is measured."""
    lines = {f"{pair.env} ({pair.preset.algo})": line(rows, pair) for pair in pairs()}
    head = ("", "steps", "preset", "worst", "defaults", "worst", "difference", "P(preset better)")
    parts = [HEAD, table(head, [x for x in lines.values() if x is not None])]
    parts += ["Differences in parentheses are not larger than their 95 % interval.\n", KEPT_FOR]
    head = ("", "settings", "preset", "worst", "defaults", "worst")
    parts += [table(head, [(*row[:2], *map(number, row[2:])) for row in DROPPED])]
    if missing := [name for name, x in lines.items() if x is None]:
        parts += [f"Not measured yet: {', '.join(missing)}."]
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    envs = {pair.env for pair in pairs()}
    unknown = [name for name in arguments if name not in envs and name != "--write"]
    if unknown:
        print(f"There is no preset of {unknown[0]!r}: use {', '.join(sorted(envs))}, or --write.")
        return 2
    for pair in pairs():
        if "--write" not in arguments and pair.env in (arguments or envs):
            for training in pair.trainings:
                KEPT.measure(training)
    PAGE.write_text(page(KEPT.rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
