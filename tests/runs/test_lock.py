"""One process at a time trains in a run directory; who is second is told who is first."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import uphill
from uphill.errors import UphillError
from uphill.runs import lock
from uphill.runs.lock import LOCK_FILE, RunLock

KEPT = Path(__file__).parents[1] / "data/runs/a2c"
HOLDER = """
import fcntl, json, os, pathlib, sys, time
file = open(pathlib.Path(sys.argv[1], "lock"), "w+")
fcntl.flock(file, fcntl.LOCK_EX)
json.dump({"process": os.getpid(), "host": sys.argv[2]}, file)
file.flush()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(KEPT, tmp_path / "run")


def held(run: Path, host: str = "there.example") -> subprocess.Popen:
    """A process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run), host], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_second_process_is_refused_until_the_first_is_gone(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    process = held(run)
    try:
        says = rf"run is being trained by process {process.pid} on there\.example: wait until"
        with pytest.raises(UphillError, match=says):
            uphill.resume(run, steps=1000, quiet=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert {path: path.read_bytes() for path in before} == before
    with RunLock(run):  # the file stayed, and locks nothing
        here = rf"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(UphillError, match=here), RunLock(run):
            pass
    assert not (run / LOCK_FILE).exists()


def test_who_wrote_no_name_is_another_process(run: Path) -> None:
    process = held(run, "a\nhost" + "x" * 2000)
    try:
        with pytest.raises(UphillError, match="trained by another process: wait"), RunLock(run):
            pass
    finally:
        process.kill()
        process.wait()


def test_nothing_is_locked_through_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"theirs")
    (run / LOCK_FILE).symlink_to(tmp_path / "file")
    with pytest.raises(UphillError, match="lock is a link"), RunLock(run):
        pass
    assert (tmp_path / "file").read_bytes() == b"theirs"


def test_file_that_was_deleted_by_the_first_locks_nobody(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the first let go of it, locked after: another file has the name now."""
    real = lock.fcntl.flock
    files = []

    def late(file: object, how: int) -> None:
        if not files:
            files.append(file)
            (run / LOCK_FILE).unlink()
        real(file, how)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with RunLock(run):
        assert (run / LOCK_FILE).stat().st_size > 0


def test_where_there_are_no_locks_nobody_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    with RunLock(run), RunLock(run):
        pass


def test_no_run_directory_is_locked(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", tmp_path / ("x" * 300)):
        with pytest.raises(UphillError, match="is not a run directory"), RunLock(path):
            pass
    assert list(tmp_path.iterdir()) == []
