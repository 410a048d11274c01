"""Functions that are compiled once; the time that takes is counted apart."""

import time
from typing import Any

import jax


class Programs:
    """Compiled functions by name, and the seconds that compiling them took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._compiled: dict[str, Any] = {}

    def call(self, name: str, function: Any, *arguments: Any) -> Any:
        """What a function returns that is compiled at its first call."""
        if name not in self._compiled:
            start = time.perf_counter()
            self._compiled[name] = jax.jit(function).lower(*arguments).compile()
            self.seconds += time.perf_counter() - start
        return self._compiled[name](*arguments)

    def fast(self, name: str, function: Any, *arguments: Any) -> Any:
        """A compiled function that is called at every step: `jit` finds its program faster than
        Python could."""
        if name not in self._compiled:
            start = time.perf_counter()
            self._compiled[name] = jax.jit(function)
            jax.block_until_ready(self._compiled[name](*arguments))
            self.seconds += time.perf_counter() - start
        return self._compiled[name]
