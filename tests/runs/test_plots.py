"""Learning curves."""

from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from test_experiment import EXPERIMENT

from uphill.errors import UphillError
from uphill.runs.metrics import MetricsFile
from uphill.runs.plots import learning_curve, plot_run

COLUMN = "rollout/episode_return"


def metrics_of(curves: list[list[tuple[int, float | None]]], run: Path) -> None:
    file = MetricsFile(run)
    for seed, curve in enumerate(curves):
        rows = [{"seed": seed, "steps": steps, COLUMN: value} for steps, value in curve]
        file.append(rows)


def test_curves_share_the_steps_that_all_seeds_have() -> None:
    metrics = {
        "seed": np.array([0, 0, 0, 1, 1, 1]),
        "steps": np.array([0, 100, 200, 50, 150, 250]),
        COLUMN: np.array([0.0, 10.0, np.nan, 5.0, 15.0, 25.0]),
    }
    steps, curves = learning_curve(metrics)
    assert steps[0] == 50
    assert steps[-1] == 100  # the first seed's last episode
    np.testing.assert_allclose(curves[0], steps / 10)  # both lie on the same line
    np.testing.assert_allclose(curves[1], steps / 10)


def test_no_episode_gives_no_curve() -> None:
    metrics = {"seed": np.zeros(2), "steps": np.arange(2), COLUMN: np.full(2, np.nan)}
    steps, curves = learning_curve(metrics)
    assert steps.size == curves.size == 0


@pytest.mark.parametrize("num_seeds", [0, 1, 5])
def test_picture_is_drawn(num_seeds: int, tmp_path: Path) -> None:
    curves = [[(k * 100, k + s) for k in range(5)] for s in range(num_seeds)] or [[(10, None)]]
    metrics_of(curves, tmp_path)
    path = plot_run(tmp_path, replace(EXPERIMENT, seeds=max(num_seeds, 1)), 475.0)
    assert path == tmp_path / "curve.png"
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 400
    blue = (picture[..., 2] > picture[..., 0] + 0.1).mean()
    assert (blue > 1e-3) == (num_seeds > 0)


def test_run_without_metrics_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=r"metrics.csv can't be read"):
        plot_run(tmp_path, EXPERIMENT, None)
