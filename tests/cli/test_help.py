"""What `--help` shows."""

import re
from dataclasses import fields, replace
from typing import Any

import pytest

from command_line import parsed
from uphill.cli import main
from uphill.cli.entry import COMMANDS
from uphill.cli.flags import Flag, option_flags, setting_flags
from uphill.cli.help import FlagGroup, help_text
from uphill.errors import UphillError
from uphill.parts.algorithms import ALGORITHMS
from uphill.runs.configuration import encode
from uphill.sessions.presets import preset


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main([*argv, "--help"]) == 0
    return capsys.readouterr().out


def said(text: str, flag: str) -> str:
    """The line of a flag and those below it, as one."""
    (found,) = re.findall(rf"^  {re.escape(flag)}[ \n].*(?:\n      .*)*", text, re.MULTILINE)
    return " ".join(found.split())


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_line_fits_and_none_is_wrapped_twice(
    command: str,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    lines = shown(capsys, *([command, "CartPole-v1"] if command == "train" else [command]))
    assert lines.startswith(f"usage: uphill {command}")
    room = min(columns, 100)
    assert all(len(line) < room or line.startswith("  --") for line in lines.splitlines())
    for line, following in zip(lines.splitlines(), lines.splitlines()[1:], strict=False):
        continues = following.startswith("      ") and not following.strip().startswith("-")
        if continues and line.startswith("      "):  # it was full
            indent = len(line) - len(line.lstrip())
            same = indent == len(following) - len(following.lstrip())
            word = following.split()[0]
            assert not same or len(line) + 1 + len(word) > room - 1, line


def test_the_presets_own_numbers_stand_there(capsys: pytest.CaptureFixture[str]) -> None:
    text, start = shown(capsys, "train", "CartPole-v1"), preset("CartPole-v1")
    algorithm: Any = start.algorithm
    for flag, default in {
        "--algo": "ppo",
        "--steps": f"{start.steps:,}",
        "--envs": algorithm.sampling.num_envs,
        "--sampling.num-steps": algorithm.sampling.num_steps,
        "--estimator.gamma": algorithm.estimator.gamma,
        "--optimizer.learning-rate": str(algorithm.optimizer.learning_rate),
        "--num-epochs": algorithm.num_epochs,
        "--policy.hidden": "64 64",
        "--surrogate": "clipped-ratio",
        "--baseline.optimizer": "none",
    }.items():
        assert f"[{default}]" in said(text, flag)
    assert "ENV" not in text.splitlines()[0]
    # Flags beside it are taken in.
    text = shown(capsys, "train", "CartPole-v1", "--algo", "vpg", "--envs", "4")
    assert "[4]" in said(text, "--sampling.num-envs")
    assert f"[{preset('CartPole-v1', 'vpg').steps:,}]" in said(text, "--steps")


def test_choices_stand_there(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "train", "CartPole-v1")
    for flag, choices in {
        "--algo": "{reinforce,vpg,a2c,ppo,npg,trpo}",
        "--scale-advantages": "{none,batch,minibatch}",
        "--mean-over": "{steps,episodes}",
        "--sampling.tail": "{cut,mask}",
        "--baseline.targets": "{estimator,monte-carlo,td,lambda}",
        "--policy.activation": "{tanh,relu,elu,gelu,silu}",
        "--policy.log-std": "{free,head,network}",
        "--policy.distribution": "{gaussian,tanh-gaussian,beta}",
        "--log": "{tensorboard,wandb} …",
        "--backend": "{auto,compiled,envpool,gymnasium}",
    }.items():
        assert choices in said(text, flag)
    assert "n-step, td-residual, gae or action-value" in said(text, "--estimator")
    # A part that has no settings stands with the parts, too.
    text = shown(capsys, "train", "CartPole-v1", "--algo", "vpg")
    assert text.index("\nsurrogate: ") < text.index("  --surrogate ") < text.index("\noptimizer: ")


def test_choices_are_those_that_are_taken() -> None:
    algorithm, checked = ALGORITHMS["ppo"](), []
    for part in (algorithm, algorithm.sampling, algorithm.baseline, algorithm.policy):
        for field in fields(part):
            if choices := field.metadata.get("choices"):
                with pytest.raises(UphillError, match="choose") as raised:
                    replace(part, **{field.name: "no such"})
                words = str(raised.value).partition("choose ")[2].removeprefix("one of ")
                assert re.split(", | or ", words.removesuffix(".")) == list(choices)
                checked.append(field.name)
    assert len(checked) == 7


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_flag_that_is_shown_is_taken_and_what_is_shown_is_what_it_is(algo: str) -> None:
    env = "CartPole-v1"
    start = preset(env, algo).algorithm
    argv = ["--algo", algo]
    for flag in setting_flags(start):
        if flag.takes:
            argv += [flag.spellings[0], *flag.default.split()] if flag.default else []
        else:
            argv.append(flag.spellings[flag.default == "no"])
    _, algorithm, _ = parsed(env, *argv)
    assert encode(algorithm) == encode(start)


def test_what_an_option_says() -> None:
    from uphill.cli.commands.plot import PlotOptions
    from uphill.cli.commands.report import ReportOptions

    found = {flag.path: flag for flag in (*option_flags(PlotOptions), *option_flags(ReportOptions))}
    assert found["runs"].is_word
    assert found["runs"].takes == "RUN [RUN …]"
    assert found["against"].takes == "{steps,seconds}"
    assert found["against"].default == "steps"
    assert found["films"].spellings == ("--films", "--no-films")
    assert found["out"] == Flag("out", ("--out",), "PATH", found["out"].about, may_be_none=True)


def test_a_switch_that_is_on_is_shown_both_ways() -> None:
    flag = Flag("films", ("--films", "--no-films"), "", "Show films.", "yes")
    text = help_text("uphill", "About.", [FlagGroup("flags", [flag])])
    assert "  --films, --no-films [yes]" in text


def test_what_may_be_left_out_stands_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "envs").startswith("usage: uphill envs [PATTERN]\n")
    assert shown(capsys, "evaluate").startswith("usage: uphill evaluate RUN [--FLAG VALUE …]\n")


def test_the_overview_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 80
