"""Numbers, times and lists as people read them: one way, wherever they are shown."""

import math
import re
from collections.abc import Sequence

INTERVAL = "95\N{NO-BREAK SPACE}% interval"
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
    elif size >= 1000 or value == int(value):
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
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
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
    """What is known less exactly: 4.2 → 4 s, 200 → 3 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return duration(60 * round(seconds / 60))


def count(n: int, what: str) -> str:
    """1 seed, 3 seeds."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """a, b and c."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def among(names: Sequence[str], most: int = 8) -> list[str]:
    """The first names, and an ellipsis for the rest where there are more than `most`."""
    return [*names[:most], "…"] if len(names) > most else list(names)
