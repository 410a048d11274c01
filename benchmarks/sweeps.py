"""A sweep compared with separate trainings: REINFORCE on CartPole-v1, eight seeds per setting.

The separate trainings are some of the sweep's settings, evenly spread; their time is scaled up.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

RATES = ("3e-4", "1e-3", "2e-3", "3e-3", "5e-3", "1e-2", "2e-2", "3e-2")
GAMMAS = ("0.9", "0.95", "0.97", "0.98", "0.99", "0.995", "0.999", "1")
_ASKED = ("--algo", "reinforce", "--seeds", "8", "--steps", "50000", "--quiet")
_IN_ONE_PROCESS = """
import sys, time
from dataclasses import replace
import uphill
from uphill.sessions.presets import preset
folder, *settings = sys.argv[1:]
start = preset("CartPole-v1", "reinforce").algorithm
for k, setting in enumerate(settings):
    if k == 1:  # the first one compiles, as only one of 64 would
        started = time.perf_counter(), time.process_time()
    rate, gamma = map(float, setting.split(","))
    optimizer = replace(start.optimizer, learning_rate=rate)
    estimator = replace(start.estimator, gamma=gamma)
    algorithm = replace(start, optimizer=optimizer, estimator=estimator)
    uphill.train("CartPole-v1", algorithm, seeds=8, steps=50_000, out=f"{folder}/{k}", quiet=True)
print(time.perf_counter() - started[0], time.process_time() - started[1])
"""
Took = tuple[float, float]
"""Seconds of wall time, and of all processors."""


def sweep() -> None:
    """64 settings × 8 seeds × 50 k steps: one sweep, as many commands, as many in one process."""
    chosen, number = list(zip(RATES, GAMMAS, strict=True)), len(RATES) * len(GAMMAS)
    with tempfile.TemporaryDirectory() as folder:
        _command(f"{folder}/warm", *chosen[0])  # programs are cached from here on
        commands = [_command(f"{folder}/before-{k}", *one) for k, one in enumerate(chosen[::2])]
        grid = ("--grid", f"optimizer.learning-rate={','.join(RATES)}")
        grid += ("--grid", f"estimator.gamma={','.join(GAMMAS)}", "--out", f"{folder}/sweep")
        whole, _ = _run("-m", "uphill.cli", "sweep", "CartPole-v1", *_ASKED, *grid)
        commands += [_command(f"{folder}/after-{k}", *one) for k, one in enumerate(chosen[1::2])]
        some, said = _run("-c", _IN_ONE_PROCESS, f"{folder}/one", *map(",".join, chosen))
    further = (number - len(chosen)) / (len(chosen) - 1)  # as often as those after the first
    in_one = [a + further * b for a, b in zip(some, map(float, said.split()), strict=True)]
    _tell("one sweep", whole, whole)
    _tell(f"{number} commands", _scaled(commands, number / len(commands)), whole)
    _tell(f"{number} trainings in one process", (in_one[0], in_one[1]), whole)


def _command(out: str, rate: str, gamma: str) -> Took:
    words = ("--optimizer.learning-rate", rate, "--estimator.gamma", gamma, "--out", out)
    return _run("-m", "uphill.cli", "train", "CartPole-v1", *_ASKED, *words)[0]


def _run(*words: str) -> tuple[Took, str]:
    """The time that a separate process took, and what it printed."""
    before, started = _processors(), time.perf_counter()
    command = [sys.executable, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return (time.perf_counter() - started, _processors() - before), done.stdout


def _processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _scaled(took: Sequence[Took], scale: float) -> Took:
    clock, processors = (sum(column) * scale for column in zip(*took, strict=True))
    return clock, processors


def _tell(what: str, took: Took, whole: Took) -> None:
    ratios = [ours / theirs for ours, theirs in zip(whole, took, strict=True)]
    print(
        f"{what}: {took[0]:.0f} s, {took[1]:.0f} s of processor time; the sweep takes "
        f"{ratios[0]:.2f} and {ratios[1]:.2f} of that",
        flush=True,
    )
