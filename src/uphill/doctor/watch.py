"""A time limit for calls of foreign code."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
_AGAIN = 0.5
"""Seconds between two rings of the alarm."""


class TookTooLong(BaseException):
    """A call did not return in time. Not an `Exception`, since environments catch those."""


class Watch:
    """Interrupts calls that take longer than `seconds`, wherever they wait or compute in Python.
    Uses the process's alarm, so it works only in the main thread and on Unix: elsewhere nothing is
    interrupted. The previous alarm handler is restored.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        is_main = threading.current_thread() is threading.main_thread()
        self._is_able = is_main and hasattr(signal, "setitimer")
        self._handler: Any = None
        self._left, self._since = 0.0, 0.0

    def __enter__(self) -> "Watch":
        if self._is_able:
            self._left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
            self._since = time.monotonic()
            self._handler = signal.signal(signal.SIGALRM, _ring)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_able:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler or signal.SIG_DFL)
        if self._left:
            left = self._left - (time.monotonic() - self._since)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3))

    def call(self, function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """What `function` returns.

        Raises:
            TookTooLong: if that takes too long.
        """
        if not self._is_able:
            return function(*arguments, **keywords)
        # Again and again: what rings inside a destructor, or a callback of C, is not heard.
        signal.setitimer(signal.ITIMER_REAL, self.seconds, _AGAIN)
        try:
            return function(*arguments, **keywords)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TookTooLong
