"""What people read; with --json, stdout is JSON alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command_line import SMALL
from uphill.cli.output import stdout_for
from uphill.runs.experiment import read_experiment
from uphill.training.evaluate import evaluation_of

NOISY = """
import ctypes
import gymnasium
import numpy as np

class Noisy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, word="", size=0):
        print("made", word, size)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        print("Python prints")
        ctypes.CDLL(None).puts(b"C prints")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}

gymnasium.register("Noisy-v0", Noisy, max_episode_steps=5)
"""


def test_whatever_an_environment_prints_stdout_is_json_alone(tmp_path: Path) -> None:
    (tmp_path / "noisy_module.py").write_text(NOISY)
    command = [sys.executable, "-m", "uphill.cli", "train", "noisy_module:Noisy-v0", *SMALL]
    command += ["--env.word", "hello", "--env.size=3", "--steps", "20", "--out", "run", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"] == "gymnasium"
    for noise in ("made hello 3", "Python prints", "C prints"):
        assert noise in done.stderr
    assert read_experiment(tmp_path / "run").env_kwargs == {"word": "hello", "size": 3}


@pytest.mark.parametrize(("seeds", "is_few"), [(1, False), (3, True), (5, False)])
def test_few_seeds_get_a_remark_beside_their_interval(
    seeds: int, is_few: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    returns = np.random.default_rng(0).normal(size=(2, seeds, 4))
    with stdout_for(False) as show:
        show(evaluation_of(returns))
    remark = f"few seeds     With {seeds} seeds a 95 % interval is too narrow (docs/metrics.md).\n"
    assert (remark in capsys.readouterr().out) == is_few
