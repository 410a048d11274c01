"""Handles Ctrl-C at a safe moment: what a run has learned and what it has written must agree."""

import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds after which a signal that was ignored may be sent again"""

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after everything was saved. The message says how to go on."""


class Interrupts:
    """Holds back signals to end, except while `allow` runs something that may be interrupted:
    Ctrl-C, SIGTERM, and SIGHUP, which comes when the terminal is closed.

    One that the process was started to ignore (`nohup`) stays ignored. Signals can be handled in
    the main thread only: in another one this does nothing.
    """

    def __init__(self) -> None:
        self._is_allowed, self._has_come = False, False
        self._raised_at = -math.inf
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            with suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)
        if kind is None and self._has_come:
            raise KeyboardInterrupt

    def allow(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function whose work may be thrown away.

        Raises:
            KeyboardInterrupt: on a signal, also one that came before.
        """
        try:
            self._is_allowed = True
            if self._has_come:  # asked after allowing: else one could slip in between
                raise KeyboardInterrupt
            return function(*arguments)
        finally:
            self._is_allowed = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._has_come = True
        # Once, so that a second one does not disturb the shutdown; and again if it is repeated,
        # since an environment may swallow a KeyboardInterrupt.
        now = time.monotonic()
        if self._is_allowed and now - self._raised_at > _PATIENCE:
            self._raised_at = now
            raise KeyboardInterrupt
