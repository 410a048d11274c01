"""A path leads where it led when it was given, wherever the process goes later."""

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import uphill
from command_line import SMALL, run_cli
from small_runs import small_ppo, train_small
from uphill.runs.experiment import as_path
from uphill.runs.place import Place

ENVIRONMENT = """
import os

import gymnasium
import numpy as np
from gymnasium import spaces


class Wandering(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode, self.moves = render_mode, 0
        self.wander()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.wander()
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.t += 1
        self.wander()
        seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return seen, float(action), self.t >= 5, False, {}

    def render(self):
        self.wander()
        return np.zeros((32, 32, 3), np.uint8)

    def wander(self):
        self.moves += 1
        os.chdir(ELSEWHERE / str(self.moves % 2))


gymnasium.register("Wandering-v0", Wandering)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an environment whose every call changes it."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("0", "1"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    start = f"from pathlib import Path\nELSEWHERE = Path({str(tmp_path / 'elsewhere')!r})\n"
    (home / "wandering.py").write_text(start + ENVIRONMENT)
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    return home


def test_a_place_is_shown_as_given_and_opened_where_it_led(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = as_path("runs/a")
    (place / "inner").mkdir(parents=True)
    monkeypatch.chdir("/")
    (place / "x.txt").write_text("here")
    assert (tmp_path / "runs/a/x.txt").read_text() == (place / "x.txt").read_text() == "here"
    assert (str(place), repr(place), f"{place / 'x'}") == (
        "runs/a",
        repr(Path("runs/a")),
        "runs/a/x",
    )
    assert place == Path("runs/a")
    assert os.fspath(place) == os.path.join(place) == str(tmp_path / "runs/a")
    derived = [place / "b", place.joinpath("b"), place.parent / "a" / "b", place.with_name("b")]
    derived += [place.with_suffix(".b"), (place / "b").parent, *place.iterdir(), copy.copy(place)]
    assert all(os.fspath(p) == str(tmp_path / str(p)) for p in derived)
    assert place.resolve() == place.absolute() == tmp_path / "runs/a"
    assert as_path(place) is place
    assert os.fspath(Place.of("/a")) == "/a"


def test_a_folder_that_was_removed_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert os.fspath(Place.of("a")) == "a"
    assert os.fspath(Place.of(tmp_path)) == str(tmp_path)


def test_commands_write_where_they_were_told_though_the_environment_goes_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def shown(*argv: str) -> dict[str, Any]:
        monkeypatch.chdir(home)
        assert run_cli(*argv, "--json") == 0
        assert Path.cwd() != home or argv[0] == "plot"
        captured = capfd.readouterr()
        assert str(home) not in captured.out + captured.err
        return json.loads(captured.out)

    train = ["train", "wandering:Wandering-v0", *SMALL, "--log", "tensorboard"]
    assert shown(*train, "--out", "runs/a")["run"] == "runs/a"
    assert shown("resume", "runs/a", "--steps", "150")["run"] == "runs/a"
    assert shown("evaluate", "runs/a", "--episodes", "6")["episodes"] == 6
    film = shown("record", "runs/a", "--out", "film.gif")
    assert film["files"] == ["film.gif"]
    assert shown("report", "runs/a", "--out", "pages/a.html")["report"] == "pages/a.html"
    shown("plot", "runs/a", "--out", "pictures")
    shown(*train, "--out", "runs/b", "--init-from", "runs/a", "--settings", "runs/a")
    assert not [path for path in (home.parent / "elsewhere").rglob("*") if path.is_file()]
    assert {path.name for path in home.iterdir()} - {"wandering.py", "__pycache__"} == {
        *("runs", "film.gif", "pages", "pictures")
    }
    assert {"metrics.csv", "checkpoint", "tensorboard", "curve.png", "evaluation.json"} <= {
        path.name for path in (home / "runs/a").iterdir()
    }
    assert json.loads((home / "runs/a/evaluation.json").read_text())["episodes"] == 6


def test_a_run_in_python_stays_where_it_is(home: Path) -> None:
    run = train_small(Path("runs/a"), small_ppo(), env="wandering:Wandering-v0", steps=100)
    assert Path.cwd() != home
    assert str(run.path) == "runs/a"
    assert run.evaluate(6)["episodes"] == 6  # nor is it asked again whether its module is trusted
    assert run.report(films=False) == Path("runs/a/report.html")
    assert (home / "runs/a/report.html").exists()
    run = uphill.resume(run, steps=150, quiet=True)
    assert run.summary()["steps"][0] >= 150
    assert run.evaluation == json.loads((home / "runs/a/evaluation.json").read_text())
