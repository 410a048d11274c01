"""A disk that is full, or fails: at whichever write, training ends with one sentence, and goes on
from what was saved once there is space."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from essence import check_whole, differences, essence
from operations import Operations

import uphill
from small_runs import train_small
from uphill.errors import UphillError
from uphill.runs.folder import mend_of

pytestmark = pytest.mark.faults

STEPS = 300
WRITES = "(write|fsync|replace|mkdir) "
LEARNED = "checkpoint/latest.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What the run comes to where all can be written, and how many writes that takes."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with Operations(WRITES) as operations:
        go_on(run)
    return essence(run), len(operations.done)


def go_on(run: Path) -> None:
    """What a user does: train, go on, or evaluate again, whatever is left to do."""
    if not (run / LEARNED).exists():
        shutil.rmtree(run, ignore_errors=True)
        train_small(run, steps=STEPS, checkpoint_every=0)
    elif min(uphill.load(run).summary()["steps"]) < STEPS:
        uphill.resume(run, quiet=True)
    else:
        uphill.load(run).evaluate(4)


def failing(number: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


def fails(run: Path, like: str, at: int, number: int = errno.ENOSPC) -> bool:
    """Whether something failed; if so with a sentence, and what was saved before is there."""
    had = (run / LEARNED).exists()
    try:
        with Operations(like, at, failing(number)) as operations:
            go_on(run)
    except UphillError as error:
        sentence = str(error).partition("\n")[0]
        assert os.strerror(number) in sentence
        assert mend_of(OSError(number, "")) in sentence, sentence
        assert len(operations.done) == at + 1
    if had or (run / LEARNED).exists():
        check_whole(run)
    return len(operations.done) > at


FAILING = (
    ("write experiment.json", 0, errno.ENOSPC),
    ("write latest.json", 0, errno.ENOSPC),
    ("write metrics.csv", 1, errno.ENOSPC),
    ("fsync latest-", 1, errno.EIO),
    ("replace best-", 1, errno.EDQUOT),
    ("write milestones.json", 1, errno.ENOSPC),
    ("write lock", 0, errno.ENOSPC),
    ("write evaluation.json", 0, errno.ENOSPC),
    ("write curve.png", 0, errno.ENOSPC),
)


def test_one_write_after_the_other_fails(whole: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    run = tmp_path / "run"
    for like, at, number in FAILING:
        assert fails(run, like, at, number), f"nothing was left to {like}"
    go_on(run)
    assert not differences(run, whole[0])


@pytest.mark.faults_long
def test_each_write_fails_in_turn(whole: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    for at in range(whole[1]):
        run = tmp_path / f"run-{at}"
        assert fails(run, WRITES, at)
        go_on(run)
        assert not differences(run, whole[0]), at
        shutil.rmtree(run)
    print(f"{whole[1]} writes failed, each in a run of its own")


@pytest.mark.faults_long
def test_small_disk(whole: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    """A file system that is really full, where one may be mounted; else each write that fails is
    what there is."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    run, refused = disk / "run", 0
    try:
        for kilobytes in range(4, 200, 4):
            ballast = disk / "ballast"
            try:
                ballast.write_bytes(bytes(1024 * (200 - kilobytes)))
            except OSError:
                refused += 1
            full = Operations(WRITES, kilobytes // 4, failing(errno.ENOSPC))
            try:
                with nullcontext() if is_mounted else full:
                    go_on(run)
            except UphillError as error:
                refused += "No space left" in str(error)
            ballast.unlink(missing_ok=True)
            if (run / LEARNED).exists():
                check_whole(run)
            if (run / "curve.png").exists():
                break
        go_on(run)
        assert not differences(run, whole[0])
        print(f"{refused} refusals of a disk that was{'' if is_mounted else ' not'} mounted")
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
