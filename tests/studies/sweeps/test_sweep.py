"""Sweeps: what each setting learns, what is written, and how they go on."""

import errno
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

import uphill
from command_line import SMALL, run_cli
from small_runs import rows_of, small_ppo, tensors_of, train_small
from uphill.clusters.parcels import packed
from uphill.errors import UphillError
from uphill.parts import ClippedRatio
from uphill.runs import own_code
from uphill.runs.experiment import installed_versions, read_experiment
from uphill.runs.folder import Folder
from uphill.runs.lock import RunLock
from uphill.runs.sweeps import TASKS_FOLDER, SavedSweep, write_faults, write_sweep
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.launch import Request
from uphill.sessions.resume import begun_or_resumed
from uphill.studies.sweeps.plan import common_of
from uphill.studies.sweeps.sweep import Sweep
from uphill.training.trainer import Trainer
from uphill.views.report.page import study_page, write_study_report
from uphill.views.report.shelf import Shelf
from uphill.views.sweeps import ranked, sweep_table
from uphill.views.sweeps import rows_of as rows_of_sweep

GRID = {"optimizer.learning_rate": [1e-2, 1e38], "estimator.gamma": [0.9, 0.99]}
ASKED: dict[str, Any] = {"seeds": 3, "steps": 200, "episodes": 4, "quiet": True}


def sweep_into(out: Path, **changes: Any) -> Sweep:
    given: dict[str, Any] = {"grid": GRID, **ASKED, **changes}
    return uphill.sweep("CartPole-v1", small_ppo(), out=out, **given)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep that was interrupted, and went on; two of its settings can't but fail."""
    out, advance, calls = tmp_path_factory.mktemp("sweeps") / "sweep", Trainer.advance, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return advance(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "advance", interrupted)
        with pytest.raises(Interrupted, match=r"Go on with: the same uphill\.sweep"):
            sweep_into(out)
    states = {row.state for row in rows_of_sweep(SavedSweep(out))}
    assert "training" in states
    assert "done" not in states
    return sweep_into(out)


@pytest.mark.bits
def test_each_setting_learns_what_it_would_alone(done: Sweep, tmp_path: Path) -> None:
    run = done.runs[1]
    alone = train_small(tmp_path / "alone", run.experiment.composition, seeds=3, steps=200)
    for ours, theirs in zip(rows_of(run.path), rows_of(alone.path), strict=True):
        measured = [(x.pop("gradient/snr"), x.pop("policy/kl")) for x in (ours, theirs)]
        assert ours == theirs  # to the bit; what a program of its own measures to the last digits
        numbers = [[float(x or "nan") for x in each] for each in measured]
        np.testing.assert_allclose(*numbers, rtol=1e-4)
    for name in ("latest", "best"):
        ours, theirs = tensors_of(run.path, name), tensors_of(alone.path, name)
        assert ours.keys() == theirs.keys()
        for tensor, values in theirs.items():
            np.testing.assert_array_equal(ours[tensor], values, err_msg=tensor)
    assert run.evaluation == alone.evaluation
    assert [vars(m) | {"seconds": 0} for m in run.milestones] == [
        vars(m) | {"seconds": 0} for m in alone.milestones
    ]
    differ = {"command"}
    ours, theirs = vars(read_experiment(run.path)), vars(read_experiment(alone.path))
    assert {name for name in ours if repr(ours[name]) != repr(theirs[name])} <= differ


def test_one_that_fails_is_told_and_the_others_go_on(done: Sweep) -> None:
    assert [row.state for row in done.rows] == ["done", "done", "failed", "failed"]
    assert "is not finite" in done.rows[2].fault
    assert "Lower the optimizer's learning_rate" in done.rows[2].fault
    best = ranked(done.rows)[0]
    assert best.state == "done"
    heads, first, *_, last = sweep_table(ranked(done.rows))
    assert heads[:3] == ["learning-rate", "gamma", "IQM"]
    assert heads[-3:] == ["worst seed", "steps to 475", "solved"]
    assert first[0] == "0.01"
    assert last[:3] == ["1e+38", last[1], "failed"]
    assert (first[-1][-5:], last[-1]) == (" of 3", "–")
    assert done.table[0]["worst"] == min(done.table[0]["per_seed"])


class Stumbles(ClippedRatio):
    """A surrogate of one's own with a mistake in it."""

    def __call__(self, sample: Any) -> Any:
        return sample.rato


