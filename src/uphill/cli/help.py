"""What `--help` shows: the arguments in groups, each with its choices and its default."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from uphill.cli.flags import Flag, first_paragraph
from uphill.words import listed, wrapped

WIDEST = 100
_INDENT, _COLUMN = 6, 32


@dataclass(frozen=True)
class FlagGroup:
    """Flags that belong together, below a title."""

    title: str
    flags: Sequence[Flag]
    about: str = ""


def help_text(
    program: str, about: str, groups: Iterable[FlagGroup], notes: Sequence[str] = ()
) -> str:
    """The whole text, at most as wide as the terminal."""
    groups = [group for group in groups if group.flags]
    flags = [flag for group in groups for flag in group.flags]
    words = [flag.takes for flag in flags if flag.is_word]
    some = [] if len(words) == len(flags) else ["[--FLAG VALUE …]"]
    width = min(shutil.get_terminal_size().columns, WIDEST) - 1
    usage = " ".join(["usage:", program, *words, *some])
    blocks = [wrapped(text, width, 0) for text in (usage, first_paragraph(about), *notes)]
    blocks += ["\n".join(_lines(group, width)) for group in groups]
    return "\n\n".join(blocks) + "\n"


def _lines(group: FlagGroup, width: int) -> Iterator[str]:
    """A group: the text of a flag is beside it, or below it if that takes fewer lines."""
    about = first_paragraph(group.about)
    yield wrapped(f"{group.title}: {about}" if about else f"{group.title}:", width, 2)
    for flag in group.flags:
        head, about = _head(flag, width)
        beside = _column(about, width, _COLUMN)
        below = _column(about, width, _INDENT)
        if width >= 2 * _COLUMN and len(head) < _COLUMN and len(beside) <= len(below) + 1:
            first, *rest = beside or [""]
            yield f"{head:{_COLUMN}}{first.lstrip()}".rstrip()
            yield from rest
        else:
            yield head
            yield from below


def _head(flag: Flag, width: int) -> tuple[str, str]:
    """The flag with its value and default, and its text, which includes the choices if these are
    too long for the line."""
    is_on = flag.default == "yes" and not flag.takes
    spelling = ", ".join(flag.spellings) if is_on else flag.spellings[0]
    takes, about = flag.takes, flag.about
    default = f"[{flag.default}]" if flag.default and (takes or is_on) else ""
    if takes.startswith("{") and len(spelling) + len(takes) + len(default) + 4 > width:
        about = f"{about} One of {listed(takes[1:-1].split(','), 'or')}.".lstrip()
        takes = "NAME"
    words = [takes, ""] if flag.is_word else [spelling, takes]
    return "  " + " ".join(filter(None, [*words, default])), about


def _column(text: str, width: int, indent: int) -> list[str]:
    lines = wrapped(text, width - indent, 0).split("\n") if text else []
    return [" " * indent + line for line in lines]
