"""Functions that are compiled once, in parallel where several are needed. The time that training
waits for compilation is counted separately."""

import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from uphill.training import traces
from uphill.training.traces import Trace, traced

P = ParamSpec("P")
T = TypeVar("T")

QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Options of XLA for what runs seldom: a fifth of the compilation, of programs that take several
times as long."""


@dataclass(frozen=True)
class Built:
    """A function by how it is built: `make(*about)`. Trainings that are alike share its program."""

    make: Callable[..., Callable[..., Any]]
    about: tuple[Hashable, ...]

    def __call__(self) -> Callable[..., Any]:
        return self.make(*self.about)


class Programs:
    """Compiled functions by name, and how long the training waited for them.

    What is `Built` is compiled once for all that have an equal `like` (all that it depends on,
    beside its arguments and what it is built of), so that the next training in a process starts at
    once; None shares nothing.

    `seconds` is all of that time before now, and `waiting_since` when it began to wait for one (by
    `time.monotonic`), or None: other threads may ask for both.
    """

    def __init__(self, like: Hashable | None = None) -> None:
        self._like = like
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
        """The result of a function, which is compiled at its first call unless that was begun
        before."""
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
                self._compiled[name] = self._jitted(function, is_quick=False)
                jax.block_until_ready(self._compiled[name](*arguments))
        return self._compiled[name]

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, name: str, function: Any, arguments: Any, is_quick: bool) -> Any:
        if isinstance(function, Built):
            shapes, rest = begun(function, is_quick, self._like, *arguments)
        else:
            shapes, rest = _lowered(jitted(function, is_quick), arguments)
        self._begun[name] = self._threads.submit(rest)
        return shapes

    def _jitted(self, function: Any, is_quick: bool) -> jax.stages.Wrapped:
        if not isinstance(function, Built):
            return jitted(function, is_quick)
        return built(function, is_quick, self._like)

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


def jitted(function: Callable[..., Any], is_quick: bool) -> jax.stages.Wrapped:
    """`jax.jit` of a function; on CPUs with `QUICK` options, if it is to be had quickly."""
    options = QUICK if is_quick and jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=options)


def begun(
    function: Built, is_quick: bool, like: Hashable | None, *arguments: Any
) -> tuple[Any, Callable[[], Any]]:
    """The shapes of what a function returns for such arguments, and what compiles its program."""
    trace = None if like is None else traced(function.make, function.about, arguments)
    if trace is None:
        return _lowered(built(function, is_quick, like), arguments)
    _, rest = _lowered(_of_trace(trace, is_quick), tuple(jax.tree.leaves(arguments)))
    return trace.out_info, lambda: trace.on_trees(rest())


def _lowered(function: Any, arguments: tuple) -> tuple[Any, Callable[[], Any]]:
    lowered = function.lower(*arguments)
    return lowered.out_info, lambda: compiled(lowered, function, *arguments)


def built(function: Built, is_quick: bool, like: Hashable | None) -> jax.stages.Wrapped:
    """The same function for all that have an equal `like`, but for None: JAX then knows what it
    has traced and compiled."""
    return jitted(function(), is_quick) if like is None else _kept(function, is_quick, like)


@lru_cache(maxsize=12)  # of the last six trainings: their programs take some 40 MB each
def _kept(function: Built, is_quick: bool, like: Hashable) -> jax.stages.Wrapped:
    return jitted(function(), is_quick)


@lru_cache(maxsize=12)
def _of_trace(trace: Trace, is_quick: bool) -> jax.stages.Wrapped:
    return jitted(trace.exported.call, is_quick)


def forget() -> None:
    """Share nothing with what was built before."""
    _kept.cache_clear()
    _of_trace.cache_clear()
    traces.forget()


def compiled(lowered: jax.stages.Lowered, function: Any, *arguments: Any) -> jax.stages.Compiled:
    """The program of a jitted function that was lowered for these arguments."""
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError:  # another version of XLA, which lacks one of the options
        return jax.jit(function.__wrapped__).lower(*arguments).compile()


def is_ours(part: Any) -> bool:
    """Whether what it computes is known by its types and fields, since all of them are Uphill's or
    Equinox's; a user's own class may read what changes between two trainings."""
    if isinstance(part, tuple | list):
        return all(map(is_ours, part))
    if is_dataclass(part) and not isinstance(part, type):
        is_known = type(part).__module__.partition(".")[0] in ("uphill", "equinox")
        return is_known and all(is_ours(getattr(part, field.name)) for field in fields(part))
    return part is None or isinstance(part, str | int | float | np.generic | np.ndarray | jax.Array)
