"""Runs whose seeds were trained apart are one run, as if they had been trained together."""

import csv
from pathlib import Path

import numpy as np
import pytest

import uphill
from small_runs import POLICY, contents_of, numbers_of, tensors_of, train_small
from uphill.errors import UphillError
from uphill.parts import Adam, Episodes
from uphill.runs.merged import merge_runs
from uphill.runs.saved import SavedRun

# Last bits of a normaliser, and of a value function that is fitted by itself, depend on how many
# devices the seeds are on: here two, or one.
REINFORCE = uphill.reinforce(
    sampling=Episodes(num_envs=4, per_env=1), policy=POLICY, optimizer=Adam(1e-2)
)


@pytest.mark.bits
def test_a_merged_run_is_that_of_all_its_seeds_and_goes_on_as_that(tmp_path: Path) -> None:
    """Of whole episodes the seeds end at different updates, between two logging points."""
    whole = train_small(tmp_path / "whole", REINFORCE, seeds=3, steps=1500)
    first = train_small(tmp_path / "first", REINFORCE, seeds=1, steps=1500)
    rest = train_small(tmp_path / "rest", REINFORCE, seed=1, seeds=2, steps=1500)
    out = tmp_path / "merged"
    out.mkdir()
    merge_runs([first.path, rest.path], whole.experiment, out)
    expected, found = contents_of(whole.path), contents_of(out)
    for name in ("evaluation.json", "curve.png"):  # are made afterwards
        del expected[name]
    rows, others = found.pop("metrics.csv"), expected.pop("metrics.csv")
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    for row, other in zip(rows, others, strict=True):
        assert numbers_of(row) == pytest.approx(numbers_of(other), rel=1e-4, abs=1e-6, nan_ok=True)
    for name in ("latest", "best"):
        manifest, other = (x.pop(f"checkpoint/{name}.json") for x in (found, expected))
        assert manifest["sha256"] == other["sha256"]
        if name == "latest":
            for facts in (manifest["facts"], other["facts"]):
                facts["device"].pop("devices")  # each had as many as it had seeds
            assert manifest == other
    assert found == expected
    assert _times(out) == sorted(_times(out))
    for run in (whole.path, out):
        uphill.resume(run, steps=1600, quiet=True)
    assert SavedRun(out).evaluation == SavedRun(whole.path).evaluation
    for name, tensor in tensors_of(whole.path).items():
        np.testing.assert_array_equal(tensors_of(out)[name], tensor)
    with pytest.raises(UphillError, match="of 3 seeds have another number"):
        merge_runs([first.path], whole.experiment, tmp_path / "less")


def _times(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["time/seconds"]) for row in csv.DictReader(file)]
