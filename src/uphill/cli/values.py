"""Checks of flag values before parsing, so that a wrong value gives one sentence."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

from uphill.cli.errors import WrongCommandLine
from uphill.cli.flags import SCHEDULE, Flag
from uphill.errors import UphillError
from uphill.words import listed


def check_values(argv: Sequence[str], flags: Sequence[Flag], program: str) -> None:
    """Raises:
    WrongCommandLine: if a value is missing or invalid; it names the flag, the value and what to
    write.
    """
    known = {name: flag for flag in flags for name in flag.spellings if not flag.is_word}
    words, has_word = [*argv], False
    while words:
        name, is_given, value = words.pop(0).partition("=")
        flag = known.get(name.replace("_", "-"))
        if flag is None or not flag.takes:
            has_word |= not name.startswith("-")
            continue
        values = [value] if is_given else _following(words, flag)
        if not values and not flag.takes.startswith("INT …"):  # no number is a list of them, too
            raise WrongCommandLine(f"{name} has no value: write {name} {flag.takes}.")
        for value in values:
            if value != "None" or not flag.may_be_none:
                _check(name, value, flag.takes.removesuffix("|None").removesuffix(" …"))
        del words[: 0 if is_given else len(values)]
    needed = [flag.takes for flag in flags if flag.is_word and not flag.takes.startswith("[")]
    if needed and not has_word:
        word = needed[0].split()[0]
        raise WrongCommandLine(f"{word} is missing: write `{program} {needed[0]}`.")


def _following(words: Sequence[str], flag: Flag) -> list[str]:
    """The words that are its value: one, or all up to the next flag."""
    if not flag.takes.startswith(("INT …", "FLOAT …")):
        return [word for word in words[:1] if not _is_flag(word)]
    return list(takewhile(lambda word: not word.startswith("--"), words))


def _is_flag(word: str) -> bool:
    """Also of one dash; -1 is a number."""
    return word.startswith("--") or (word.startswith("-") and word[1:2].isalpha())


def whole_number(word: str) -> int:
    """A whole number: 1000000 as well as 1e6.

    Raises:
        ValueError: if it is not a whole number, however it is written.
    """
    with suppress(ValueError):
        return int(word)
    with suppress(ValueError):
        if float(word).is_integer():
            return int(float(word))
    raise ValueError(f"{word} is not a whole number")


def json_object(text: str) -> dict[str, Any]:
    """Raises:
    ValueError: if it is not a JSON object.
    """
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{text} is not a JSON object")
    return value


def _check(flag: str, word: str, takes: str) -> None:
    """Raises:
    WrongCommandLine: if the word can't follow the flag.
    """
    if takes == SCHEDULE:
        _check_schedule(flag, word)
        return
    if takes.startswith("{"):
        choices = takes[1:-1].split(",")
        check, mend = choices.index, f"choose {listed(choices, 'or')}"
    elif takes in ("INT", "FLOAT"):
        check = {"INT": whole_number, "FLOAT": float}[takes]
        mend = {"INT": "use a whole number", "FLOAT": "use a number"}[takes]
    elif takes == "JSON":
        check, mend = json_object, """write a JSON object, such as '{"key": 1}'"""
    else:
        return
    try:
        check(word)
    except ValueError:
        raise WrongCommandLine(f"{flag} is {word!r}: {mend}.") from None


def _check_schedule(flag: str, word: str) -> None:
    from uphill.parts.schedule import Schedule

    try:
        Schedule.parse(word, flag)
    except UphillError as error:
        raise WrongCommandLine(str(error)) from None
