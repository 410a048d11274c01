"""Functions that are compiled once; the time that takes is counted apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax


class Programs:
    """Compiled functions by name, and how long the training waited for them.

    `seconds` is all of that time before now, and `waiting_since` when it began to wait for one (by
    `time.monotonic`), or None: other threads may ask for both.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waiting_since: float | None = None
        self._compiled: dict[str, Any] = {}

    def call(self, name: str, function: Any, *arguments: Any) -> Any:
        """What a function returns that is compiled at its first call."""
        if name not in self._compiled:
            with self._waiting():
                self._compiled[name] = jax.jit(function).lower(*arguments).compile()
        return self._compiled[name](*arguments)

    def fast(self, name: str, function: Any, *arguments: Any) -> Any:
        """A compiled function that is called at every step: `jit` finds its program faster than
        Python could."""
        if name not in self._compiled:
            with self._waiting():
                self._compiled[name] = jax.jit(function)
                jax.block_until_ready(self._compiled[name](*arguments))
        return self._compiled[name]

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waiting_since = started = time.monotonic()
        try:
            yield
        finally:
            self.waiting_since = None
            self.seconds += time.monotonic() - started
