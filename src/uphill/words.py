"""Formats numbers, times and lists for people, and settings as the caller writes them: in the same
way everywhere."""

import json
import math
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, runtime_checkable

INTERVAL = "95\N{NO-BREAK SPACE}% interval"
_BARE = re.compile(r"[-+]?(\d+\.|\d*\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
"""Numbers as Python writes them and JSON does not."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = r"(?:µs|ms|s|min|h|%|steps?|episodes?|seeds?|px|[kMG])(?!\w)"
_LOOSE = re.compile(
    rf"(?<=\d) (?={_UNITS})|(?<=\bmin) (?=\d+ s\b)|(?<=\bh) (?=\d+ min\b)"
    r"|(?<=\d) (?=× 10\S)|(?<=\d ×) (?=10\S)"
)
"""Spaces at which no line should be broken."""


def number(value: float) -> str:
    """0.6931 → 0.693, 486.71 → 486.7, 12345.6 → 12,346, 0.0000176 → 1.8 × 10⁻⁵."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        factor, power = f"{value:.1e}".split("e")
        text = f"{factor} × 10{str(int(power)).translate(_RAISED)}"
    elif size >= 999.95 or value == int(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if size >= 10 else f"{value:.3g}"
    return "0" if text == "-0" else text.replace("-", "−", 1)


def percent(share: float) -> str:
    """0.834 → 83 %, in one piece."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def glued(text: str) -> str:
    """The text, with no line break between a number and its unit, nor inside of 3 min 20 s."""
    return _LOOSE.sub("\N{NO-BREAK SPACE}", text)


def short(value: float, space: str = "") -> str:
    """23,400 → 23.4k below an axis; with a space 23.4 k, as in a sentence."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:  # what rounds to it, too: 1M, not 1e+03k
            return f"{value / size:.3g}{space}{unit}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def duration(seconds: float) -> str:
    """0.0042 → 4.2 ms, 4.2 → 4.2 s, 200 → 3 min 20 s, 8000 → 2 h 13 min."""
    if 0 < seconds < 0.05:  # what would be 0.0 s
        return f"{1e6 * seconds:.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def forecast(seconds: float) -> str:
    """What is known less exactly: 4.2 → 4 s, 204 → 3 min 20 s, 1234 → 21 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    step = 10 if seconds < 600 else 60
    return duration(step * round(seconds / step))


def count(n: int, what: str) -> str:
    """1 seed, 3 seeds."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def span(numbers: Sequence[int]) -> str:
    """The least and the greatest of several numbers, or the one that all are.

    >>> span([8076, 8044]), span([5008, 5008])
    ('8,044 to 8,076', '5,008')
    """
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def quoted(value: Any) -> str:
    """A value as sentences show it: of a long one, both ends.

    >>> quoted("64"), len(quoted([0] * 10_000))
    ("'64'", 203)
    """
    return abridged(repr(value), 200)


def abridged(text: object, most: int = 800) -> str:
    """A text, or what an error says; of a long one both ends. For what quotes a file of anyone's.

    >>> abridged("hidden is " + 5000 * "9" + ": use a whole number.", 40)
    'hidden is 99999999999999999999 … le number.'
    """
    whole = str(text)
    first = 3 * most // 4
    return whole if len(whole) <= most else f"{whole[:first]} … {whole[first - most :]}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """a, b and c."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def among(names: Sequence[str], most: int = 8) -> list[str]:
    """The first names, and an ellipsis for the rest where there are more than `most`."""
    return [*names[:most], "…"] if len(names) > most else list(names)


# --- in the caller's language -------------------------------------------------------------------

_is_typed = False
_flags: frozenset[str] | None = None
"""those of the command that runs, once it has said"""


@contextmanager
def typed() -> Iterator[None]:
    """While a command runs, settings are called as they are typed; else as Python has them."""
    global _is_typed, _flags
    before, _is_typed, _flags = (_is_typed, _flags), True, None
    try:
        yield
    finally:
        _is_typed, _flags = before


def takes(flags: Iterable[str]) -> None:
    """From now on, the command that runs has these flags: what else is named is `uphill train`'s,
    and said to be."""
    global _flags
    if _is_typed:
        _flags = frozenset(flags)


_TYPED = {
    "is_async": "async-envs",
    "wrappers": "wrapper",
    "drop_observations": "drop-observation",
}
"""Settings whose flags are called otherwise"""


def is_typed() -> bool:
    """Whether the caller is a command line."""
    return _is_typed


def literal(word: str) -> Any:
    """What a word of the command line is: a number, or whatever else JSON or Python would take it
    for; else the text itself.

    >>> [literal(word) for word in ("3", "1e-4", ".5", "None", "true", "[1, 2]", "1.5.0", "inf")]
    [3, 0.0001, 0.5, None, True, [1, 2], '1.5.0', 'inf']
    """
    names = {"True": True, "False": False, "None": None}
    if word in names:
        return names[word]
    try:
        return json.loads(word)
    except ValueError:
        return float(word) if _BARE.fullmatch(word) else word


def option(name: str, value: Any = None) -> str:
    """A setting, and its value if there is one, as the caller writes it; where the command that
    runs has no such flag, with the one that has.

    >>> option("allow_import", True), option("optimizer.learning_rate")
    ('allow_import=True', "the optimizer's learning_rate")
    >>> with typed():
    ...     option("allow_import", True), option("optimizer.learning_rate"), option("backend", "x")
    ('--allow-import', '--optimizer.learning-rate', '--backend x')
    >>> with typed():
    ...     option("normalize_observations", False)
    '--no-normalize-observations'
    >>> with typed():
    ...     takes(["--episodes"])
    ...     option("episodes", 100), option("is_async", True)
    ('--episodes 100', '--async-envs of `uphill train`')
    """
    written = _written(name, value)
    if not _is_typed or _flags is None or written.split()[0] in _flags:
        return written
    return f"{written} of `uphill train`"


def _written(name: str, value: Any) -> str:
    if _is_typed:
        flag = "--" + _TYPED.get(name, name.replace("_", "-"))
        if value is False:
            place, dot, field = flag.removeprefix("--").rpartition(".")
            return f"--{place}{dot}no-{field}"
        return flag if value is None or value is True else f"{flag} {_shown(value)}"
    place, _, field = name.rpartition(".")
    name = f"the {place}'s {field}" if place else name
    return name if value is None else f"{name}={_shown(value)}"


def call(command: str, run: Any, **settings: Any) -> str:
    """A command on a run, as the caller writes it; a value in capitals stands for the user's own.

    >>> call("resume", "runs/a", steps="N")
    "uphill.resume('runs/a', steps=N)"
    >>> with typed():
    ...     call("resume", "runs/a", steps="N")
    'uphill resume runs/a --steps N'
    """
    options = [_written(name, value) for name, value in settings.items()]
    if _is_typed:
        return " ".join([f"uphill {command}", shlex.quote(str(run)), *options])
    return f"uphill.{command}({', '.join([repr(str(run)), *options])})"


def going_on(command: str, folder: Any, out: Any) -> str:
    """How to continue after Ctrl-C: with the same command, as the caller writes it; with its
    folder, unless that was the `out` that was asked for.

    >>> going_on("sweep", "runs/a", out=None)
    "What was trained is saved. Go on with: the same uphill.sweep(…, out='runs/a')"
    """
    how = f"the same uphill.{command}(…, out={str(folder)!r})"
    if _is_typed:
        how = f"uphill {shlex.join([*sys.argv[1:], *([] if out else ['--out', str(folder)])])}"
    return f"What was trained is saved. Go on with: {how}"


def _shown(value: Any) -> str:
    if isinstance(value, str) and not (value.isupper() or value == "…" or _is_typed):
        return repr(value)
    return str(value)


def wrapped(text: str, width: int, indent: int = 2) -> str:
    """The text in lines of at most `width` columns, broken between words only; all but the first
    are indented."""
    return textwrap.fill(
        text,
        max(width, 2 * indent + 1),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


@runtime_checkable
class Stream(Protocol):
    """A stream that knows whether it is a terminal, and which."""

    def isatty(self) -> bool: ...
    def fileno(self) -> int: ...


def for_terminal(text: str, stream: Stream, indent: int = 2) -> str:
    """The text as it is shown in a terminal, wrapped to its width; elsewhere as it is, since a line
    is what programs look for."""
    if not stream.isatty():
        return text
    width = 80
    with suppress(OSError, ValueError):
        width = os.get_terminal_size(stream.fileno()).columns or width
    return "\n".join(wrapped(line, width, indent) for line in text.split("\n"))
