"""Captures what an environment prints while it is examined, apart from our own output."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Capture:
    """A file in place of stdout and stderr, and the way to the person who waits."""

    file: IO[str]
    say: Callable[[str], None]

    def lines(self) -> list[str]:
        """All that was printed up to now."""
        self.file.flush()
        with open(self.file.name, errors="replace") as file:
            return file.read().splitlines()


@contextmanager
def captured(is_quiet: bool) -> Iterator[Capture]:
    """Python's output and that of C, in a temporary file; `say` still reaches stderr."""
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", buffering=1, errors="replace"))
        to_person = _stream_beside(sys.stderr, stack)
        for descriptor in (1, 2):
            _redirect(descriptor, file.fileno(), stack)
        stack.enter_context(redirect_stdout(file))
        stack.enter_context(redirect_stderr(file))

        def say(text: str) -> None:
            if not is_quiet:
                print(text, file=to_person, flush=True)

        yield Capture(file, say)


def _stream_beside(stream: Any, stack: ExitStack) -> Any:
    """A stream to where `stream` leads now, whatever becomes of its file descriptor."""
    try:
        copy = os.dup(stream.fileno())
    except (AttributeError, OSError):  # a notebook's, which has none
        return stream
    return stack.enter_context(os.fdopen(copy, "w"))


def _redirect(descriptor: int, to: int, stack: ExitStack) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.flush()
    try:
        kept = os.dup(descriptor)
    except OSError:  # closed: nothing can be printed there
        return
    os.dup2(to, descriptor)

    def restore() -> None:
        os.dup2(kept, descriptor)
        os.close(kept)

    stack.callback(restore)
