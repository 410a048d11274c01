"""The entry point: which command was typed, and the exit status of the process."""

import atexit
import gc
import io
import os
import re
import signal
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from threading import Timer, main_thread
from types import FrameType
from typing import Any, NoReturn

from uphill.cli.errors import WrongCommandLine
from uphill.cli.surroundings import sentence_of
from uphill.errors import UphillError
from uphill.words import for_terminal, typed

OVERVIEW = """\
Uphill trains policies by gradient ascent on expected return.

  uphill train ENV        train, evaluate, draw: try `uphill train CartPole-v1`
  uphill sweep ENV        train a grid of settings over seeds, and compare them
  uphill tune ENV         search for settings, confirmed on fresh seeds
  uphill sensitivity ENV… how much an algorithm depends on tuning
  uphill resume RUN       go on with a run; --steps N extends it
  uphill evaluate RUN     evaluate a run again: its final policies, or its best
  uphill record RUN       a film of the policy; --milestones: of how it learned
  uphill plot RUN …       draw learning curves; of several runs a comparison
  uphill compare RUN RUN  which is better; --until-decided trains more seeds
  uphill doctor ENV       why an agent may not learn there, and how to fix it
  uphill report RUN …     a web page that shows a run, or compares several
  uphill watch [FOLDER]   runs and their reports in a browser, while they train
  uphill envs [PATTERN]   environments, and the backend that runs each
  uphill algos            algorithms, and the parts they are made of
  uphill variance ENV     how noisy and how biased each gradient estimator is
  uphill reproduce [NAME] what five tutorials claim, measured, and our presets

ENV is an environment's ID, RUN the directory that a training wrote.

`uphill COMMAND --help` shows a command's arguments, and
`uphill train ENV --algo ALGO --help` every setting of that algorithm.
"""

COMMANDS = tuple(re.findall(r"^  uphill (\w+)", OVERVIEW, re.MULTILINE))
"""Each is a module of `uphill.cli.commands`, which is imported when it is called for."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
_IMPORTING = "<frozen importlib._bootstrap>"
"""The file of Python's functions that import."""


def run() -> NoReturn:
    """Run the command that was typed, and end the process with its exit status."""
    if sys.stdout is None:  # closed before it began
        sys.stdout = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an encoding without “−” shows “?”
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt_or_leave)
    sys.exit(main(is_alone=True))


def main(argv: list[str] | None = None, is_alone: bool = False) -> int:
    """Run one command; the exit status. A user's mistake becomes one sentence, never a traceback. A
    process that does nothing else (`is_alone`) exits at once when it is interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(OVERVIEW, end="")
        return 0
    if argv[0] == "--version":
        from uphill import __version__

        print(f"uphill {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        return _no_such_command(argv[0])
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    _collect_less_garbage()
    sys.unraisablehook = _hear_interrupts
    try:
        with typed():
            import_module(f"uphill.cli.commands.{argv[0]}").command(argv[1:])
        sys.stdout.flush()
    except UphillError as error:
        _say(f"uphill: {error}")
        return 2 if isinstance(error, WrongCommandLine) else 1
    except KeyboardInterrupt as interrupt:
        _say_interrupted(str(interrupt))
        if is_alone:
            # All is saved. A regular exit, or releasing compiled programs, could crash: JAX may
            # still be compiling in its threads.
            _leave()
        return INTERRUPTED
    except BrokenPipeError:  # `uphill envs | head`: its reader is gone, and Python's flush at exit
        _stop_printing()  # must not complain either
        return 1
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        if (said := sentence_of(error)) is None:
            raise
        _stop_printing()
        _say(f"uphill: {said}")
        return 1
    return 0


def _stop_printing() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say_interrupted(advice: str = "") -> None:
    with suppress(OSError):  # a terminal that was closed
        print(f"\n{advice or 'Interrupted.'}", file=sys.stderr, flush=True)


def _leave() -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(INTERRUPTED)


def _interrupt_or_leave(_: int, frame: FrameType | None) -> None:
    """On Ctrl-C raise KeyboardInterrupt; in the midst of an import leave at once. Extensions that
    are being loaded would turn the exception into another one, or crash, and have begun nothing."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            _say_interrupted()
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _hear_interrupts(unraisable: Any) -> None:
    """Repeat a Ctrl-C that came during garbage collection, or in any other call whose exceptions
    are discarded, once that is over."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        again = Timer(0.02, _interrupt)
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt() -> None:
    if sys.platform == "win32":  # which has no threads that signals go to
        signal.raise_signal(signal.SIGINT)
    else:
        ident = main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGINT)


def _no_such_command(word: str) -> int:
    from difflib import get_close_matches  # imported only for mistakes, since it takes time

    close = get_close_matches(word, COMMANDS, 1)
    mend = f"did you mean {close[0]}?" if close else f"use one of {', '.join(COMMANDS)}."
    _say(f"uphill: There is no command {word!r}: {mend}")
    return 2


def _say(sentence: str) -> None:
    print(for_terminal(sentence, sys.stderr), file=sys.stderr)


def _collect_less_garbage() -> None:
    """JAX makes many long-lived objects. Collecting garbage among them takes a tenth of the
    start-up time, and a third of a second at exit."""
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
