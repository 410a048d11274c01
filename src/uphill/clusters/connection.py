"""Ray: a temporary local cluster, or one that is already running."""

import importlib.util
import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from uphill.errors import UphillError
from uphill.training.cores import usable_cores
from uphill.words import option

LOG_FILE = "ray.log"
"""What Ray prints while a command is connected to it."""
PATIENCE = 5.0
"""Seconds within which an address must answer. Ray itself waits two minutes, and then ends the
process."""
_ADDRESS = re.compile(r"(ray://)?(?P<host>[^\s/:]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "error"}
_WRONG_TOKEN = "InvalidAuthToken"
_FEW_TRIES = {"RAY_NUM_REDIS_GET_RETRIES": "5"}
"""One a second, at a cluster that answers, but does not let this process in; else it is 20."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to."""

    ray: Any
    """the module"""

    @property
    def cpus(self) -> int:
        """Processors of all its nodes, as Ray counts them."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))


@contextmanager
def connected(address: str, log: Path) -> Iterator[Cluster]:
    """A local cluster on this machine (`local`), the one that this machine is part of (`auto`), or
    the one at an address; if this process is connected to a cluster already, that is used. What Ray
    prints meanwhile goes to the file `log`.

    Raises:
        UphillError: if Ray is not installed, or there is no such cluster.
    """
    if importlib.util.find_spec("ray") is None:
        raise UphillError(f"{option('ray', address)} needs Ray: pip install 'uphill[ray]'.")
    variables = _QUIET if address == "local" else _QUIET | _FEW_TRIES
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    ray: Any = import_module("ray")  # heavy, and an extra
    is_ours = not ray.is_initialized()
    with log.open("a+") as file, redirect_stdout(file):
        if is_ours:
            _begin(ray, address, file)
        try:
            yield Cluster(ray)
        finally:
            if is_ours:
                ray.shutdown()


@contextmanager
def cluster_of(address: str | None, folder: Path) -> Iterator[None]:
    """Connected to a cluster, if one is asked for, over all that is trained meanwhile. What Ray
    prints stays in the folder if that fails.

    Raises:
        UphillError: as `connected`.
    """
    if address is None:
        yield
        return
    log, is_done = folder / LOG_FILE, False
    try:
        with connected(address, log):
            yield
        is_done = True
    finally:
        if is_done or not (log.exists() and log.stat().st_size):
            log.unlink(missing_ok=True)


@contextmanager
def _errors_to(file: IO[str]) -> Iterator[None]:
    """What is written to stderr, also by what is not Python, goes to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _begin(ray: Any, address: str, log: IO[str]) -> None:
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        given |= {"num_cpus": usable_cores(), "include_dashboard": False}
    else:
        _check_answers(address)
    before = log.tell()
    try:
        with _errors_to(log):
            ray.init(address, **given)
    except (Exception, SystemExit) as error:
        if _WRONG_TOKEN in _new_in(log, before):
            raise UphillError(
                f"The Ray cluster at {address} asks for its token: set RAY_AUTH_MODE=token, with "
                "the token where Ray looks for it (docs/clusters.md)."
            ) from error
        why = str(error).strip().split("\n")[0] or type(error).__name__
        raise UphillError(_no_cluster(address, why)) from error


def _new_in(log: IO[str], before: int) -> str:
    log.flush()
    log.seek(before)
    return log.read()


def _running_here() -> str:
    """The address of the cluster that this machine is part of, where Ray keeps it."""
    if here := os.environ.get("RAY_ADDRESS"):
        return here
    try:
        return (Path(tempfile.gettempdir()) / "ray/ray_current_cluster").read_text().strip()
    except OSError:
        return ""


def _check_answers(address: str) -> None:
    """Raises:
    UphillError: if nobody listens there.
    """
    found = _ADDRESS.fullmatch(_running_here() if address == "auto" else address)
    if found is None and address == "auto":
        return  # Ray knows whether it runs at all
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise UphillError(
            f"ray is {address!r}: use local for this machine alone, auto for the cluster that it "
            "is part of, or the address of one as HOST:PORT."
        )
    try:
        place = (found["host"].strip("[]"), int(found["port"]))
        with socket.create_connection(place, timeout=PATIENCE) as connection:
            is_one = _speaks_grpc(connection)
    except OSError as error:
        why = error.strerror or str(error)
        raise UphillError(_no_cluster(address, why)) from error
    if not is_one:
        raise UphillError(_no_cluster(address, "what listens there is none"))


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether the other side greets like Ray, in HTTP/2; with certificates, this is not known."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True
    settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # a frame that holds none
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
    return connection.recv(len(settings))[3:4] == settings[3:4]


def _no_cluster(address: str, why: str) -> str:
    where = "to join" if address == "auto" else f"at {address}"
    return (
        f"There is no Ray cluster {where} ({why.rstrip('.')}): start one with `ray start --head`, "
        f"or use {option('ray', 'local')}."
    )
