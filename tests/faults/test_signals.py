"""Ctrl-C, SIGTERM and a closed terminal, in every phase of a command: it ends at once and in order,
what was learned is saved, and nothing is written by half."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import TRAIN, TRAINING, Children, Ended, ended_well, in_order
from essence import check_whole, differences, essence

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("children")]

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
LATER = {
    "evaluate": ("uphill.training.evaluate:Evaluator.returns", 0),
    "record": ("uphill.views.films.film:write_file", 0),
    "report": ("uphill.views.report.page:write_file", 0),
}
IMPORTS = """
import os, signal, sys

awaited = sys.argv.pop(1)

class Sending:
    def find_spec(self, name, path=None, target=None):
        if name == awaited:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
from uphill.cli import run

sys.meta_path.insert(0, Sending())
run()
"""


@pytest.mark.faults_long
@pytest.mark.parametrize("number", [INT, TERM, HUP])
@pytest.mark.parametrize("phase", TRAINING)
def test_while_training(
    phase: str, number: int, whole: Path, children: Children, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = children.run(*TRAIN, "--out", run, target=TRAINING[phase], number=number)
    is_over = phase in ("evaluate", "draw")
    in_order(ended, number, is_held=not is_over)
    check_whole(run)
    if not is_over or number == INT:
        advice = "Evaluate it with: uphill evaluate" if is_over else "Go on with: uphill resume"
        assert f"{advice} {run}" in ended.err
    go_on = ["evaluate", run, "--episodes", "4"] if is_over else ["resume", run, "--quiet"]
    ended_well(children.run(*go_on))
    assert not differences(run, essence(whole))


@pytest.mark.parametrize("number", [INT, pytest.param(TERM, marks=pytest.mark.faults_long)])
@pytest.mark.parametrize("phase", LATER)
def test_after_training(phase: str, number: int, whole: Path, children: Children) -> None:
    before = essence(whole)
    ended = children.run(phase, whole, target=LATER[phase], number=number)
    in_order(ended, number, is_held=False)
    assert not differences(whole, before)


@pytest.mark.parametrize("module", ["tyro", "jax"])
def test_while_importing(module: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS, module, *TRAIN, "--out", out],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    in_order(Ended(found.returncode, found.stdout, found.stderr), INT, is_held=False)
    assert not out.exists()
