"""Functions that are compiled once, side by side where several are needed; the time that training
waits for that is counted apart."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")

QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Options of XLA for what runs seldom: a fifth of the compilation, of programs that take several
times as long."""


class Programs:
    """Compiled functions by name, and how long the training waited for them.

    `seconds` is all of that time before now, and `waiting_since` when it began to wait for one (by
    `time.monotonic`), or None: other threads may ask for both.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waiting_since: float | None = None
        self._compiled: dict[str, Any] = {}
        self._begun: dict[str, Future[Any]] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="uphill-compiler")

    def __contains__(self, name: str) -> bool:
        return name in self._compiled or name in self._begun

    def begin(self, name: str, function: Any, *arguments: Any, is_quick: bool = False) -> Any:
        """Have a thread compile a function for arguments of these shapes; the shapes of what it
        returns."""
        with self._waiting():
            return self._begin(name, function, arguments, is_quick)

    def call(self, name: str, function: Any, *arguments: Any, is_quick: bool = False) -> Any:
        """What a function returns that is compiled at its first call, if nobody has begun it."""
        if name not in self._compiled:
            with self._waiting():
                if name not in self._begun:
                    self._begin(name, function, arguments, is_quick)
                self._compiled[name] = self._begun.pop(name).result()
        program = self._compiled[name]
        if len(jax.devices()) > 1:  # begun for shapes, it could not know where its arguments are
            arguments = jax.device_put(arguments, program.input_shardings[0])
        return program(*arguments)

    def fast(self, name: str, function: Any, *arguments: Any) -> Any:
        """A compiled function that is called at every step: `jit` finds its program faster than
        Python could."""
        if name not in self._compiled:
            with self._waiting():
                self._compiled[name] = jax.jit(function)
                jax.block_until_ready(self._compiled[name](*arguments))
        return self._compiled[name]

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, name: str, function: Any, arguments: Any, is_quick: bool) -> Any:
        lowered = jax.jit(function).lower(*arguments)
        self._begun[name] = self._threads.submit(compiled, lowered, is_quick)
        return lowered.out_info

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waiting_since = started = time.monotonic()
        try:
            yield
        finally:
            self.waiting_since = None
            self.seconds += time.monotonic() - started


def quickly(function: Callable[P, T], static_argnums: tuple[int, ...] = ()) -> Callable[P, T]:
    """`jax.jit` of a function that runs seldom: `compiled`, for whatever it is called with."""
    plain = jax.jit(function, static_argnums=static_argnums)
    quick = jax.jit(function, static_argnums=static_argnums, compiler_options=QUICK)

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> T:
        if jax.default_backend() != "cpu":
            return plain(*arguments, **keywords)
        try:
            return quick(*arguments, **keywords)
        except jax.errors.JaxRuntimeError:  # another version of XLA, which lacks one of them
            return plain(*arguments, **keywords)

    return call


def compiled(lowered: jax.stages.Lowered, is_quick: bool) -> jax.stages.Compiled:
    """The program; on CPUs with `QUICK` options, if it is to be had quickly."""
    if not is_quick or jax.default_backend() != "cpu":
        return lowered.compile()
    try:
        return lowered.compile(compiler_options=QUICK)
    except jax.errors.JaxRuntimeError:  # another version of XLA, which lacks one of them
        return lowered.compile()
