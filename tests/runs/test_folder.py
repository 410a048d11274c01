"""What a run directory is written through: nothing is written, cut or deleted through a link."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import uphill
from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest, read_tensors, write_checkpoint
from uphill.runs.files import delete_files, make_inner, write_file
from uphill.runs.folder import Folder, mend_of, read_regular
from uphill.runs.metrics import MetricsFile

KEPT = Path(__file__).parents[1] / "data/runs/a2c"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(KEPT, tmp_path / "run")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What nobody may touch: a file, and a folder with one."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "latest-1-0000000000000000.safetensors").write_bytes(b"theirs")
    (folder / "file").write_bytes(b"seed,update,steps\n" + b"0,1,1\n" * 2000)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def linked(path: Path, to: Path, link: Callable = os.symlink) -> None:
    """A link in the place of a file."""
    path.unlink(missing_ok=True)
    link(to, path)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_metrics_are_not_cut_or_appended_to_through_a_link(
    run: Path, outside: Path, link: Callable
) -> None:
    before = contents(outside)
    file = MetricsFile(run, read_manifest(run, "latest").facts.metrics_offset, 5)
    linked(run / "metrics.csv", outside / "file", link)
    for write in (
        lambda: MetricsFile(run, 100, 1),
        lambda: file.append([{"seed": 0, "steps": 1}]),
        file.sync,
    ):
        with pytest.raises(UphillError, match=r"metrics\.csv .* link\).*in its place"):
            write()
    with pytest.raises(UphillError, match=r"metrics\.csv .* link\)"):
        uphill.resume(run, steps=1000, quiet=True)
    assert contents(outside) == before


def test_another_file_in_place_of_the_metrics_stays_whole(run: Path) -> None:
    text = b"name,age\nAda,36\n" * 1000
    (run / "metrics.csv").write_bytes(text)
    for offset, updates in ((100, 1), (0, None)):
        with pytest.raises(UphillError, match="its first line lacks the columns seed and steps"):
            MetricsFile(run, offset, updates)
    (run / "metrics.csv").write_bytes(b"seed,update,steps\n0,one,3\n" * 9)
    with pytest.raises(UphillError, match="line 2 has no update"):
        MetricsFile(run, 100, 1)
    (run / "metrics.csv").write_bytes(b"see")  # a process was killed while it wrote the first line
    assert MetricsFile(run).columns is None
    assert (run / "metrics.csv").read_bytes() == b""


@pytest.mark.parametrize("kind", ["checkpoint", "milestones", "tensorboard"])
def test_folders_of_a_run_are_no_links(run: Path, outside: Path, kind: str) -> None:
    before = contents(outside)
    manifest = read_manifest(run, "latest")
    tensors = read_tensors(run, manifest)
    shutil.rmtree(run / kind, ignore_errors=True)
    (run / kind).symlink_to(outside)
    write = {
        "checkpoint": lambda: write_checkpoint(run, "latest", {**tensors}, manifest.facts),
        "milestones": lambda: make_inner(run, kind),
        "tensorboard": lambda: make_inner(run, kind, "seed0"),
    }[kind]
    with pytest.raises(UphillError, match=f"{kind} is a link.*nothing is written through links"):
        write()
    assert contents(outside) == before


def test_files_are_replaced_and_deleted_where_links_stand(run: Path, outside: Path) -> None:
    before = contents(outside)
    for name in ("evaluation.json", "evaluation.json.tmp", "report.html"):
        linked(run / name, outside / "file")
    write_file(run / "evaluation.json", b"{}")
    assert not (run / "evaluation.json").is_symlink()
    assert (run / "evaluation.json").read_bytes() == b"{}"
    delete_files(run, ["report.html", "nothing"])
    assert not (run / "report.html").is_symlink()
    (run / "curve.png").mkdir()
    with pytest.raises(UphillError, match=r"curve\.png could not be deleted .*move the folder"):
        delete_files(run, ["curve.png"])
    assert contents(outside) == before


def test_run_directory_itself_may_be_reached_by_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    write_file(tmp_path / "link" / "evaluation.json", b"{}")
    assert (run / "evaluation.json").read_bytes() == b"{}"


def test_a_folder_stays_the_one_that_was_opened(run: Path, outside: Path) -> None:
    before = contents(outside)
    with Folder(run) as folder:
        run.rename(run.with_name("moved"))
        run.symlink_to(outside)
        folder.write("file", b"new")
        folder.delete("evaluation.json")
    assert (run.with_name("moved") / "file").read_bytes() == b"new"
    assert contents(outside) == before


def test_pipes_and_devices_are_not_read_or_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match="is not a regular file"):
            read_regular(tmp_path / name, 100)
    write_file(tmp_path / "file", b"four")
    with pytest.raises(OSError, match="holds more than 3 bytes"):
        read_regular(tmp_path / "file", 3)
    with Folder(tmp_path) as folder, pytest.raises(OSError, match="No such device"):
        folder.open("pipe", "ab")


def test_every_reason_has_a_mend_of_its_own() -> None:
    known = [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EMFILE, errno.EIO]
    mends = [mend_of(OSError(number, os.strerror(number))) for number in known]
    assert len(set(mends)) == len(known)
    assert [mend for mend in mends if "space" in mend] == ["free some space"]