def test_a_custom_part_that_raises_fails_its_settings(tmp_path: Path) -> None:
    algorithm = small_ppo(surrogate=Stumbles())
    asked: dict[str, Any] = {"seeds": 1, "steps": 64, "episodes": 1, "quiet": True}
    grid = {"num_epochs": [1, 2]}  # two programs, of which the second begins all the same
    done = uphill.sweep("CartPole-v1", algorithm, grid=grid, out=tmp_path / "sweep", **asked)
    assert [row.state for row in done.rows] == ["failed", "failed"]
    assert "its custom part raised AttributeError: 'Sample' object has no" in done.rows[1].fault
    assert "test_sweep.py, line" in done.rows[1].fault


def test_a_flag_that_is_in_the_grid_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--grid", "optimizer.learning_rate=1e-3,1e-2", "--optimizer.learning_rate=5"]
    assert run_cli("sweep", "CartPole-v1", *words) == 2
    assert "--optimizer.learning-rate is in the grid, and has a value of" in capfd.readouterr().err


def test_it_has_a_picture_and_a_page_also_while_it_is_watched(done: Sweep) -> None:
    assert done.picture.read_bytes().startswith(b"\x89PNG")
    html = study_page(SavedSweep(done.path)).html
    assert "4 settings swept" in html
    with pytest.raises(UphillError, match=r"sweep\.json: give a file that ends in \.html"):
        write_study_report(SavedSweep(done.path), done.path / "sweep.json")
    assert "data:image/png;base64," in html
    assert "1e+38" in html
    assert "failed" in html
    shelf = Shelf(done.path.parent)
    assert f"/sweep?name={done.path.name}" in shelf.index().html
    page = shelf.sweep(done.path.name)
    assert page is not None
    assert f"/report?run={done.path.name}%2F" in page.html
    assert shelf.sweep("nothing") is None
    shelf.close()


def test_what_is_done_is_not_trained_again(
    done: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Trainer, "advance", None)
    assert sweep_into(done.path).table == done.table
    capsys.readouterr()
    sweep_into(done.path, quiet=False)
    assert "Trained already: 4 of 4 settings (2 failed), in " in capsys.readouterr().err


def test_other_versions_are_told(
    done: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = installed_versions() | {"jax": "9.9"}
    monkeypatch.setattr(own_code, "installed_versions", lambda: versions)
    sweep_into(done.path, quiet=False)
    assert "with other versions: now it is jax 9.9 in place of" in capsys.readouterr().err


def test_what_may_differ_counts_for_settings_that_were_begun_too(tmp_path: Path) -> None:
    request = Request(
        "CartPole-v1", small_ppo(), steps=200, episodes=4, out=tmp_path / "run", quiet=True
    )
    with begun_or_resumed(request, is_new=True) as session:
        session.keeper.save(session.trainer.start(), session.memory)
    now = replace(request, checkpoint_every=5.0, devices=2)
    with begun_or_resumed(now, is_new=False) as session:
        assert session.experiment.checkpoint_every == 5
        assert session.experiment.devices == session.trainer.devices == 2


def test_a_network_has_the_same_name_in_every_process(tmp_path: Path) -> None:
    def network(num_features: int, key: Any, width: int) -> eqx.Module:
        return eqx.nn.Linear(num_features, width, key=key)

    class Factory:
        def __call__(self, num_features: int, key: Any) -> eqx.Module:
            return network(num_features, key, 4)

    for own, name in ((partial(network, width=8), "network"), (Factory(), "Factory")):
        request = Request("CartPole-v1", small_ppo(), network=own, steps=200)
        assert common_of(request).experiment.network == name


def test_what_came_from_a_cluster_is_taken_in_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"estimator.gamma": [0.9]}
    made = sweep_into(tmp_path / "sweep", grid=grid)
    (run,) = made.runs
    (tmp_path / "sent").mkdir()
    run.path.rename(tmp_path / "sent" / run.path.name)
    parcel = made.path / TASKS_FOLDER / "task-0.zip"
    parcel.parent.mkdir()
    parcel.write_bytes(packed(tmp_path / "sent"))
    monkeypatch.setattr(Trainer, "advance", None)
    assert sweep_into(made.path, grid=grid).table == made.table
    assert not parcel.exists()


def test_what_a_cluster_has_sent_is_no_beginning_of_another_sweep(tmp_path: Path) -> None:
    grid = {"estimator.gamma": [0.9]}
    made = sweep_into(tmp_path / "sweep", grid=grid)
    (tmp_path / "sent").mkdir()
    made.runs[0].path.rename(tmp_path / "sent" / made.runs[0].path.name)
    (made.path / TASKS_FOLDER).mkdir()
    (made.path / TASKS_FOLDER / "task-0.zip").write_bytes(packed(tmp_path / "sent"))
    with pytest.raises(UphillError, match="is of a sweep that differs in steps"):
        sweep_into(made.path, grid=grid, steps=100)


