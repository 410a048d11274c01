"""The lock of a run directory: one process at a time trains in it.

It is the system's lock (`flock`) on the file `lock`, so it ends with its process, however that
ended: a file that stays behind locks nothing. Over NFS it is as reliable as the server's locks.
Where a system has no locks, nobody is refused.
"""

import errno
import json
import os
import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from uphill.errors import UphillError
from uphill.runs.experiment import check_is_run
from uphill.runs.files import not_written
from uphill.runs.folder import Folder
from uphill.runs.half_written import delete_half_written, has_half_written

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK_FILE = "lock"
_TAKEN = (errno.EAGAIN, errno.EACCES)
_MOST = 1000  # bytes that name a process


class RunLock:
    """Held while a process trains in a run directory, or (`is_new`) in a folder that will be one.
    What one that was killed left half-written there is deleted.

    Raises:
        UphillError: on entering, if another process holds it, whom it names; or `run` is no run
            directory, or can't be written.
    """

    def __init__(self, run: Path, is_new: bool = False) -> None:
        self._run, self._is_new = run, is_new
        self._file: IO[bytes] | None = None

    def __enter__(self) -> None:
        if not self._is_new:
            check_is_run(self._run)
        try:
            while self._file is None:
                with Folder(self._run) as folder:
                    self._file = self._locked(folder)
        except OSError as error:
            raise not_written(self._run / LOCK_FILE, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        # Deleted while it is held: whoever opened it meanwhile finds that it is not the one here.
        with suppress(OSError), Folder(self._run) as folder:
            if _is_there(self._file, folder):
                folder.delete(LOCK_FILE)
        self._file.close()
        self._file = None

    def _locked(self, folder: Folder) -> IO[bytes] | None:
        """The file, locked; None if it was deleted meanwhile."""
        with ExitStack() as stack:
            file = stack.enter_context(folder.open(LOCK_FILE, "w+b"))
            self._lock(file)
            if not _is_there(file, folder):
                return None
            me = {"process": os.getpid(), "host": socket.gethostname()}
            file.truncate(0)
            file.write(json.dumps(me).encode())
            file.flush()
            with suppress(OSError):  # training will report whatever is wrong there
                delete_half_written(folder)
            stack.pop_all()  # it stays open
            return file

    def _lock(self, file: IO[bytes]) -> None:
        """Raises:
        UphillError: if another process has locked it.
        """
        if fcntl is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise UphillError(
                    f"{self._run} is being trained by {_holder(file)}: wait until that ends, or "
                    "stop it with Ctrl-C there."
                ) from error


def is_held(folder: Path) -> bool:
    """Whether a process trains there now; or nothing can be written there."""
    try:
        with RunLock(folder, is_new=True):
            return False
    except UphillError:
        return True


def tidy(run: Path) -> None:
    """Delete what a process that was killed left half-written, unless one trains there now."""
    with suppress(OSError, UphillError):
        with Folder(run) as folder:
            is_tidy = not has_half_written(folder)
        if not is_tidy:
            with RunLock(run):
                pass


def _is_there(file: IO[bytes], folder: Folder) -> bool:
    """Whether it is still the file of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), folder.stat(LOCK_FILE))
    except FileNotFoundError:
        return False


def _holder(file: IO[bytes]) -> str:
    """The process that wrote the file, in words."""
    try:
        found = json.loads(file.read(_MOST))
        process, host = int(found["process"]), str(found["host"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"
    return f"process {process} on {re.sub('[^A-Za-z0-9_.-]', '?', host)[:253]}"
