"""A process that has imported everything and started nothing: its children are commands that begin
at once. `children.py` starts it; it reads jobs from its input, a line of JSON each."""

import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import warnings
from contextlib import ExitStack
from functools import wraps
from typing import Any

IMPORTED = (
    *("uphill.run", "uphill.views.plots", "uphill.views.films", "uphill.views.report.page"),
    *(f"uphill.cli.commands.{x}" for x in ("train", "resume", "evaluate", "record", "report")),
    *("jax.experimental.compilation_cache.compilation_cache", "matplotlib.backends.backend_agg"),
    *("scipy.stats", "safetensors.numpy", "tyro", "rich.live", "operations"),
    "encodings.unicode_escape",  # of Jinja's: another user may not read Python's own files
)


def send_at(target: str, call: int, number: int) -> None:
    """Have a function (`module:name`, with dots) send a signal to its own process when it is called
    for the time of this number, the first of which is 0."""
    module, _, way = target.partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = way.split(".")
    for step in owners:
        owner = getattr(owner, step)
    function, calls = getattr(owner, name), []

    @wraps(function)
    def sending(*arguments: Any, **keywords: Any) -> Any:
        calls.append(name)
        if len(calls) - 1 == call:
            os.kill(os.getpid(), number)
        return function(*arguments, **keywords)

    setattr(owner, name, sending)


def child(job: dict[str, Any]) -> None:
    """The command of a job, as if it had been typed."""
    os.environ.update(job["environ"])
    os.chdir(job["folder"])
    for number, name in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), number)
    faulthandler.enable()
    warnings.resetwarnings()
    # Where tests run in the background, Ctrl-C is ignored, also by what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if (at := job.get("operation")) is not None:
        number = job["number"]
        operations = importlib.import_module("operations").Operations
        # As long as the process lives.
        ExitStack().enter_context(operations(*at, lambda: os.kill(os.getpid(), number)))
    elif "target" in job:
        send_at(*job["target"], job["number"])
    os.environ["XDG_CACHE_HOME"] = job["cache"]
    importlib.import_module("jax").config.update("jax_compilation_cache_dir", None)
    if (user := job.get("user")) is not None:
        os.setgid(user)
        os.setuid(user)
    if (back := job.get("clock_back")) is not None:
        real = time.time
        time.time = lambda: real() - back * (time.monotonic() % 2)  # again and again
    sys.argv = ["uphill", *job["argv"]]
    from uphill.cli import run

    run()


def main() -> None:
    warnings.simplefilter("ignore")  # of JAX, which has no threads yet
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        job = json.loads(line)
        if (pid := os.fork()) == 0:
            child(job)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