def test_what_failed_is_tried_again_unless_its_numbers_were_not_finite(tmp_path: Path) -> None:
    calls: list[int] = []

    def unlucky(rows: Any, policies: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the plug was pulled")

    grid = {"estimator.gamma": [0.9, 0.99]}
    made = sweep_into(tmp_path / "sweep", grid=grid, on_point=unlucky)
    assert [row.state for row in made.rows].count("failed") == 1
    again = sweep_into(tmp_path / "sweep", grid=grid, on_point=unlucky)
    assert [row.state for row in again.rows] == ["done", "done"]
    assert SavedSweep(made.path).faults == {}
    # What was continued by other means is done, too.
    write_faults(made.path, {made.runs[0].path.name: "something"})
    assert [row.state for row in rows_of_sweep(SavedSweep(made.path))] == ["done", "done"]


@pytest.mark.parametrize("backend", ["compiled", "gymnasium"])
def test_a_full_disk_ends_the_sweep_and_is_no_fault_of_a_setting(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"grid": {"estimator.gamma": [0.9, 0.99]}, "backend": backend}
    write = Folder.write

    def full(folder: Folder, name: str, *arguments: Any, **keywords: Any) -> None:
        if name == "latest.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, name, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write", full)
        with pytest.raises(UphillError, match=r"could not be written to .* \(No space left"):
            sweep_into(tmp_path / "sweep", **asked)
    assert SavedSweep(tmp_path / "sweep").faults == {}
    again = sweep_into(tmp_path / "sweep", **asked)
    assert [row.state for row in again.rows] == ["done", "done"]


def test_the_number_of_environments_varies_or_is_given(tmp_path: Path) -> None:
    grid = {"sampling.num_envs": [2, 4]}
    with pytest.raises(UphillError, match="envs=2 fixes what the grid varies"):
        sweep_into(tmp_path / "sweep", grid=grid, envs=2)
    made = sweep_into(tmp_path / "sweep", grid={"entropy": [0.0]}, envs=2)
    assert made.runs[0].experiment.composition.sampling.num_envs == 2


def test_two_processes_do_not_train_one_sweep(done: Sweep, tmp_path: Path) -> None:
    with RunLock(done.path, is_new=True), pytest.raises(UphillError, match="is being trained by"):
        sweep_into(done.path)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    write_sweep(fresh, SavedSweep(done.path).asked, [])
    with RunLock(fresh, is_new=True), pytest.raises(UphillError, match="that differs in steps"):
        sweep_into(fresh, steps=100)  # nothing of it has a run directory yet


def test_settings_that_stopped_do_not_count_for_how_far_training_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, show = [], Progress.show

    def noted(progress: Progress, steps: Any, *others: Any) -> None:
        shown.append(len(steps))
        show(progress, steps, *others)

    monkeypatch.setattr(Progress, "show", noted)
    sweep_into(tmp_path / "sweep", grid={"optimizer.learning_rate": [1e-2, 1e38]})
    assert shown[-1] == 3


def test_the_folder_of_another_sweep_is_refused(done: Sweep, tmp_path: Path) -> None:
    with pytest.raises(UphillError, match="is of a sweep that differs in steps"):
        sweep_into(done.path, steps=300)
    with pytest.raises(UphillError, match="differs in grid: give what was given then, or choo"):
        sweep_into(done.path, grid={"estimator.gamma": [0.5, 0.9]})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UphillError, match="exists already, and is not a sweep folder"):
        sweep_into(tmp_path)


def test_what_does_not_fit_the_environment_is_told_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    grid = {"policy.distribution": ["gaussian", "beta"], "entropy": [0, 0.1]}
    with pytest.raises(
        UphillError, match=r"beta, entropy 0 can't be: the policy's distribution is"
    ):
        sweep_into(tmp_path / "sweep", grid=grid)
    with pytest.raises(UphillError, match="beta can't be"):  # what is asked for may be mended
        sweep_into(tmp_path / "sweep", grid={"policy.distribution": ["gaussian", "beta"]})


def test_settings_train_one_after_another_elsewhere_and_from_the_command_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sweep"
    words = ["sweep", "CartPole-v1", *SMALL, "--backend", "gymnasium", "--seeds", 1, "--quiet"]
    words += ["--grid", "entropy=0,0.1", "--out", out, "--json"]
    assert run_cli(*words) == 0
    result = json.loads(capfd.readouterr().out)
    assert (result["sweep"], result["picture"]) == (str(out), str(out / "sweep.png"))
    assert [row["run"] for row in result["settings"]] == ["entropy=0", "entropy=0.1"]
    assert [row["setting"] for row in result["settings"]] == [{"entropy": 0}, {"entropy": 0.1}]
    assert all(row["state"] == "done" and row["iqm"] > 0 for row in result["settings"])
    assert run_cli("report", out) == 0
    assert (out / "report.html").exists()
