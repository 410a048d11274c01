"""What a run directory is written through (`runs/folder.py`), one operation of the system at a
time: at any of them something may go wrong."""

import io
import os
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from uphill.runs import folder

WRITING = os.O_WRONLY | os.O_RDWR


class Operations:
    """The calls of `os` that `runs/folder.py` makes, where they change something: each is a text
    such as "replace latest.json". Those that match `like` are counted; before that of number `at`,
    or after half of what it should write, `happen` is called."""

    def __init__(
        self, like: str = "", at: int | None = None, happen: Callable[[], None] = lambda: None
    ) -> None:
        self.like, self.at, self.happen = re.compile(like), at, happen
        self.done: list[str] = []
        self._opened = ""
        self._installed = patch.object(folder, "os", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def __enter__(self) -> "Operations":
        self._installed.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._installed.stop()

    def come(self, what: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        if not self.like.match(what):
            return
        self.done.append(what)
        if len(self.done) - 1 == self.at:
            meanwhile()
            self.happen()

    def open(self, path: Any, flags: int, *rest: Any, **keywords: Any) -> int:
        if flags & WRITING:
            self._opened = os.path.basename(path)
            self.come(f"open {self._opened}")
        return os.open(path, flags, *rest, **keywords)

    def fdopen(self, descriptor: int, mode: str) -> "Written | io.FileIO":
        return (
            io.FileIO(descriptor, mode)
            if mode == "rb"
            else Written(descriptor, mode, self, self._opened)
        )

    def mkdir(self, path: Any, *rest: Any, **keywords: Any) -> None:
        self.come(f"mkdir {os.path.basename(path)}")
        os.mkdir(path, *rest, **keywords)

    def replace(self, old: Any, new: Any, **keywords: Any) -> None:
        self.come(f"replace {os.path.basename(new)}")
        os.replace(old, new, **keywords)

    def unlink(self, path: Any, **keywords: Any) -> None:
        self.come(f"unlink {os.path.basename(path)}")
        os.unlink(path, **keywords)

    def fsync(self, descriptor: int) -> None:
        self.come(f"fsync {self._opened}")
        os.fsync(descriptor)


class Written(io.FileIO):
    """A file that is written at once, and may be written by half."""

    def __init__(self, descriptor: int, mode: str, operations: Operations, called: str) -> None:
        super().__init__(descriptor, mode)
        self._operations, self._called = operations, called

    def write(self, content: Any) -> int:
        content = bytes(content)
        half = content[: len(content) // 2]
        self._operations.come(f"write {self._called}", lambda: super(Written, self).write(half))
        return super().write(content)
