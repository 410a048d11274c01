"""Several runs beside each other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report_runs import copied, load
from uphill.views.report.comparison import comparison_of, settings_that_differ
from uphill.views.report.view import view_of


def test_two_runs_and_how_probable_it_is_that_one_is_better(pair: tuple[Path, Path]) -> None:
    runs = [load(path) for path in pair]
    found: dict[str, Any] = comparison_of(runs)
    assert found["names"] == ["ppo · first", "ppo · second"]
    assert [row.look for row in found["rows"]] == ["run-0", "run-1"]
    assert [line.look for line in found["by_steps"].lines] == ["curve run-0", "curve run-1"]
    assert [line.look for line in found["by_seconds"].lines] == ["curve run-0", "curve run-1"]
    first, second = (np.array(run.evaluation["deterministic"]["per_seed"]) for run in runs)  # pyright: ignore
    wins = np.mean([[x > y for y in second] for x in first])
    (improvement,) = found["improvements"]
    assert improvement.probability == f"{100 * wins:.0f}\u00a0%"
    best = found["names"][int(first.mean() < second.mean())]
    assert found["best"].startswith(f"{best} ended highest")
    assert found["profile"] is not None
    assert not found["left_out"]


def test_what_differs_is_listed_and_nothing_else(pair: tuple[Path, Path]) -> None:
    first, second = (view_of(load(path)) for path in pair)
    assert settings_that_differ([first, second]) == [("steps", ["2000", "600"])]
    assert settings_that_differ([first, first]) == []


def test_runs_of_different_environments_are_shown_and_not_ranked(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = copied(pair[1], tmp_path / "other", env="Acrobot-v1")
    found = comparison_of([load(pair[0]), load(other)])
    assert not found["improvements"]
    assert found["profile"] is None
    assert "different environments" in found["left_out"][0]
    assert found["best"] == "2 runs side by side."


def test_equal_runs_ended_alike(pair: tuple[Path, Path], tmp_path: Path) -> None:
    same = copied(pair[0], tmp_path / "same")
    found = comparison_of([load(pair[0]), load(same)])
    assert found["best"].startswith("Both ended alike")
    (improvement,) = found["improvements"]
    assert improvement.probability == "50\u00a0%"
    assert "can't say which is better" in improvement.sentence


@pytest.mark.parametrize(("low", "better"), [(0.6, "a is better than b"), (0.1, "b is better")])
def test_a_run_is_better_where_its_interval_excludes_chance(low: float, better: str) -> None:
    from uphill.views.report.comparison import _improvement

    row = {"x": "a", "y": "b", "probability": low + 0.1, "ci95": [low, low + 0.2]}
    assert better in _improvement(row).sentence
