"""Commands in processes of their own, which signals and faults come to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command_line import SMALL

TRAIN = ["train", "CartPole-v1", *SMALL, "--steps", "1500", "--checkpoint-every", "0", "--quiet"]
TRAINING = {
    "compile": ("uphill.training.programs:Programs.begin", 0),
    "train": ("uphill.training.trainer:Trainer.is_done", 6),
    "save": ("uphill.sessions.keeping:write_checkpoint", 3),
    "evaluate": ("uphill.sessions.evaluations:Evaluations.final", 0),
    "draw": ("uphill.run:write_evaluation", 0),
}
"""Functions, and at which call of theirs the signal comes."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; of a signal, its negative number."""

    status: int
    out: str
    err: str


class Children:
    """Runs commands one after the other, each forked from a process that has imported all."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"  # of compiled programs, which all of them share
        self._folder, self._number = folder, 0
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._zygote = subprocess.Popen(
            [sys.executable, str(here / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )

    def begin(self, *argv: Any, environ: dict[str, str] | None = None, **job: Any) -> int:
        """Start `uphill` with these words; its process."""
        self._number += 1
        files = {x: str(self._folder / f"{self._number}.{x}") for x in ("stdout", "stderr")}
        job = {"folder": os.getcwd(), "environ": environ or {}, "cache": self.cache, **files, **job}
        job["cache"] = str(job["cache"])
        job["argv"] = [str(word) for word in argv]
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(job) + "\n")
        self._zygote.stdin.flush()
        return int(self._line())

    def end(self) -> Ended:
        """Wait until it has ended."""
        status = int(self._line())
        out, err = (self._folder / f"{self._number}.{x}" for x in ("stdout", "stderr"))
        return Ended(status, *(path.read_text() if path.exists() else "" for path in (out, err)))

    def run(self, *argv: Any, **job: Any) -> Ended:
        self.begin(*argv, **job)
        return self.end()

    def close(self) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._zygote.wait()
        assert self._zygote.stdout is not None
        self._zygote.stdout.close()

    def _line(self) -> str:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        assert line, "the process that starts the others is gone"
        return line


def in_order(ended: Ended, number: int, is_held: bool) -> None:
    """Where signals are held back all end alike; else those but Ctrl-C end the process as ever."""
    expected = 130 if is_held or number == signal.SIGINT else -number
    assert ended.status == expected, ended
    assert "Traceback" not in ended.err
    if expected == 130:
        assert len(ended.err.strip().splitlines()) == 1, ended.err


def ended_well(ended: Ended) -> None:
    assert ended.status == 0, ended.err
    assert "Traceback" not in ended.err


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    made = Children(tmp_path_factory.mktemp("children"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def whole(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `TRAIN` comes to where nothing goes wrong."""
    run = tmp_path_factory.mktemp("whole") / "run"
    ended_well(children.run(*TRAIN, "--out", run))
    return run
