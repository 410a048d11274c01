"""Seeds that stop at a number that is not finite, trained apart and merged."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from fated_world import FatedCartPole
from small_runs import contents_of, numbers_of, rows_of, small_ppo, tensors_of
from uphill.clusters import seeds
from uphill.clusters.dispatch import place_of
from uphill.clusters.jobs import Job
from uphill.clusters.parcels import packed
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest

PPO = small_ppo()


@dataclass(frozen=True)
class Doomed(FatedCartPole):
    """CartPole, of which this share of the episodes has NaN as every reward."""

    share: float = 0.0

    def reward(self, state: Any, action: Any, next_state: Any) -> Any:
        return jnp.where(state.fate > 1 - self.share, jnp.nan, 1.0)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Jobs are done one after another, without a cluster."""

    def trained(request: Any, experiment: Any, aside: Path, progress: Any) -> list[Job]:
        jobs = [seeds._job(request, experiment, *x) for x in seeds._split(experiment, 2, aside)]
        for job in jobs:
            folder = tmp_path / job.file
            folder.mkdir()
            job.work(folder)
            place_of(aside, job).write_bytes(packed(folder))
        return jobs

    monkeypatch.setattr(seeds, "_trained", trained)


@pytest.mark.usefixtures("in_this_process")
def test_a_seed_that_stops_in_its_very_first_update_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORLDS, "Doomed-v0", Doomed(500, 475.0, share=0.01))
    given: dict[str, Any] = {"seeds": 2, "steps": 1000, "episodes": 2, "quiet": True}
    whole = uphill.train("Doomed-v0", PPO, out=tmp_path / "whole", **given)
    parts = uphill.train("Doomed-v0", PPO, out=tmp_path / "parts", ray="auto", **given)
    first, *others = whole.summary()["not_finite"]
    assert (first["update"], first["steps"], others) == (1, 0, [None])
    check_same(parts.path, whole.path)
    assert parts.evaluation.keys() == whole.evaluation.keys()


@pytest.mark.usefixtures("in_this_process")
def test_where_all_stop_it_is_an_error_and_what_was_learned_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their evaluation is missing, as it is after training on one machine."""
    monkeypatch.setitem(WORLDS, "Doomed-v0", Doomed(500, 475.0, share=0.05))
    said = []
    for name, ray in (("whole", None), ("parts", "auto")):
        given: dict[str, Any] = {"seeds": 2, "steps": 1000, "episodes": 2, "quiet": True}
        with pytest.raises(UphillError, match=f"is saved in .*{name}") as raised:
            uphill.train("Doomed-v0", PPO, out=tmp_path / name, ray=ray, **given)
        *each, _ = str(raised.value).splitlines()
        said.append([line.partition(" The batch is kept")[0] for line in each])
    assert [*map(seed_in, said[1])] == [0, 1]
    assert said[0] == said[1][1:]  # of the other it was said when it stopped
    files = [{*contents_of(tmp_path / name)} - {"curve.png"} for name in ("whole", "parts")]
    assert {name.split("-")[0] for name in files[0] ^ files[1]} <= {"checkpoint/latest"}
    assert "evaluation.json" not in files[1]


def seed_in(sentence: str) -> int:
    return int(sentence.split("(seed ")[1].split(")")[0])


def check_same(parts: Path, whole: Path) -> None:
    """To rounding: programs of one seed and of two sum in other orders."""
    rows, others = rows_of(parts), rows_of(whole)
    assert [*map(numbers_of, rows)] == [
        pytest.approx(numbers_of(other), rel=1e-3, abs=1e-6, nan_ok=True) for other in others
    ]
    facts, other = (read_manifest(x, "latest").facts for x in (parts, whole))
    for name in ("num_updates", "num_transitions", "not_finite", "tracked", "milestones"):
        assert getattr(facts, name) == getattr(other, name)
    found, expected = tensors_of(parts), tensors_of(whole)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-3, atol=1e-5)
