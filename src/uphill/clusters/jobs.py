"""Jobs: work on a folder, done by a separate process on any node with room for it.

A job does the same work as on one machine. While it runs, the contents of its folder are sent home,
so that another attempt can continue from there; at the end all of it is sent. Each attempt has its
own folder, so an attempt on a node that was given up does no harm by writing on.
"""

import socket
import threading
import warnings
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cloudpickle

from uphill.clusters.parcels import packed, unpack_parcel
from uphill.errors import UphillError
from uphill.runs.experiment import installed_versions
from uphill.runs.machine import differences

Work = Callable[[Path], None]
SHORTEST = 1.0
"""Seconds between two parcels, at least."""


@dataclass(frozen=True)
class Job:
    """What one task does."""

    name: str
    """what people call it: "seeds 0 to 3"; no two have the same"""
    file: str
    """what its parcel is called, at home"""
    work: Work


@dataclass(frozen=True)
class JobAttempt:
    """One attempt at a job, as it is sent."""

    name: str
    number: int
    work: bytes
    """pickled, since it may need what only a node with our version has"""
    parcel: bytes | None
    """what the folder held when the last attempt was heard of"""
    versions: Mapping[str, str]
    """of home"""
    every: float
    """seconds between two parcels"""


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attempt that was not killed."""

    parcel: bytes | None = None
    fault: str = ""
    """an error that a person can fix"""
    was_cut_off: bool = False
    """whether it was made to end before its work was done"""


def attempted(attempt: JobAttempt, post: Any) -> Outcome:
    """Do the work, in the process of a task."""
    host = socket.gethostname()
    if differ := differences(attempt.versions, installed_versions()):
        return Outcome(
            fault=f"the node {host} has {differ}: install the same versions on all nodes."
        )
    fault, was_cut_off = "", False
    with TemporaryDirectory(prefix="uphill-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        try:
            if attempt.parcel is not None:
                unpack_parcel(attempt.parcel, folder)
            work = cloudpickle.loads(attempt.work)
            with _told(attempt, post, host), _sent(attempt, post, folder), _ended_by(post):
                work(folder)
        except KeyboardInterrupt:
            was_cut_off = True  # by home, or by its node: what there is is sent
        except UphillError as error:
            fault = str(error)
        return Outcome(packed(folder), fault, was_cut_off)


@contextmanager
def _ended_by(post: Any) -> Iterator[None]:
    """Interrupted when home says so; Ray's own way to cancel a task can end the process at home."""
    is_done = threading.Event()

    def end(said: Any) -> None:
        if said.exception() is None and not is_done.is_set():  # and home is not lost
            interrupt_main()

    # A future, since Ray gives away the processor of a task that waits for a result.
    post.over.remote().future().add_done_callback(end)
    try:
        yield
    finally:
        is_done.set()


class _Lines:
    """A stream whose lines are sent home."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._open = say, ""

    def write(self, text: str) -> int:
        *lines, self._open = (self._open + text).split("\n")
        for line in filter(str.strip, lines):
            self._say(line)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return 2


@contextmanager
def _told(attempt: JobAttempt, post: Any, host: str) -> Iterator[None]:
    """Messages are sent home, with the node's name."""

    def say(line: str) -> None:
        post.tell.remote(attempt.name, attempt.number, f"{host} · {line}")

    say("begins")
    with warnings.catch_warnings(), redirect_stderr(_Lines(say)):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _sent(attempt: JobAttempt, post: Any, folder: Path) -> Iterator[None]:
    """Sends the folder home at a fixed interval in seconds."""
    is_over = threading.Event()

    def send() -> None:
        last = None
        while not is_over.wait(max(attempt.every, SHORTEST)):
            try:
                parcel = packed(folder)
            except (UphillError, OSError):
                continue  # the next one will do
            if parcel != last:
                post.keep.remote(attempt.name, attempt.number, parcel)
                last = parcel

    thread = threading.Thread(target=send, name="uphill-parcels", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
