"""Safe writing in a run directory: only to regular files of the folder, never through a link.

A folder is opened once, and files in it are written, truncated or deleted relative to that
descriptor: even if its path changes meanwhile, nothing else is touched. Where a system has no such
calls (Windows), each name is checked before it is used.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_FLAGS = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
HALF = ".tmp"
"""What ends the name of a file that is not written to its end."""
_MENDS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EROFS: "have its disk writable",
    errno.ENOENT: "see what removes its folder, or changes the current one (then give a path that "
    "begins with /)",
    errno.ENOTDIR: "move the file that has the name of a folder",
    errno.EISDIR: "move the folder that has its name",
    errno.EEXIST: "move what has its name",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "raise the number of files that may be open (ulimit -n)",
    errno.ENFILE: "close some programs, since this machine has too many files open",
    errno.ELOOP: "put what the link leads to in its place, since nothing is written through links",
    errno.EMLINK: "put a copy in its place, since its other names would change with it",
    errno.EINVAL: "put a regular file in its place",
}


def mend_of(error: OSError) -> str:
    """Advice if something could not be written, besides choosing another folder."""
    return _MENDS.get(error.errno or 0, "see to its disk")


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, or one that a link leads to, to be read.

    Raises:
        OSError: if it can't be read, or is a pipe or a device.
    """
    flags = os.O_RDONLY | (_FLAGS & ~getattr(os, "O_NOFOLLOW", 0))
    return _file(os.open(path, flags), path.name, "rb", is_own=False)


def read_regular(path: Path, largest: int) -> bytes:
    """The contents of such a file.

    Raises:
        OSError: if it can't be read, or holds more than `largest` bytes.
    """
    with open_regular(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it holds more than {largest:,} bytes")
    return content


class Folder:
    """A folder that is held open. Its own path may be a link; nothing in it is followed.

    Every method raises an OSError, whose `strerror` says what is wrong, if it can't be done.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path, self._descriptor = path, descriptor
        if _HAS_DESCRIPTORS and descriptor is None:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> "Folder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def inner(self, name: str) -> "Folder":
        """A folder in it, made if it is not there."""
        with suppress(FileExistsError):
            os.mkdir(self._at(name), **self._here)
        self._refuse_link(name)
        if not _HAS_DESCRIPTORS:
            return Folder(self.path / name)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        return Folder(self.path / name, os.open(self._at(name), flags, **self._here))

    def open(self, name: str, mode: str) -> IO[bytes]:
        """A regular file that has no other name: to be read ("rb"), read and changed ("r+b"),
        appended to ("ab") or changed ("w+b"), and made if it is not there, or made anew
        ("xb")."""
        flags = {
            "rb": os.O_RDONLY,
            "r+b": os.O_RDWR,
            "w+b": os.O_RDWR | os.O_CREAT,
            "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT,
            "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        }[mode]
        if mode != "xb":
            self._refuse_link(name)
        descriptor = os.open(self._at(name), flags | _FLAGS, 0o666, **self._here)
        return _file(descriptor, name, {"xb": "wb", "w+b": "r+b"}.get(mode, mode))

    def write(self, name: str, content: bytes, is_durable: bool = True) -> None:
        """Write a file in one step: whatever happens, it holds the old content or the new one."""
        temporary = name + HALF
        self.delete(temporary)  # of a process that was killed
        try:
            with self.open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                if is_durable:
                    os.fsync(file.fileno())
            places = {"src_dir_fd": self._descriptor, "dst_dir_fd": self._descriptor}
            os.replace(self._at(temporary), self._at(name), **places if self._here else {})
        finally:
            with suppress(OSError):
                self.delete(temporary)

    def delete(self, name: str) -> None:
        """Delete a file, or a link and not what it leads to; nothing if there is none."""
        with suppress(FileNotFoundError):
            os.unlink(self._at(name), **self._here)

    def names(self) -> list[str]:
        """The names of all that is in it."""
        return os.listdir(self.path if self._descriptor is None else self._descriptor)

    def stat(self, name: str) -> os.stat_result:
        """What the system says of a file, or of a link itself."""
        return os.stat(self._at(name), follow_symlinks=False, **self._here)

    @property
    def _here(self) -> dict[str, Any]:
        return {} if self._descriptor is None else {"dir_fd": self._descriptor}

    def _at(self, name: str) -> str | Path:
        return self.path / name if self._descriptor is None else name

    def _refuse_link(self, name: str) -> None:
        """For the sentence: the system refuses it, too, in other words."""
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(self.stat(name).st_mode):
                raise OSError(errno.ELOOP, f"{name} is a link")


def _file(descriptor: int, name: str, mode: str, is_own: bool = True) -> IO[bytes]:
    """The open file, if it is a regular one, and (`is_own`) has no other name."""
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, f"{name} is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, f"{name} is not a regular file")
        if is_own and found.st_nlink > 1:
            raise OSError(errno.EMLINK, f"{name} is a hard link")
        return os.fdopen(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
