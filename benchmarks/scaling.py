"""How steps per second and memory grow with environments, seeds, width and horizon; on processors
(`scaling`, with a picture beside this file) and on a GPU (`gpu`)."""

from pathlib import Path

import jax
import matplotlib.pyplot as plt

from benchmarks.compositions import plain_ppo
from benchmarks.markdown import table
from benchmarks.training_process import Report, TrainingProcess
from uphill.parts import Algorithm, PolicySettings, Steps

PICTURE = Path(__file__).with_name("scaling.png")
ENV = "CartPole-v1"


def _ppo(envs: int = 8, steps: int = 128, width: int = 64) -> Algorithm:
    policy = PolicySettings(hidden=(width, width))
    return plain_ppo(sampling=Steps(envs, steps), policy=policy)


AXES = {
    "environments": {n: (_ppo(envs=n), 1) for n in (1, 4, 16, 64, 256, 1024, 4096)},
    "seeds": {n: (_ppo(), n) for n in (1, 2, 4, 8, 16, 32, 64, 128)},
    "width of both hidden layers": {
        n: (_ppo(64, width=n), 1) for n in (32, 64, 128, 256, 512, 1024)
    },
    "steps of a window": {n: (_ppo(steps=n), 1) for n in (8, 32, 128, 512, 2048)},
}
"""By what grows: the value → PPO's composition, and the number of seeds."""


def scaling(seconds: float = 3.0) -> None:
    """Steps per second and memory of PPO on CartPole-v1, one value at a time from 8 × 128."""
    found = {}
    for axis, points in AXES.items():
        found[axis] = {value: _measured(*point, seconds) for value, point in points.items()}
        print(table((axis, *map(str, points)), _rows(found[axis])), flush=True)
    _draw(found)
    print(f"picture: {PICTURE}")


def gpu(seconds: float = 10.0, num_envs: int = 2048) -> None:
    """PPO with 2,048 environments a seed, 1 to 1,024 seeds at once, on a GPU; some five minutes."""
    seeds = (1, 4, 16, 64, 256, 1024)
    found = {}
    for n in seeds:  # this process leaves the GPU's memory to the one that trains
        found[n] = _measured(_ppo(num_envs, 32), n, seconds)
        if found[n].platform == "cpu":
            print("JAX finds no GPU here: pip install 'jax[cuda13]' on a machine that has one.")
            return
    print(f"{found[1].kind}, jax {jax.__version__}, {num_envs:,} environments × 32 steps\n")
    print(table(("seeds", *map(str, seeds)), _rows(found)))


def _measured(algorithm: Algorithm, seeds: int, seconds: float) -> Report:
    training = TrainingProcess(ENV, algorithm, seeds)
    report = training.report(seconds)
    training.close()
    return report


def _rows(reports: dict[int, Report]) -> list[tuple[str, ...]]:
    every = reports.values()
    return [
        ("thousand steps/s", *(f"{x.rate / 1e3:,.0f}" for x in every)),
        ("MiB", *(f"{x.mebibytes:,.0f}" for x in every)),
        ("compiling, s", *(f"{x.compiling:.1f}" for x in every)),
    ]


def _draw(found: dict[str, dict[int, Report]]) -> None:
    figure, axes = plt.subplots(2, len(found), figsize=(13, 5), sharey="row", sharex="col")
    for column, (axis, reports) in enumerate(found.items()):
        values = list(reports)
        rates = [report.rate / 1e3 for report in reports.values()]
        held = [report.mebibytes for report in reports.values()]
        axes[0, column].loglog(values, rates, "o-", base=2, markersize=4)
        axes[1, column].semilogx(values, held, "o-", base=2, markersize=4)
        axes[1, column].set_ylim(0)
        for row in (0, 1):
            axes[row, column].grid(alpha=0.3)
        axes[1, column].set_xlabel(axis)
        axes[1, column].set_xticks(values[::2], [f"{value:,}" for value in values[::2]])
    for row, text in enumerate(("thousand steps/s", "MiB of memory")):
        axes[row, 0].set_ylabel(text)
        axes[row, 0].yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=100)
    plt.close(figure)
