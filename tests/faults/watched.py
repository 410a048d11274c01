"""What a call costs and touches: the most memory that it holds, the bytes that it reads, the paths
that it writes, and whether it starts anything."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memory import STATUS, held

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
STARTING = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
)
CHANGING = {"os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.symlink": 2, "os.rmdir": 1}


@dataclass
class Watched:
    """Filled while the call runs."""

    memory: int = 0
    """bytes, over those that were held when it began"""
    read: int = 0
    """bytes"""
    written: set[str] = field(default_factory=set)
    """absolute paths; what is named relative to a folder's descriptor is not there"""
    started: list[str] = field(default_factory=list)


_now: Watched | None = None
_is_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _now is None:
        return
    if event == "open":
        path, _, flags = arguments
        if flags and flags & WRITING and isinstance(path, str | os.PathLike):
            _write(path)
    elif event in STARTING:
        _now.started.append(event)
    elif event in CHANGING:
        for path in arguments[: CHANGING[event]]:
            _write(path)


def _write(path: Any) -> None:
    assert _now is not None
    if isinstance(path, str | os.PathLike) and os.path.isabs(path):
        _now.written.add(os.fspath(path))


@contextmanager
def watched() -> Iterator[Watched]:
    """Watch what this process does meanwhile."""
    global _now, _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hook)  # for good: it can't be taken away
        _is_hooked = True
    found, before, read = Watched(), _settled(), _bytes_read()
    _now = found
    try:
        yield found
    finally:
        _now = None
        found.memory = max(0, held("VmHWM") - before)
        found.read = _bytes_read() - read


def _settled() -> int:
    """What is held now, from which on the most is counted."""
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")
    return held("VmRSS")


def _bytes_read() -> int:
    if not STATUS.exists():
        return 0
    found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    assert found is not None
    return int(found[1])
