"""Run directories that version 0.1.0 wrote: all that can be done with a run works, and goes on as
it would have."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import numpy as np
import pytest

import uphill

RUNS = Path(__file__).parent / "data/runs"
NAMES = sorted(path.name for path in RUNS.iterdir() if path.is_dir())
MORE_STEPS = 120  # what resumed.csv holds
# A quotient of small differences, and nothing that training looks at.
TOO_NOISY = {"gradient/snr"}


def own_env() -> gymnasium.Env:
    return gymnasium.make("CartPole-v1")


class OwnNetwork(eqx.Module):
    layer: eqx.nn.Linear

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.layer(x))


def own_network(size: int, key: jax.Array) -> OwnNetwork:
    return OwnNetwork(eqx.nn.Linear(size, 4, key=key))


GIVEN_AGAIN: dict[str, dict[str, Any]] = {
    "callable": {"env": own_env},
    "own_network": {"network": own_network},
}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the run; those kept are never written to."""
    return shutil.copytree(RUNS / request.param, tmp_path / request.param)


every_run = pytest.mark.parametrize("folder", NAMES, indirect=True)


@every_run
def test_it_loads_evaluates_plots_and_reports(folder: Path) -> None:
    again = GIVEN_AGAIN.get(folder.name, {})
    kept = json.loads((folder / "evaluation.json").read_text())
    run = uphill.load(folder, **again)
    found = run.evaluate(kept["episodes"])
    # Environments of Python's once went on from the evaluation of one seed to that of the next.
    same = slice(1) if run.summary()["backend"] == "gymnasium" else slice(None)
    for kind in ("deterministic", "stochastic"):
        np.testing.assert_allclose(
            found[kind]["per_seed"][same], kept[kind]["per_seed"][same], rtol=1e-3
        )
    best = uphill.load(folder, checkpoint="best", **again)
    assert np.isfinite(best.evaluate(1)["deterministic"]["mean"])
    assert run.plot().stat().st_size > 1000
    page = run.report(films=False).read_text()
    assert run.experiment.env in page


@every_run
def test_it_goes_on_as_it_would_have(folder: Path) -> None:
    before = rows_of(folder / "metrics.csv")
    expected = rows_of(folder / "resumed.csv")
    steps = json.loads((folder / "experiment.json").read_text())["steps"] + MORE_STEPS
    again = GIVEN_AGAIN.get(folder.name, {})
    uphill.resume(folder, steps=steps, episodes=1, quiet=True, **again)
    found = rows_of(folder / "metrics.csv")
    assert found[: len(before)] == before
    assert len(found) - len(before) == len(expected)
    for row, known in zip(found[len(before) :], expected, strict=True):
        assert known.keys() <= row.keys()
        for name in known.keys() - TOO_NOISY:
            assert (row[name] == "") == (known[name] == ""), name
            if known[name]:
                np.testing.assert_allclose(
                    float(row[name]), float(known[name]), rtol=1e-2, atol=1e-5, err_msg=name
                )


def test_its_milestones_are_films(tmp_path: Path) -> None:
    """The policies that were kept on the way load, too."""
    run = uphill.load(shutil.copytree(RUNS / "ppo", tmp_path / "ppo"))
    assert run.milestones
    for milestone in run.milestones:
        assert run.actor_at(milestone).policy.trunk
    for path in run.record(milestones=True, width=160):
        assert path.stat().st_size > 1000


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
