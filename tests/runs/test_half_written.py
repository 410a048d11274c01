"""What a killed process left half-written is deleted by whoever writes next; what is a user's own
stays."""

import shutil
from pathlib import Path

import pytest

from uphill.runs.lock import RunLock, tidy

KEPT = Path(__file__).parents[1] / "data/runs/a2c"
HALF = (
    "checkpoint/latest-0123456789abcdef.safetensors.tmp",
    "checkpoint/latest.json.tmp",
    "milestones/seed-0-first.safetensors.tmp",
    "not_finite/seed0.safetensors.tmp",
    "evaluation.json.tmp",
    "curve.png.tmp",
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = shutil.copytree(KEPT, tmp_path / "run")
    for name in (*HALF, "notes.tmp"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"half")
    return run


def files(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


def test_who_trains_next_deletes_it(run: Path) -> None:
    before = files(run)
    with RunLock(run):
        assert files(run) == before - set(HALF) | {"lock"}
    assert files(run) == before - set(HALF)


def test_an_evaluation_deletes_it_unless_a_process_trains(run: Path) -> None:
    before = files(run) - set(HALF)
    with RunLock(run):
        (run / HALF[0]).write_bytes(b"being written now")
        tidy(run)
        assert files(run) == before | {HALF[0], "lock"}
    tidy(run)
    assert files(run) == before


def test_nothing_is_deleted_through_a_link(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (run / "checkpoint").rename(elsewhere)
    (run / "checkpoint").symlink_to(elsewhere)
    before = files(elsewhere)
    with RunLock(run):
        pass
    assert files(elsewhere) == before
