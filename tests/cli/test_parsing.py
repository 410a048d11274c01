"""How arguments are read."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import parsed
from uphill.cli.errors import WrongCommandLine
from uphill.cli.parsing import parse
from uphill.errors import UphillError


@dataclass(frozen=True)
class Options:
    """Two numbers."""

    seeds: int = 1
    """How many."""
    steps: int | None = None
    """How long."""


@pytest.mark.parametrize(
    ("word", "number"),
    [("1000", 1000), ("1e6", 10**6), ("2.5e3", 2500), ("1_000", 1000), ("-3", -3)],
)
def test_a_whole_number_may_be_written_as_people_write_it(word: str, number: int) -> None:
    assert parse(Options, ["--steps", word, "--seeds", word], "uphill") == Options(number, number)
    assert type(parse(Options, ["--steps", word], "uphill").steps) is int


def test_numbers_with_thousands_of_digits_are_refused() -> None:
    for flag in ("--envs", "--steps", "--seed"):
        with pytest.raises(UphillError, match=flag):
            parsed("CartPole-v1", flag, "9" * 5000)


def test_none_is_what_leaving_out_is() -> None:
    assert parse(Options, ["--steps", "None"], "uphill") == Options()


@pytest.mark.parametrize("word", ["2.5", "ten", "inf", "nan", "1e-3"])
def test_what_is_no_whole_number_is_refused(word: str) -> None:
    with pytest.raises(WrongCommandLine, match=f"--steps is '{word}': use a whole number."):
        parse(Options, ["--steps", word], "uphill")


WORDS = st.text(max_size=8) | st.sampled_from(
    [
        *("--seeds", "--steps=", "--seeds=1", "--help", "-h", "--", "-", "--no-such", "--STEPS"),
        *("1", "-1", "1e3", "1e400", "nan", "inf", "True", "None", "٣", "\x00", "--steps\n"),
    ]
)


@given(st.lists(WORDS, max_size=5))
def test_any_words_are_options_or_a_sentence(words: list[str]) -> None:
    ended: BaseException | None = None
    found = Options()
    try:
        found = parse(Options, words, "uphill")
    except (UphillError, SystemExit) as error:
        ended = error
    assert type(found.seeds) is int
    assert type(found.steps) in (int, type(None))
    assert not isinstance(ended, SystemExit) or ended.code == 0, words  # --help
    assert ended is None or str(ended).strip()
