"""The public names."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import uphill
from small_runs import small_ppo


def test_every_public_name_exists_and_is_documented() -> None:
    assert sorted(uphill.__all__) == uphill.__all__
    for name in uphill.__all__:
        assert getattr(uphill, name).__doc__, name
    home = importlib.import_module("uphill.run")
    assert uphill.evaluate is home.evaluate
    assert uphill.load is home.load
    assert callable(uphill.iterate)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = uphill.nonsense


def test_an_editor_finds_every_public_name() -> None:
    # In a process of its own: what is imported already can't be told from what is found.
    code = (
        "import uphill; assert set(uphill.__all__) <= set(dir(uphill)); "
        "assert {'Trainer', 'iterate', 'parts'} <= set(dir(uphill)); "
        "uphill.parts.ClippedRatio; uphill.theory, uphill.envs, uphill.policies; "
        "uphill.doctor.examine; uphill.views.plots.plot_runs; uphill.views.report.write_report; "
        "uphill.views.films.record"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, uphill; uphill.__version__; "
        "print([m for m in ('jax', 'envpool', 'matplotlib', 'gymnasium') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_train_load_act_evaluate_plot(tmp_path: Path) -> None:
    run = uphill.train(
        "CartPole-v1", small_ppo(), steps=100, seeds=2, out=tmp_path / "run", episodes=3, quiet=True
    )
    assert isinstance(run, uphill.Run)
    files = {path.name for path in run.path.iterdir()}
    written = {"experiment.json", "metrics.csv", "evaluation.json", "curve.png"}
    assert files == written | {"checkpoint"}
    checkpoint = {path.name.split("-")[0] for path in (run.path / "checkpoint").iterdir()}
    assert checkpoint == {"best", "best.json", "latest", "latest.json"}
    assert run.experiment.algo == "ppo"
    assert uphill.evaluate(run.path, episodes=2)["episodes"] == 2
    assert uphill.load(str(run.path)).policy.act(np.zeros(4, np.float32)) in (0, 1)
    run.plot().unlink()
    assert uphill.load(run.path).plot().exists()
