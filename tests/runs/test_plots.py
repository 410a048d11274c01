"""Learning curves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
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


@pytest.mark.parametrize("shape", ["low", "high", "rising", "falling"])
def test_legend_lies_beside_the_curves(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *arguments: Any, **keywords: Any) -> None:
        drawn.append(figure)
        save(figure, *arguments, **keywords)

    monkeypatch.setattr(Figure, "savefig", savefig)
    x = np.linspace(0, 1, 50)
    low = {"low": 0.04 * x, "high": 1 - 0.04 * x, "rising": x, "falling": 1 - x}[shape]
    curves = [[(int(1e4 * t), 400 * y + s) for t, y in zip(x, low, strict=True)] for s in range(3)]
    metrics_of(curves, tmp_path)
    plot_run(tmp_path, replace(EXPERIMENT, seeds=3), 475.0)
    axes = drawn[0].axes[0]
    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    for line in axes.get_lines()[:4]:  # the seeds, and their middle
        points = axes.transData.transform(line.get_xydata())
        assert not any(box.contains(*point) for point in points)


def test_run_without_metrics_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=r"metrics.csv can't be read"):
        plot_run(tmp_path, EXPERIMENT, None)
