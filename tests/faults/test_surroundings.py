"""What a run stands in goes wrong: its folder can't be written or is removed, the compile cache is
damaged, the clock goes backwards, a process has no file descriptors left."""

import http.client
import os
import resource
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import TRAIN, Children, ended_well
from essence import differences, essence
from mutations import copy

import uphill
from small_runs import train_small
from uphill.errors import UphillError
from uphill.training.trainer import Trainer
from uphill.views.watch import HOST, make_server

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("children")]

NOBODY = 65534


@pytest.fixture
def read_only(whole: Path) -> Iterator[Path]:
    """A run that may be read by anyone, and written by nobody."""
    folder = Path(tempfile.mkdtemp(prefix="uphill-read-only-"))  # where everyone may go
    folder.chmod(0o755)
    run = shutil.copytree(whole, folder / "run")
    (run / "curve.png").unlink()
    paths = [run, *run.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield run
    for path in paths:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    shutil.rmtree(folder)


def test_read_only_run(read_only: Path, children: Children, tmp_path: Path) -> None:
    before = essence(read_only)
    user = {"user": NOBODY} if os.geteuid() == 0 else {}
    user |= {"folder": "/", "cache": "/nowhere"}
    for words in (
        ["resume", read_only, "--steps", 3000, "--quiet"],
        ["evaluate", read_only, "--episodes", 4],
        ["plot", read_only],
        ["report", read_only, "--no-films"],
        [*TRAIN, "--out", read_only / "new"],
    ):
        ended = children.run(*words, **user)
        assert ended.status == 1, (words, ended)
        assert "Traceback" not in ended.err
        assert "Permission denied" in ended.err, (words, ended)
        assert str(read_only) in ended.err
    assert not differences(read_only, before)


def test_folder_that_is_removed_while_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real, calls = tmp_path / "run", Trainer.is_done, []

    def removing(*arguments: Any) -> Any:
        calls.append(0)
        if len(calls) == 4:
            shutil.rmtree(run)
        return real(*arguments)

    monkeypatch.setattr(Trainer, "is_done", removing)
    with pytest.raises(UphillError, match=rf"{run}.*No such file or directory"):
        train_small(run, checkpoint_every=0)
    assert not run.exists()


def test_damaged_compile_cache_and_a_clock_that_is_set_back(
    whole: Path, children: Children, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    cache = shutil.copytree(children.cache, tmp_path / "cache")
    programs = [path for path in cache.rglob("*") if path.is_file()]
    assert programs
    for k, path in enumerate(programs[::3]):
        content = path.read_bytes()
        path.write_bytes((b"", content[:50], content[::-1])[k % 3])
    ended_well(children.run(*TRAIN, "--out", run, cache=cache, clock_back=10**6))
    assert not differences(run, essence(whole))
    assert uphill.load(run).summary()["steps"]


def test_watch_without_file_descriptors(tmp_path: Path) -> None:
    """It answers as it can, and when there are some again as ever."""
    copy("a2c", tmp_path / "first")
    with make_server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        assert asked(socket.create_connection((HOST, server.server_port)))[0] == 200
        copy("ppo", tmp_path / "second")
        before = len(os.listdir("/dev/fd"))
        early = socket.create_connection((HOST, server.server_port))
        while len(os.listdir("/dev/fd")) < before + 2:  # the server's end of it, too
            time.sleep(0.01)
        held, limits = [early], resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(map(int, os.listdir("/dev/fd"))) + 20
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                held.extend(iter(socket.socket, None))
            status, _ = asked(early)
            assert status in (200, 500, 503)
            held.pop().close()
            late = socket.create_connection((HOST, server.server_port))
        finally:
            for one in held:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        status, page = asked(late)
        assert status == 200
        for name in ("first", "second"):
            assert f"/report?run={name}" in page
        server.shutdown()
        thread.join()


def asked(connection: socket.socket) -> tuple[int, str]:
    """Status and body of the list of runs."""
    with connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read().decode()
