"""Runs whose seeds were trained apart are one run, as if they had been trained together."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uphill
from small_runs import POLICY, contents_of, small_ppo, tensors_of, train_small
from uphill.parts import Adam, Algorithm, Episodes
from uphill.runs.merged import merge
from uphill.runs.saved import SavedRun

PLAIN = {"normalize_observations": False}
"""Last bits of a normaliser, and of a value function that is fitted by itself, depend on how many
devices the seeds are on: here two, or one."""
REINFORCE = uphill.reinforce(
    sampling=Episodes(num_envs=4, per_env=1), policy=POLICY, optimizer=Adam(1e-2)
)


@pytest.mark.bits
@pytest.mark.parametrize(
    ("algorithm", "steps"),
    [(REINFORCE, 1500), (small_ppo(**PLAIN), 1000)],
    ids=["reinforce", "ppo"],
)
def test_a_merged_run_is_that_of_all_its_seeds(
    algorithm: Algorithm, steps: int, tmp_path: Path
) -> None:
    """Of whole episodes the seeds end at different updates, between two logging points."""
    given: dict[str, Any] = {"algorithm": algorithm, "steps": steps}
    whole = train_small(tmp_path / "whole", seeds=3, **given)
    first = train_small(tmp_path / "first", seeds=1, **given)
    rest = train_small(tmp_path / "rest", seed=1, seeds=2, **given)
    out = tmp_path / "merged"
    out.mkdir()
    merge([first.path, rest.path], whole.experiment, out)
    expected, found = contents_of(whole.path), contents_of(out)
    for name in ("evaluation.json", "curve.png"):  # are made afterwards
        del expected[name]
    rows, others = found.pop("metrics.csv"), expected.pop("metrics.csv")
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    for row, other in zip(rows, others, strict=True):
        assert _numbers(row) == pytest.approx(_numbers(other), rel=1e-4, abs=1e-6, nan_ok=True)
    for name in ("latest", "best"):
        manifest, other = (x.pop(f"checkpoint/{name}.json") for x in (found, expected))
        assert manifest["sha256"] == other["sha256"]
        if name == "latest":
            for facts in (manifest["facts"], other["facts"]):
                facts["device"].pop("devices")  # each had as many as it had seeds
            assert manifest == other
    assert found == expected
    assert not np.any(np.isnan(tensors_of(out)["learners.num_updates"]))
    assert _times(out) == sorted(_times(out))


@pytest.mark.bits
def test_a_merged_run_goes_on_as_that_of_all_its_seeds(tmp_path: Path) -> None:
    plain = small_ppo(**PLAIN)
    whole = train_small(tmp_path / "whole", plain, seeds=2)
    parts = [train_small(tmp_path / f"{k}", plain, seed=k).path for k in range(2)]
    out = tmp_path / "merged"
    out.mkdir()
    merge(parts, whole.experiment, out)
    for run in (whole.path, out):
        uphill.resume(run, steps=600, quiet=True)
    assert SavedRun(out).evaluation == SavedRun(whole.path).evaluation
    for name, tensor in tensors_of(whole.path).items():
        np.testing.assert_array_equal(tensors_of(out)[name], tensor)


def _numbers(row: dict[str, str]) -> dict[str, float]:
    return {name: float(cell) if cell else np.nan for name, cell in row.items()}


def _times(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["time/seconds"]) for row in csv.DictReader(file)]
