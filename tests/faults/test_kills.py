"""Whatever moment a training is killed at: it goes on to the same bytes as one that was not."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from children import TRAIN, TRAINING, Children, ended_well, in_order
from essence import check_whole, differences, essence

import uphill
from command_line import SMALL
from uphill.errors import UphillError

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("children")]

EPISODIC = ["--envs", "4", "--policy.hidden", "8", "--episodes", "4"]
CRITIC = ["--baseline.network.hidden", "8"]
ALGORITHMS = {
    "reinforce": EPISODIC,
    "vpg": [*EPISODIC, *CRITIC],
    "a2c": SMALL[:6],
    "ppo": SMALL,
    "npg": [*EPISODIC, *CRITIC],
    "trpo": [*EPISODIC, *CRITIC],
}
LATEST = "checkpoint/latest.json"
ALWAYS = ["--quiet", "--checkpoint-every", 0]
KILLED = -signal.SIGKILL
KILLS = 50
"""For each algorithm and number of seeds, in the long form."""


def command(algo: str, seeds: int = 1, steps: int = 4000) -> list[Any]:
    words = ["train", "CartPole-v1", "--algo", algo, *ALGORITHMS[algo], *ALWAYS]
    return [*words, "--seeds", seeds, "--steps", steps]


def next_command(begin: list[Any], run: Path) -> list[Any]:
    """What its user types after a crash."""
    if not (run / LATEST).exists():
        return [*begin, "--out", run]
    opened = uphill.load(run)
    if min(opened.summary()["steps"]) >= opened.experiment.steps:
        return ["evaluate", run, "--episodes", opened.experiment.episodes]
    return ["resume", run, "--quiet"]


STEPS_OF_A_CRASH: tuple[tuple[str, dict[str, Any]], ...] = (
    ("SIGKILL", {"operation": ("write latest.json.tmp", 0)}),  # before the first checkpoint
    ("SIGINT", {"target": TRAINING["compile"]}),
    ("SIGTERM", {"target": TRAINING["train"]}),
    ("SIGKILL", {"operation": ("write metrics.csv", 2)}),
    ("SIGHUP", {"target": TRAINING["save"]}),
    ("SIGKILL", {"operation": ("replace latest.json", 1)}),  # the tensors of which are there
    ("SIGSTOP", {"operation": ("write latest-", 1)}),
    ("SIGINT", {"target": TRAINING["evaluate"]}),
    ("SIGKILL", {"operation": ("write evaluation.json", 0)}),
)
"""What comes to a run: each to the process that goes on where the last one ended."""


def test_one_end_after_the_other(whole: Path, children: Children, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name, job in STEPS_OF_A_CRASH:
        number = getattr(signal, name)
        words = next_command(TRAIN, run)
        process = children.begin(*words, number=number, **job)
        if name == "SIGSTOP":
            others_are_refused(run, process)
        ended = children.end()
        if name in ("SIGKILL", "SIGSTOP"):
            assert ended.status == KILLED, (job, ended)
        else:
            in_order(ended, number, is_held=True)
        if (run / LATEST).exists():
            check_whole(run)
    # What a kill amid the last checkpoint leaves: no other one is written in its place.
    (run / "checkpoint/latest-0123456789abcdef.safetensors.tmp").write_bytes(b"half")
    ended_well(children.run(*next_command(TRAIN, run)))
    assert not differences(run, essence(whole))


def others_are_refused(run: Path, process: int) -> None:
    """While a process has the run, which is killed then, and its lock is gone with it."""
    try:
        while not stopped(process):
            time.sleep(0.02)
        with pytest.raises(UphillError, match=f"is being trained by process {process} on"):
            uphill.resume(run, quiet=True)
    finally:
        os.kill(process, signal.SIGKILL)


def stopped(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.faults_long
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_killed_at_random_moments(
    algo: str, seeds: int, children: Children, tmp_path: Path
) -> None:
    """Half of the moments are chosen by the clock, half among what is written. A run goes on from
    kill to kill; one that came to its end is compared, and the next one begins."""
    draw, begin = random.Random(f"{algo} {seeds}"), command(algo, seeds, steps=8000)
    ended_well(children.run(*begin, "--out", tmp_path / "first"))  # compiles
    started = time.monotonic()
    ended_well(children.run(*begin, "--out", tmp_path / "whole"))
    seconds, whole = time.monotonic() - started, essence(tmp_path / "whole")
    assert not differences(tmp_path / "first", whole)
    kills, runs = 0, 0
    while kills < KILLS:
        runs += 1
        run = tmp_path / f"run-{runs}"
        while True:
            left = kills < KILLS
            if left and kills % 2:
                at = ("", draw.randrange(120))
                job: dict[str, Any] = {"operation": at, "number": signal.SIGKILL}
                ended = children.run(*next_command(begin, run), **job)
            else:
                process = children.begin(*next_command(begin, run))
                if left:
                    kill_after(process, draw.uniform(0, 1.2 * seconds))
                ended = children.end()
            if ended.status != KILLED:
                ended_well(ended)
                if (run / "evaluation.json").exists():
                    break
                continue
            kills += 1
            if (run / LATEST).exists():
                check_whole(run)
        assert not differences(run, whole)
    print(f"{algo}, {seeds} seeds: {kills} kills, {runs} runs, all the same as {seconds:.1f} s")


def kill_after(process: int, seconds: float) -> None:
    """A SIGKILL, unless it has ended by then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and Path(f"/proc/{process}").exists():
        time.sleep(0.005)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
