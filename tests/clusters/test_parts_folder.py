"""The folder beside a run in which the parts of a training on a cluster lie."""

from pathlib import Path

import pytest

import uphill
from small_runs import small_ppo
from uphill.errors import UphillError
from uphill.runs.files import EXPERIMENT_FILE


@pytest.mark.parametrize("names", [["notes.txt"], [EXPERIMENT_FILE, "checkpoint"]])
def test_one_that_holds_anything_else_is_left_alone(names: list[str], tmp_path: Path) -> None:
    """It would be deleted at the end."""
    parts = tmp_path / "run.parts"
    parts.mkdir()
    for name in names:
        (parts / name).write_text("mine")
    with pytest.raises(UphillError, match=rf"has more in it than .* \({names[-1]}\)"):
        uphill.train("CartPole-v1", small_ppo(), seeds=2, out=tmp_path / "run", ray="127.0.0.1:1")
    assert sorted(x.name for x in parts.iterdir()) == sorted(names)


def test_a_study_on_a_cluster_refuses_what_is_of_this_machine(tmp_path: Path) -> None:
    grid = {"entropy": [0.0, 0.1]}
    with pytest.raises(UphillError, match="follows a training on this machine: leave it out"):
        uphill.sweep(
            *("CartPole-v1", small_ppo()),
            grid=grid,
            log=["tensorboard"],
            out=tmp_path / "sweep",
            ray="127.0.0.1:1",
        )
    assert [*tmp_path.iterdir()] == []
