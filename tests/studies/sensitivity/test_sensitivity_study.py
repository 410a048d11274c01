"""A study of sensitivity: what it trains, how it goes on, what it chooses and says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uphill
from command_line import run_cli
from small_runs import POLICY
from uphill.errors import UphillError
from uphill.parts import GAE, Episodes
from uphill.runs.sensitivity import SavedSensitivity
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.settings_file import read_settings
from uphill.studies.sensitivity import study
from uphill.studies.sensitivity.around import grid_around, values_around
from uphill.studies.sensitivity.study import SensitivityStudy
from uphill.studies.tuning.space import Range
from uphill.training.trainer import Trainer
from uphill.views.report.page import study_page
from uphill.views.report.shelf import Shelf
from uphill.views.sensitivity import result_of
from uphill.views.sweeps import rows_of

ENVS = ["CartPole-v1", "Pendulum-v1"]
SMALL = uphill.reinforce(sampling=Episodes(num_envs=2), policy=POLICY)
ALGORITHMS = {"small": SMALL}
GRID = {"optimizer.learning_rate": [1e-3, 1e-1], "estimator.gamma": [0.9, 0.99]}
ASKED: dict[str, Any] = {
    "grid": GRID,
    "seeds": 2,
    "steps": 100,
    "episodes": 2,
    "fresh_seeds": 2,
    "quiet": True,
}


def study_into(out: Path, **changes: Any) -> SensitivityStudy:
    return uphill.sensitivity(ENVS, ALGORITHMS, out=out, **{**ASKED, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SensitivityStudy:
    """A study that was interrupted between its sweeps, and went on."""
    out, train, calls = tmp_path_factory.mktemp("studies") / "study", study.train_settings, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train_settings", interrupted)
        with pytest.raises(Interrupted, match=r"Go on with: the same uphill\.sensitivity\(…, out"):
            study_into(out)
    assert "4 of 8 settings still train or wait" in study_page(SavedSensitivity(out)).html
    return study_into(out)


def test_one_setting_is_chosen_for_all_and_shown_on_fresh_seeds(done: SensitivityStudy) -> None:
    (one,) = done.result.algorithms
    saved = SavedSensitivity(done.path)
    means = np.array(
        [[np.mean(row.per_seed) for row in rows_of(saved.sweep("small", env))] for env in ENVS]
    )
    low, high = np.percentile(means, (5, 95), axis=1)[..., None]
    score = ((means - low) / (high - low)).mean(0)
    assert one.choice == saved.sweep("small", ENVS[0]).runs[int(score.argmax())].setting
    assert one.sensitivity.shared.value == pytest.approx(score.max())
    assert [env.tuned_score for env in one.envs] == list(means.max(1))
    for env in one.envs:
        fresh = saved.fresh("small", env.env)
        assert fresh is not None
        assert [run.folder for run in fresh.runs] == ["choice", "default"]
        run = uphill.load(fresh.path / "choice")
        assert run.experiment.all_seeds == (2, 3)
        assert env.choice is not None
        assert env.p_better is not None
        assert env.choice.per_seed == tuple(run.evaluation["deterministic"]["per_seed"])  # pyright: ignore[reportOptionalSubscript]
    assert one.p_better is not None
    assert one.p_better[0] == pytest.approx(
        np.mean([env.p_better[0] for env in one.envs if env.p_better])
    )
    assert json.dumps(done.summary(), allow_nan=False)


def test_what_was_chosen_can_be_trained_with(done: SensitivityStudy) -> None:
    experiment = uphill.load(done.path / "small-fresh" / "Pendulum-v1" / "choice").experiment
    document = json.loads(done.settings["small"].read_text())
    assert (document["algo"], document["steps"]) == ("reinforce", 100)
    read = read_settings(done.settings["small"], "Pendulum-v1")
    assert read.start.algorithm == experiment.composition
    assert read.others["episodes"] == 100


def test_nothing_that_is_done_is_trained_again(
    done: SensitivityStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "advance", None)
    assert study_into(done.path).table == done.table
    with pytest.raises(UphillError, match="fresh_seeds is 5000: use at most 4096"):
        study_into(done.path, fresh_seeds=5000)
    with pytest.raises(UphillError, match="a study that differs in steps: give what was given"):
        study_into(done.path, steps=200)


def test_it_is_shown(
    done: SensitivityStudy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert done.picture.read_bytes().startswith(b"\x89PNG")
    html = study_page(SavedSensitivity(done.path)).html
    assert "Sensitivity to tuning in 2 environments" in html
    assert "data:image/png;base64," in html
    shelf = Shelf(done.path.parent)
    assert "sensitivity of small in 2 environments" in shelf.index().html
    page = shelf.sweep(done.path.name)
    assert page is not None
    assert "P(choice &gt; default)" in page.html
    inner = shelf.sweep(f"{done.path.name}/small/CartPole-v1")
    assert inner is not None
    assert "4 settings swept" in inner.html
    shelf.close()
    monkeypatch.setattr(study, "sensitivity", lambda **given: done)
    assert run_cli("sensitivity", *ENVS, "--algo", "ppo") == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["tuned", "shared", "Φ", "effective", "dimension"]
    assert f"--settings {done.settings['small']}" in shown
    assert run_cli("report", done.path) == 0
    assert (done.path / "report.html").exists()


def test_an_environment_that_tells_no_settings_apart_is_left_out(
    done: SensitivityStudy, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    shutil.copytree(done.path, out)
    for path in out.glob("small/CartPole-v1/*/evaluation.json"):
        document = json.loads(path.read_text())
        document["deterministic"] |= {"per_seed": [9.0, 9.0], "iqm": 9.0, "ci95": [9.0, 9.0]}
        path.write_text(json.dumps(document))
    with pytest.raises(UphillError, match=r"two environments tell settings apart\. CartPole-v1 is"):
        study_into(out)


def test_a_setting_that_failed_counts_as_the_worst(done: SensitivityStudy, tmp_path: Path) -> None:
    out = tmp_path / "study"
    shutil.copytree(done.path, out)
    best = max(rows_of(SavedSensitivity(out).sweep("small", ENVS[0])), key=lambda row: row.iqm or 0)
    (out / "small" / ENVS[0] / "faults.json").write_text(json.dumps({best.run: "it was lost."}))
    (out / "small" / ENVS[0] / best.run / "evaluation.json").unlink()
    (one,) = result_of(SavedSensitivity(out)).algorithms
    assert one.failed == 1
    assert one.envs[0].tuned != best.setting
    assert one.envs[0].tuned_score < np.mean(best.per_seed)


# --- the grid -----------------------------------------------------------------------------------


def test_the_grid_has_the_default_between_two_values() -> None:
    grid = grid_around(uphill.ppo())
    assert list(map(len, grid.values())) == [3, 3, 3, 3]
    rates = ["linear:5e-05:0.0", "linear:0.0005:0.0", "linear:0.005:0.0"]
    assert grid["optimizer.learning_rate"] == rates
    assert grid_around(uphill.vpg())["optimizer.learning_rate"] == [3e-4, 3e-3, 3e-2]
    assert grid["estimator.gamma"] == [0.944, 0.99, 0.9982]
    assert grid["entropy"] == [0.0, 0.017, 0.033]  # no room below
    outside = uphill.a2c(estimator=GAE(gamma=0.99, lam=1.0))
    assert grid_around(outside)["estimator.lam"] == [0.937, 0.9921, 1.0]
    assert grid_around(uphill.reinforce())["sampling.num_envs"] == [8, 16, 32]
    assert values_around(Range(1, 5), 3.0) == [2, 3, 4]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["CartPole-v1", "--algo", "ppo"], "A second ENV is missing: write `uphill sensitivity"),
        (ENVS, "--algo is missing"),
        ([*ENVS, "--algo", "pop"], "There is no algorithm 'pop': use one of reinforce, vpg"),
        (
            [*ENVS, "--algo", "ppo", "--algo", "ppo"],
            "--algo ppo is given twice: name each algorithm once",
        ),
        (["CartPole-v1", "CartPole-v1", "--algo", "ppo"], "CartPole-v1 is given twice"),
        (["CartPole-v1", "Cartpol", "--algo", "ppo"], "There is no environment 'Cartpol'"),
        ([*ENVS, "--algo", "ppo", "--seeds", "1"], "seeds is 1: intervals are over seeds, so use"),
        (
            [*ENVS, "--algo", "ppo", "--grid", "gama=0.9,1"],
            "There is no setting gama to sweep",
        ),
        ([*ENVS, "--algo", "ppo", "--grid", "entropy=0"], "The grid has one setting of ppo"),
        (
            [*ENVS, "--algo", "reinforce", "--algo", "ppo", "--grid", "estimator.lam=0.9,1"],
            "reinforce has none of the settings estimator.lam: leave it out, or add",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(
    words: list[str], sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("sensitivity", *words, "--out", tmp_path / "study") in (1, 2)
    assert sentence in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "study").exists()


def test_variants_have_names_of_their_own_and_a_folder_of_something_else_is_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(UphillError, match="reinforce twice: give variants names of their own"):
        uphill.sensitivity(ENVS, [SMALL, SMALL])
    with pytest.raises(UphillError, match="CartPole-v1 is one: name another, or use sweep"):
        uphill.sensitivity("CartPole-v1", "ppo")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UphillError, match="exists already, and is not a sensitivity study: choose"):
        study_into(tmp_path)


def test_what_does_not_fit_an_environment_is_told_before_any_is_trained(tmp_path: Path) -> None:
    grid = {"policy.distribution": ["gaussian", "beta"], "entropy": [0, 0.1]}
    for steps in (100, 200):  # in a folder in which nothing was trained yet another study may begin
        with pytest.raises(UphillError, match=r"beta, entropy 0 can't be: the policy's distribut"):
            uphill.sensitivity(ENVS[::-1], ALGORITHMS, out=tmp_path, grid=grid, steps=steps)
