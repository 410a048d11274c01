"""Python environments in separate processes: Gymnasium's `AsyncVectorEnv`, with a clean end.

Workers may hang, crash or be killed: then an error names the worker, and all are closed. Ctrl-C in
the terminal reaches only this process, which decides what to do. Workers never outlive this
process, however it ends.
"""

import faulthandler
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import connection, reduction, resource_tracker
from typing import Any, TypeVar, cast

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from uphill.envs.backends.checks import Checked, failure, is_theirs
from uphill.errors import UphillError
from uphill.words import option

T = TypeVar("T")

_LOOK = 1.0
"""Seconds between two checks whether the awaited processes are still alive."""
_GRACE = 3.0
"""Seconds that workers get to close their environments; those that are left are killed."""
_SETTLED = 10.0
"""Seconds within which a process whose pipe was closed must have ended, if that is the reason."""
_TOLD = 1.0
"""Seconds that a process has to say where it is, or a signal to all of a group to come here, too"""
_MOST_FRAMES = 20
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
_MOST_SAID = 100_000  # bytes
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")


class Processes(AsyncVectorEnv):
    """`num_envs` environments, each in a separate process, started by spawn: a fork would copy
    JAX's threads in a broken state. `step_timeout` is the time limit in seconds for a step or a
    reset.

    Raises:
        UphillError: with a predicate as its message, if a process is lost, does not answer in time,
        or can't make its environment. All are closed then.
    """

    def __init__(
        self, factory: Callable[[], Any], num_envs: int, step_timeout: float | None = None
    ) -> None:
        self.step_timeout = step_timeout
        self._is_resetting: np.ndarray | None = None
        self._makers = [_Maker(factory) for _ in range(num_envs)]
        self._makers[0].seen = self._makers[0]()
        resource_tracker.ensure_running()  # which would let interrupts through again, later
        self._mask = _hold_interrupts()
        try:
            super().__init__(self._makers, copy=False, context="spawn", worker=_work)
        except BaseException as error:
            unmade = self._unmade() if isinstance(error, EOFError | ConnectionError) else None
            for process in self._started():
                process.kill()
            self._end()
            traceback.clear_frames(error.__traceback__)  # which hold semaphores
            if unmade is not None:
                raise unmade from error
            raise
        finally:
            _let_interrupts(self._mask)

    def _check_spaces(self) -> None:
        _let_interrupts(self._mask)  # all are started; what they import takes them a while
        super()._check_spaces()

    def reset(self, **keywords: Any) -> Any:
        self._is_resetting = np.ones(self.num_envs, bool)
        result = self._answer(partial(super().reset, **keywords))
        self._is_resetting = np.zeros(self.num_envs, bool)
        return result

    def step(self, actions: Any) -> Any:
        result = self._answer(partial(super().step, actions))
        self._is_resetting = result[2] | result[3]  # the next step resets them
        return result

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close the environments; a process that has not ended within seconds is killed."""
        if self._state is not AsyncState.DEFAULT or terminate:
            self._hang_up()  # they end after their step
        for pipe in self._open_pipes():
            with suppress(OSError):
                pipe.send(("close", None))
        self._end()

    def _answer(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (EOFError, ConnectionError) as error:
            lost = self._lost()
            self.close(terminate=True)
            raise lost from error

    def _poll_pipe_envs(self, timeout: float | None = None) -> bool:
        """Wait for all answers. Only time spent waiting counts, not time in which this process was
        stopped (Ctrl-Z)."""
        self._assert_is_running()
        left = np.inf if self.step_timeout is None else self.step_timeout
        waiting = dict(enumerate(self.parent_pipes))
        while waiting:
            started, most = time.monotonic(), max(min(left, _LOOK), 0)
            ready = connection.wait([*waiting.values()], most)
            waiting = {k: pipe for k, pipe in waiting.items() if pipe not in ready}
            if ready:
                left -= min(time.monotonic() - started, most)
                continue
            left -= most
            if any(self.processes[k].exitcode is not None for k in waiting):
                raise EOFError  # its pipe is still open: it left processes behind that have it
            if left <= 0:
                late = self._late([*waiting])
                for k in waiting:
                    self.processes[k].kill()
                self.close(terminate=True)
                raise late
        return True

    def _late(self, waiting: list[int]) -> UphillError:
        first, seconds = waiting[0], self.step_timeout
        more = f", nor did {len(waiting) - 1} more" if len(waiting) > 1 else ""
        return UphillError(
            f"did not return from {self._doing(first)} within {seconds:g} s in "
            f"{self._named(first)}{more}: fix what it waits for, or use a larger "
            f"{option('step_timeout')}." + self._makers[first].place(self.processes[first].pid)
        )

    def _ended(self) -> list[int]:
        """The processes that have ended, a moment after a pipe was closed."""
        until = time.monotonic() + _SETTLED
        while True:
            ended = [k for k, process in enumerate(self.processes) if process.exitcode is not None]
            if ended or time.monotonic() > until:
                return ended
            time.sleep(0.01)  # the system closes what a process has open before that has ended

    def _lost(self) -> UphillError:
        """What became of the first process that ended.

        Raises:
            KeyboardInterrupt: if a signal to end is for this process, too.
        """
        ended = self._ended()
        if not ended:
            return UphillError(
                "closed the pipe to one of its environments' processes: make it close only what it "
                "has opened."
            )
        first = ended[0]
        code, what = self.processes[first].exitcode, self._doing(first)
        assert code is not None
        if -code in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
            time.sleep(_TOLD)  # one to all of a group comes here, too, and says more
        more = f", and {len(ended) - 1} more" if len(ended) > 1 else ""
        return UphillError(
            f"lost {self._named(first)}{more}: it {_ending(code, what)}."
            + self._makers[first].place()
        )

    def _doing(self, index: int) -> str:
        if self._is_resetting is None:
            return "making it"
        return "reset" if self._is_resetting[index] else "step"

    def _named(self, index: int) -> str:
        return f"environment {index} of {self.num_envs} (process {self.processes[index].pid})"

    def _unmade(self) -> UphillError | None:
        """Why an environment could not be made there, if its process reported a reason."""
        started = self._started()
        connection.wait([process.sentinel for process in started], _LOOK)
        if any((process.exitcode or 0) < 0 for process in started):
            return self._lost()
        said = next(filter(None, (maker.said() for maker in self._makers)), None)
        apart = f"could not be made in a separate process: it {said}"
        return None if said is None else UphillError(apart)

    def _started(self) -> list[Any]:
        return [p for p in getattr(self, "processes", ()) if p.pid is not None]

    def _open_pipes(self) -> list[connection.Connection]:
        pipes = getattr(self, "parent_pipes", ())
        return [pipe for pipe in pipes if pipe is not None and not pipe.closed]

    def _hang_up(self) -> None:
        for pipe in self._open_pipes():
            pipe.close()

    def _end(self) -> None:
        """Wait for the processes, and kill what stays."""
        until = time.monotonic() + _GRACE
        for process in self._started():
            process.join(max(until - time.monotonic(), 0))
        for process in self._started():
            if process.is_alive():
                process.kill()
                process.join(_LOOK)
        self._hang_up()
        if hasattr(self, "error_queue"):
            self.error_queue.close()
            del self.error_queue  # its semaphores, too
        for maker in self._makers:
            maker.close()


class _Maker:
    """Makes an environment: here `seen`, which Gymnasium asks for its spaces; there a new one.

    Its file is where that process writes what ended it; None where there can be none.
    """

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory
        self.seen: gymnasium.Env | None = None
        self._file: Any = None
        if hasattr(faulthandler, "register"):  # else, on Windows, none can be asked where it is
            with suppress(OSError):
                self._file = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115

    def __call__(self) -> gymnasium.Env:
        return self.seen or Checked(self._factory())

    def __getstate__(self) -> dict[str, Any]:
        there = None if self._file is None else reduction.DupFd(self._file.fileno())
        return {"_factory": self._factory, "_file": there, "seen": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["_file"] is not None:
            state["_file"] = os.fdopen(state["_file"].detach(), "a+b", buffering=0)
        vars(self).update(state)

    def say_where(self) -> None:
        """Have this process write where it is if it crashes, or when it is asked."""
        if self._file is not None:
            faulthandler.enable(self._file, all_threads=False)
            faulthandler.register(signal.SIGUSR1, self._file, all_threads=False)

    def say(self, text: str) -> None:
        """Write it for the other process to read, or where everybody does."""
        if self._file is None:
            print(text, file=sys.stderr)
        else:
            self._file.write(text.encode(errors="replace"))

    def said(self) -> str:
        """All that was written there."""
        return "" if self._file is None else self._read(0)

    def place(self, pid: int | None = None) -> str:
        """Where in its own code that process was when it crashed, or is if it is asked by its
        number, as lines below a sentence."""
        if self._file is None:
            return ""
        start = 0
        if pid is not None:
            start, until = self._size(), time.monotonic() + _TOLD
            os.kill(pid, signal.SIGUSR1)
            while self._size() == start and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.01)  # for the rest of it
        frames = _FRAME.findall(self._read(start))
        own = [frame for frame in frames if is_theirs(frame[0])][:_MOST_FRAMES]
        lines = [f'  File "{file}", line {line}, in {name}' for file, line, name in reversed(own)]
        return "\n".join([" Where that was follows.", *lines]) if lines else ""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _read(self, start: int) -> str:
        return os.pread(self._file.fileno(), _MOST_SAID, start).decode(errors="replace")


def _work(index: int, wrapped: Any, *arguments: Any) -> None:
    """What a worker does: Gymnasium's own loop, until it is asked to end or the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    maker = cast(_Maker, wrapped.fn)
    maker.say_where()
    try:
        env = maker()
    except (Exception, SystemExit) as error:
        maker.say(str(failure("making it", error)))
        os._exit(1)
    try:
        _async_worker(index, lambda: env, *arguments)
    except (EOFError, ConnectionError):  # it is over, there
        os._exit(0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _hold_interrupts() -> Any:
    """Processes that are started from now on never see Ctrl-C; what comes here is not lost: it
    waits. Returns what `_let_interrupts` needs."""
    if hasattr(signal, "pthread_sigmask"):
        return signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    return None


def _let_interrupts(before: Any) -> None:
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ending(code: int, what: str) -> str:
    """How a process ended, and how to fix it."""
    if code >= 0:
        return (
            f"ended itself in {what} with status {code} (os._exit?): raise an error there instead, "
            "or end the episode"
        )
    name, said = signal.Signals(-code).name, signal.strsignal(-code)
    if name in _CRASHES:
        return f"crashed in {what} ({name}: {said}): fix the environment, or what it calls"
    if name == "SIGKILL":
        return (
            f"was killed in {what} ({name}: by hand, or since memory ran out): free some memory, "
            f"or use fewer {option('envs')}"
        )
    return f"was ended in {what} from outside ({name}: {said}): see who does that"
