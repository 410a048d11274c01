"""A value that can't be is one sentence: the flag, the value, what to write."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from tyro.conf import Positional, arg

from command_line import parsed
from uphill.cli.errors import WrongCommandLine
from uphill.cli.parsing import parse


@dataclass(frozen=True)
class Options:
    """What a command may take."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    rate: float = 1.0
    kind: Literal["a", "b"] = "a"
    is_loud: bool = False


def options(*argv: str) -> Options:
    return parse(Options, list(argv), "uphill test")


def refusal(*argv: str) -> str:
    with pytest.raises(WrongCommandLine) as raised:
        options(*argv)
    return str(raised.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("x --rate fast", "--rate is 'fast': use a number."),
        ("x --rate=fast", "--rate is 'fast': use a number."),
        ("x --rate", "--rate has no value: write --rate FLOAT."),
        ("x --rate --is-loud", "--rate has no value: write --rate FLOAT."),
        ("x --kind c", "--kind is 'c': choose a or b."),
        ("", "RUN is missing: write `uphill test RUN`."),
        ("--rate 3 --is-loud", "RUN is missing: write `uphill test RUN`."),
    ],
)
def test_what_can_not_be_is_a_sentence(words: str, sentence: str) -> None:
    assert refusal(*words.split()) == sentence


def test_what_can_be_is_taken() -> None:
    assert options("--rate", "-3", "x", "--no-is-loud") == Options("x", -3.0)
    assert options("x", "--kind=b", "--is_loud") == Options("x", 1.0, "b", True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--num-epochs 2.5", "--num-epochs is '2.5': use a whole number."),
        ("--policy.hidden 64 x", "--policy.hidden is 'x': use a whole number."),
        ("--target-kl x", "--target-kl is 'x': use a number."),
        ("--mean-over runs", "--mean-over is 'runs': choose steps or episodes."),
        ("--log x", "--log is 'x': choose tensorboard or wandb."),
        ("--log tensorboard --log x", "--log is 'x': choose tensorboard or wandb."),
        (
            "--entropy cosine:1",
            "--entropy is 'cosine:1': write a number, linear:START:END or cosine:START:END.",
        ),
        ("--optimizer.b1 2", "--optimizer.b1 is 2.0: use a number from 0 to below 1."),
        ("--policy.hidden 0", "--policy.hidden is (0,): every layer needs at least 1 unit."),
        (
            "--baseline.network.hidden 0",
            "--baseline.network.hidden is (0,): every layer needs at least 1 unit.",
        ),
        (
            "--reset-options {x",
            """--reset-options is '{x': write a JSON object, such as '{"key": 1}'.""",
        ),
        (
            "--reset-options 5",
            """--reset-options is '5': write a JSON object, such as '{"key": 1}'.""",
        ),
        ("--policy.action-bounds -1 x", "--policy.action-bounds is 'x': use a number."),
    ],
)
def test_settings_too(words: str, sentence: str) -> None:
    with pytest.raises(WrongCommandLine) as raised:
        parsed("CartPole-v1", *words.split())
    assert str(raised.value) == sentence


def test_none_and_empty_lists_are_values() -> None:
    argv = ["--target-kl", "None", "--uniform-mixture", "None", "--policy.hidden", "--quiet"]
    chosen, algorithm, _ = parsed("CartPole-v1", *argv)
    assert (algorithm.target_kl, algorithm.policy.hidden, chosen.quiet) == (None, (), True)
