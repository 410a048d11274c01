"""A sentence names no flag that the command which printed it does not have."""

import ast
import os
import re
from importlib import import_module
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import uphill
from command_line import run_cli
from uphill.cli.entry import COMMANDS
from uphill.cli.flags import option_flags, setting_flags
from uphill.parts.algorithms import ALGORITHMS
from uphill.studies.variance import measure
from uphill.words import option, typed

SOURCES = Path(uphill.__file__).parent
SPOKEN = ("cli", "doctor")
"""They say themselves which command takes a flag."""
SPELLED = {"words.py", "configuration.py", "grid.py", "init_from.py", "make.py"}
SPELLED |= {"reproduce.py", "sweep.py", "space.py", "connection.py"}  # the last: Ray's own
"""Where flags are made of settings, and a command is written out."""


def all_flags() -> set[str]:
    modules = [vars(import_module(f"uphill.cli.commands.{name}")) for name in COMMANDS]
    kinds = [x for found in modules for name, x in found.items() if name.endswith("Options")]
    options = [flag for kind in kinds for flag in option_flags(kind)]
    settings = [flag for make in ALGORITHMS.values() for flag in setting_flags(make())]
    return {spelling for flag in (*options, *settings) for spelling in flag.spellings}


def sentences() -> list[tuple[str, ast.AST]]:
    """All code that may say something, without docstrings."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        if path.relative_to(SOURCES).parts[0] in SPOKEN:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_said = not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            found += [(path.name, child) for child in ast.iter_child_nodes(node) if is_said]
    return found


def test_what_a_sentence_names_is_a_flag_of_some_command() -> None:
    known = all_flags()
    named = {
        node.args[0].value
        for _, node in sentences()
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "option"
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(named) > 10
    with typed():
        assert not {option(str(name)) for name in named} - known


def test_sentences_name_settings_as_the_caller_writes_them() -> None:
    """`option` does, and knows which command has them; what is spelled out does not."""
    spelled = {
        (file, node.value)
        for file, node in sentences()
        if isinstance(node, ast.Constant) and re.search(r"(?<![\w-])--[a-z]", str(node.value))
    }
    assert {file for file, _ in spelled} <= SPELLED


class Wordy(gymnasium.Env):
    """It says something, and goes elsewhere; its actions have no bounds where `is_free`."""

    observation_space = spaces.Dict(said=spaces.Text(5), seen=spaces.Box(-1, 1, (2,), np.float32))

    def __init__(self, is_free: bool = False) -> None:
        if is_free:
            self.observation_space = self.observation_space["seen"]
        self.action_space = spaces.Box(-np.inf, np.inf, (1,)) if is_free else spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        os.chdir("/")
        return self._observation(), {}

    def step(self, action):
        self.t += 1
        return self._observation(), float(np.sum(action)), self.t >= 4, False, {}

    def _observation(self):
        seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"said": "hm", "seen": seen} if "said" in str(self.observation_space) else seen


def test_what_variance_says_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = gymnasium.envs.registration.EnvSpec("Wordy-v0", Wordy)
    monkeypatch.setitem(gymnasium.registry, "Wordy-v0", spec)
    command = ["variance", "Wordy-v0", "--envs", "2", "--batches", "32"]
    command += ["--max-episode-steps", "4", "--out", "out"]
    monkeypatch.setattr(measure, "FIT_BATCHES", 8)
    monkeypatch.chdir(tmp_path)
    assert run_cli(*command, "--env.is_free", "True") == 1
    assert "--policy.action-bounds -1 1 of `uphill train`" in capsys.readouterr().err
    assert run_cli(*command) == 1
    assert (flag := "--drop-observation said") in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert run_cli(*command, *flag.split()) == 0
    assert (tmp_path / "out" / "variance.json").exists()
