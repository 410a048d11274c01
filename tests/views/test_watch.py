"""`uphill watch` answers this machine, and nobody else, and shows runs, and nothing else."""

import errno
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest

from report_runs import copied
from uphill.errors import UphillError
from uphill.views.watch import HOST, PORT, TRIES, Server, make_server


@pytest.fixture(scope="module")
def server(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    outside, (first, _) = tmp_path_factory.mktemp("watched"), pair
    root = outside / "runs"
    root.mkdir()
    (outside / "secret.txt").write_text("SECRET")
    (root / "secret.txt").write_text("SECRET")
    copied(first, root / "run", "evaluation.json", steps=10**6)
    (root / "outside").symlink_to(first)
    with make_server(root, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def said(server: Server, *lines: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body that follow a request, sent as it stands."""
    with socket.create_connection((HOST, server.server_port)) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read().decode()
        return answer.status, dict(answer.getheaders()), body


def get(server: Server, path: str, host: str = "127.0.0.1") -> tuple[int, dict[str, str], str]:
    return said(server, f"GET {path} HTTP/1.1", f"Host: {host}")


def test_it_shows_the_list_and_reports(server: Server) -> None:
    status, headers, body = get(server, "/")
    assert status == 200
    assert '<a href="/report?run=run">run</a>' in body
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    status, _, body = get(server, "/report?run=run")
    assert status == 200
    assert "Still training" in body
    assert get(server, "/", "localhost:1234")[0] == 200  # forwarded from another port


def test_ticked_runs_are_compared(server: Server) -> None:
    root = server.shelf.root
    other = copied(root / "run", root / "a folder & other")
    try:
        status, _, body = get(server, "/compare?run=run&run=a+folder+%26+other&run=run")
        assert status == 200
        assert "2 runs compared" in body
        assert 'data-refresh="' in body  # one of them is still being trained
        assert '<a href="/">All runs</a>' in body
        assert get(server, "/compare?run=a+folder+%26+other&run=..")[0] == 404
    finally:
        shutil.rmtree(other)
    for query in ("", "?run=", "?run=run", "?run=run&run=run", "?run=run&run=outside"):
        assert get(server, f"/compare{query}")[0] == 404


def test_page_that_cannot_be_made_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.shelf, "report", lambda _: [][1])
    status, _, body = get(server, "/report?run=run")
    assert status == 500
    assert body == "The page can't be made: IndexError: list index out of range.\n"
    assert get(server, "/")[0] == 200


def test_every_answer_carries_what_protects_it(server: Server) -> None:
    for path, status in (("/", 200), ("/report?run=run", 200), ("/nothing", 404)):
        answer, headers, _ = get(server, path)
        assert answer == status
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Python" not in headers["Server"]


@pytest.mark.parametrize(
    "path",
    [
        *("/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"),
        *("/..\\secret.txt", "/..%5csecret.txt", "//etc/passwd", "/etc/passwd", "secret.txt"),
        *("/run", "/run/experiment.json", "/run/checkpoint/latest.json", "/report", "/report?run="),
        *("/report?run=..", "/report?run=.", "/report?run=../secret.txt", "/report?run=outside"),
        *("/report?run=%2e%2e%2fsecret.txt", "/report?run=..%5csecret.txt", "/report?run=run%00"),
        *("/report?run=/etc/passwd", "/report?run=%2Fetc%2Fpasswd", "/report?run=run/../run"),
        *("/report?run=run/checkpoint", "/report?run=run&run=run", "/report/?run=run"),
        *("http://127.0.0.1/", "http://evil.example/", "file:///etc/passwd", "*", "/%", "/%ff"),
    ],
)
def test_nothing_else_can_be_read(path: str, server: Server) -> None:
    status, _, body = get(server, path)
    assert status == 404
    assert body == "There is no such page.\n"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "evil.example:8000", "localhost.evil.example"),
        *("", "0.0.0.0", "[::1]", "127.0.0.1@evil.example", "localhost:8000:8000", "127.0.0.2"),
    ],
)
def test_other_names_are_refused(host: str, server: Server) -> None:
    for path in ("/", "/report?run=run", "/nothing"):
        status, _, body = get(server, path, host)
        assert status == 403
        assert "<" not in body
        assert "run" not in body


def test_no_name_or_two_are_refused(server: Server) -> None:
    assert said(server, "GET / HTTP/1.1")[0] == 403
    assert said(server, "GET / HTTP/1.0")[0] == 403
    assert said(server, "GET / HTTP/1.1", "Host: localhost", "Host: evil.example")[0] == 403


@pytest.mark.parametrize(
    "method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X"]
)
def test_other_methods_are_refused(method: str, server: Server) -> None:
    for path in ("/", "/report?run=run", "/nothing"):
        status, headers, _ = said(server, f"{method} {path} HTTP/1.1", "Host: localhost")
        assert status == 405
        assert headers["Allow"] == "GET"


def test_what_is_no_request_is_refused_in_plain_text(server: Server) -> None:
    for line in ("GET / HTTP/9.9", "<script> HTTP/1.1", "GET / <b>"):
        status, headers, body = said(server, line, "Host: localhost")
        assert status in (400, 405, 505)
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "<" not in body


def test_it_listens_to_this_machine_alone(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with make_server(tmp_path, 0) as first, pytest.raises(UphillError) as raised:
        make_server(tmp_path, first.server_port)
    assert str(raised.value).startswith(f"port is {first.server_port}: it is in use")
    with make_server(tmp_path) as one, make_server(tmp_path) as other:
        assert one.server_port != other.server_port
        assert {one.server_port, other.server_port} <= set(range(PORT, PORT + TRIES))


def test_a_port_that_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(TCPServer, "server_bind", refuse)
    with pytest.raises(UphillError, match=r"port is 80: this user may not listen there, so choose"):
        make_server(tmp_path, 80)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(port: int, tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=f"port is {port}: use a number from 0"):
        make_server(tmp_path, port)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match="is not a folder: name the one that holds your runs"):
        make_server(tmp_path / "nowhere")


def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    # Where tests run in the background, Ctrl-C is ignored, also by what they start.
    heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"import signal; {heed}; from uphill.cli import run; run()"
    command = [sys.executable, "-c", script, "watch", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    assert f"Watching {tmp_path}: http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
