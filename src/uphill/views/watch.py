"""`uphill watch`: the runs of a folder and their reports, in a browser on the same machine.

The server renders pages only for runs that it found itself: a name in a request is looked up among
these, and never becomes a path. It accepts connections from this machine only, no method but GET
and no host but itself, so that pages of other sites can't read through it.
"""

import errno
import os
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs

from uphill.errors import UphillError
from uphill.runs.place import Place
from uphill.views.report.page import Page
from uphill.views.report.shelf import Shelf
from uphill.words import option

HOST = "127.0.0.1"
PORT = 8000
TRIES = 20
"""Ports that are tried where none was asked for."""
TIMEOUT = 30.0
"""Seconds after which a connection that says nothing is closed."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_OWN_NAMES = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)


def watch(
    folder: str | Path,
    port: int | None = None,
    allow_import: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the runs of a folder until Ctrl-C.

    Without a port it is 8000, or the next one that is free. `allow_import` lets films import the
    modules that `module:ID` environments name.

    Raises:
        UphillError: if there is no such folder, or the port is taken.
        KeyboardInterrupt: on Ctrl-C.
    """
    with make_server(folder, port, allow_import) as server:
        announce(f"Watching {folder}: http://{HOST}:{server.server_port}/  (Ctrl-C ends it)")
        server.serve_forever()


def make_server(
    folder: str | Path, port: int | None = None, allow_import: bool = False
) -> "Server":
    """A server that listens, and answers once `serve_forever` is called.

    Raises:
        UphillError: if there is no such folder, or the port is taken.
    """
    root = Place.of(folder)
    if not os.path.isdir(root):
        raise UphillError(f"{folder} is not a folder: name the one that holds your runs.")
    if port is not None and not 0 <= port <= 65535:
        raise UphillError(f"port is {port}: use a number from 0 (any that is free) to 65535.")
    for candidate in range(PORT, PORT + TRIES) if port is None else (port,):
        if (server := _listening(candidate, Shelf(root, allow_import))) is not None:
            return server
    taken = f"{PORT} to {PORT + TRIES - 1}" if port is None else port
    raise UphillError(f"port is {taken}: it is in use, so choose another {option('port')}.")


def _listening(port: int, shelf: Shelf) -> "Server | None":
    """A server on a port; None where the port is taken.

    Raises:
        UphillError: if this user may not use it.
    """
    try:
        return Server(port, shelf)
    except PermissionError as error:
        raise UphillError(
            f"port is {port}: this user may not listen there, so choose another {option('port')}, "
            "such as 8080."
        ) from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    return None


class Server(ThreadingHTTPServer):
    """Listens on this machine's own address alone."""

    def __init__(self, port: int, shelf: Shelf) -> None:
        self.shelf = shelf
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would ask the network for this machine's name
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # who went away needs no answer
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        self.shelf.close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request: GET /, /report?run=NAME, /compare?run=NAME&run=NAME… or
    /sweep?name=NAME, and refuses everything else."""

    timeout = TIMEOUT
    server_version, sys_version = "uphill", ""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command == "GET":
            return True
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
        return False

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _OWN_NAMES.fullmatch(hosts[0].strip()):
            self._refuse(HTTPStatus.FORBIDDEN, f"Ask for http://{HOST}, by that name.")
            return
        path, _, query = self.path.partition("?")
        try:
            page = self._page(path, query)
        except UphillError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        except OSError:  # a file that was there a moment ago
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The run is just being written.")
            return
        except Exception as error:  # an empty answer would say nothing
            why = f"The page can't be made: {type(error).__name__}: {error}."
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, why)
            return
        if page is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
            return
        policy = f"{page.policy}; frame-ancestors 'none'"
        self._answer(HTTPStatus.OK, "text/html", page.html, policy)

    def _page(self, path: str, query: str) -> Page | None:
        assert isinstance(self.server, Server)
        if path == "/":
            return self.server.shelf.index()
        if path == "/sweep":
            names = parse_qs(query).get("name", [])
            return self.server.shelf.sweep(names[0]) if len(names) == 1 else None
        names = parse_qs(query).get("run", [])
        if path == "/report" and len(names) == 1:
            return self.server.shelf.report(names[0])
        if path == "/compare" and len(set(names)) > 1:
            return self.server.shelf.comparison(names)
        return None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses: what can't be read is not repeated either."""
        self._refuse(HTTPStatus(code), f"{HTTPStatus(code).phrase}.")

    def _refuse(self, code: HTTPStatus, sentence: str) -> None:
        policy = "default-src 'none'; frame-ancestors 'none'"
        self._answer(code, "text/plain", f"{sentence}\n", policy)

    def _answer(self, code: HTTPStatus, kind: str, text: str, policy: str) -> None:
        content = text.encode(errors="replace")  # a folder's name may be no text
        if self.request_version == "HTTP/0.9":  # which knows no headers
            self.request_version = "HTTP/1.0"
        self.close_connection = True
        self.send_response(code)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
            "Connection": "close",
            **_HEADERS,
            **({"Allow": "GET"} if code == HTTPStatus.METHOD_NOT_ALLOWED else {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the terminal belongs to the user."""
