"""A search: its trials, its going on, and what is said of the winner."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uphill
from command_line import run_cli
from small_runs import POLICY, small_ppo
from uphill.errors import UphillError
from uphill.parts import Algorithm, Episodes
from uphill.runs import own_code
from uphill.runs.experiment import installed_versions
from uphill.runs.metrics import read_metrics
from uphill.runs.sweeps import SavedSweep, SweptRun, fresh_folder, write_faults, write_sweep
from uphill.sessions.interrupts import Interrupted
from uphill.studies.sweeps.changes import value_at
from uphill.studies.tuning import proposals, tune
from uphill.training.trainer import Trainer
from uphill.views.report.page import study_page
from uphill.views.sweeps import rows_of
from uphill.words import number

ASKED: dict[str, Any] = {"seeds": 2, "steps": 200, "episodes": 4, "fresh_seeds": 2, "quiet": True}
SEARCH = {"optimizer.learning_rate": "1e-3:1e-1:log", "entropy": [0.0]}


def tune_into(out: Path, trials: int, **changes: Any) -> tune.Tuning:
    given: dict[str, Any] = {"search": SEARCH, **ASKED, **changes}
    return uphill.tune("CartPole-v1", small_ppo(), trials=trials, out=out, **given)


def small_reinforce() -> Algorithm:
    return uphill.reinforce(sampling=Episodes(4), policy=POLICY)


def settings_in(out: Path) -> list[dict[str, Any]]:
    return [run.setting for run in SavedSweep(out).runs]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tune.Tuning:
    """A search in batches of two, that was interrupted in its second one, and went on."""
    out, ask, calls = tmp_path_factory.mktemp("tuning") / "tuned", proposals.proposals, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ask(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "BATCH", 2)
        patch.setattr(tune, "proposals", interrupted)
        with pytest.raises(Interrupted, match=r"Go on with: the same uphill\.tune"):
            tune_into(out, 4)
        assert len(settings_in(out)) == 2
        patch.setattr(tune, "proposals", ask)
        return tune_into(out, 4)


def test_the_winner_is_confirmed_on_fresh_seeds(done: tune.Tuning) -> None:
    assert [row.state for row in done.trials] == ["done"] * 4
    best = max(row.iqm for row in done.trials if row.iqm is not None)
    assert done.setting in [row.setting for row in done.trials if row.iqm == best]
    winner, default = (run.experiment for run in done.runs)
    assert winner.all_seeds == default.all_seeds == (2, 3)
    assert default.composition.optimizer == small_ppo().optimizer
    assert 0 <= done.p_better[0] <= 1
    assert json.dumps(done.summary())
    html = study_page(SavedSweep(done.path)).html
    assert "4 trials searched" in html
    lead = re.sub(r"\s+", " ", html.partition('<p class="lead">')[2].partition("</p>")[0])
    if done.winner == done.default:
        assert "No trial came to more than the default, which reaches" in lead
    else:
        assert f"P(winner &gt; default) is {done.p_better[0]:.2f} (" in lead
    assert f"reaches {number(done.winner.iqm)} (95 % interval" in lead
    assert "over 2 seeds that no trial had" in lead
    aside = fresh_folder(done.path, next(r.run for r in done.trials if r.setting == done.setting))
    (aside / "sweep.json").rename(aside / "elsewhere")
    try:
        unconfirmed = study_page(SavedSweep(done.path)).html
    finally:
        (aside / "elsewhere").rename(aside / "sweep.json")
    assert "What it is worth, fresh seeds have yet to show" in unconfirmed
    assert f"reaches {number(best)}" not in unconfirmed
    assert "data:image/png;base64," in html  # sweep.png shows the trials


def test_trials_may_be_judged_by_the_area_under_their_curves(done: tune.Tuning) -> None:
    row = rows_of(SavedSweep(done.path), "curve")[0]
    metrics = read_metrics(done.path / row.run)
    areas = []
    for seed in (0, 1):
        own = (metrics["seed"] == seed) & np.isfinite(metrics["rollout/episode_return"])
        steps, returns = metrics["steps"][own], metrics["rollout/episode_return"][own]
        pieces = np.diff(steps) * (returns[1:] + returns[:-1]) / 2
        areas.append(pieces.sum() / (steps[-1] - steps[0]))
    assert row.per_seed == pytest.approx(areas)
    assert row.worst == min(row.per_seed)
    assert row.iqm == pytest.approx(np.mean(areas))
    assert row.per_seed != done.trials[0].per_seed
    with pytest.raises(UphillError, match="is of a sweep that differs in objective"):
        tune_into(done.path, 4, objective="curve")


def test_other_versions_are_told(
    done: tune.Tuning, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = installed_versions() | {"jax": "9.9"}
    monkeypatch.setattr(own_code, "installed_versions", lambda: versions)
    tune_into(done.path, 4, quiet=False)
    assert "begun with other versions: now it is jax 9.9 in place of" in capsys.readouterr().err


def test_fresh_seeds_that_cannot_be_are_refused_before_the_search(tmp_path: Path) -> None:
    for given, told in (
        ({"fresh_seeds": 5000}, "fresh_seeds is 5000: use at most 4096"),
        ({"seed": 2**31 - 4}, "seed is 2147483644, and the fresh seeds come after 2 others: use a"),
    ):
        with pytest.raises(UphillError, match=told):
            tune_into(tmp_path / "tuning", 4, **given)
    assert not (tmp_path / "tuning").exists()


def test_its_settings_can_be_trained_with(done: tune.Tuning, tmp_path: Path) -> None:
    given = {"settings": done.settings, "seeds": 2, "seed": 2, "quiet": True}
    again = uphill.train("CartPole-v1", out=tmp_path / "again", **given)
    assert again.experiment.composition == done.runs[0].experiment.composition
    assert again.experiment.steps == 200
    assert again.evaluation == done.runs[0].evaluation


def test_trials_that_are_done_are_not_trained_again(
    done: tune.Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "advance", None)
    again = tune_into(done.path, 4)
    assert (again.trials, again.winner) == (done.trials, done.winner)
    with pytest.raises(UphillError, match=r"is of a sweep that differs in .*search"):
        tune_into(done.path, 4, search={"entropy": "0:0.1"})
    with pytest.raises(UphillError, match=r"fresh-.* is of a sweep that differs in .*seeds: give"):
        tune_into(done.path, 4, fresh_seeds=3)


def test_values_that_do_not_fit_together_are_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    misfits, found = tune._misfits, []

    def told(*arguments: Any) -> dict[str, str]:
        found.append(misfits(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "_misfits", told)
    with pytest.raises(Interrupted):
        tune_into(tmp_path / "tuned", 8, search={"num_minibatches": [2, 3]})
    assert found[0]
    assert all("num_minibatches is 3" in fault for fault in found[0].values())


def test_a_search_that_trained_nothing_leaves_its_folder_to_any_other(tmp_path: Path) -> None:
    """Before a trial has a run directory; what failed belongs to its search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "train_settings", interrupted)
        with pytest.raises(Interrupted):
            tune_into(tmp_path / "tuned", 4, search={"estimator.gamma": "0.5:0.6"})
    assert settings_in(tmp_path / "tuned")
    found = tune_into(tmp_path / "tuned", 2, search={"entropy": [0.0, 0.1]})
    assert {row.setting["entropy"] for row in found.trials} <= {0.0, 0.1}
    assert all(row.setting["estimator.gamma"] > 0.6 for row in found.trials)
    write_faults(tmp_path / "tuned", {"trial-0000": "of another search"})
    with pytest.raises(UphillError, match="is of a sweep that differs in search"):
        tune_into(tmp_path / "tuned", 2, search={"entropy": "0:0.1"})


def interrupted(*arguments: Any) -> Any:
    raise KeyboardInterrupt


def test_minutes_are_those_of_the_whole_search(
    done: tune.Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for once more, it does not search for as long again."""
    saved = SavedSweep(done.path)
    assert saved.seconds > 0
    monkeypatch.setattr(Trainer, "advance", None)
    again = tune_into(done.path, 50, minutes=saved.seconds / 60)
    assert again.trials == done.trials


def test_a_winner_that_is_the_default_trains_once(tmp_path: Path) -> None:
    given: dict[str, Any] = {"search": {"entropy": ["linear:1e-2:0", 50.0]}}
    found = tune_into(tmp_path / "tuned", 1, **given)
    assert found.winner == found.default
    assert [run.path.name for run in found.runs] == ["winner"]
    assert found.p_better[0] == 0.5


def test_a_folder_that_has_the_default_twice_is_still_its_own(tmp_path: Path) -> None:
    """As older versions trained it."""
    found = tune_into(tmp_path / "tuned", 1, search={"entropy": ["linear:1e-2:0", 50.0]})
    aside = found.runs[0].path.parent
    run = found.runs[0].path.rename(aside / "default")
    saved = SavedSweep(aside)
    algorithm = small_ppo()
    setting = saved.runs[0].setting
    usual = {path: value_at(algorithm, path) for path in setting}
    write_sweep(aside, saved.asked, [SweptRun("winner", setting), SweptRun("default", usual)])
    again = tune_into(tmp_path / "tuned", 1, search={"entropy": ["linear:1e-2:0", 50.0]})
    assert [run.path.name for run in again.runs] == ["winner", "default"]
    assert again.default.per_seed == again.winner.per_seed
    assert run.exists()


def test_a_choice_of_which_all_trials_failed_is_left_out_of_the_picture(tmp_path: Path) -> None:
    """GAE needs a value function, which this algorithm does not have."""
    search = {"estimator": ["reward-to-go", "gae"], "estimator.lam": "0.9:0.99"}
    found = uphill.tune("CartPole-v1", small_reinforce(), trials=4, search=search,
                        out=tmp_path / "tuned", **ASKED)  # fmt: skip
    assert {row.state for row in found.trials} == {"done", "failed"}
    assert found.path.joinpath("sweep.png").exists()


def test_parts_that_are_searched_leave_out_what_they_lack(tmp_path: Path) -> None:
    search = {"estimator": ["gae", "monte-carlo"], "estimator.lam": "0.9:0.99"}
    with pytest.raises(UphillError, match="estimator is 'monte-carlo': choose"):
        tune_into(tmp_path / "tuned", 4, search=search)
    search["estimator"] = ["gae", "td-residual"]
    found = tune_into(tmp_path / "tuned", 6, search=search)
    assert all(row.state == "done" for row in found.trials)
    chosen = {row.setting["estimator"]: "estimator.lam" in row.setting for row in found.trials}
    assert chosen == {"gae": True, "td-residual": False}
    assert found.path.joinpath("sweep.png").exists()


def test_the_number_of_environments_is_searched_or_given(tmp_path: Path) -> None:
    given: dict[str, Any] = {"envs": 4, "search": {"sampling.num_envs": [2, 4]}}
    with pytest.raises(UphillError, match="envs=4 fixes what the search varies"):
        tune_into(tmp_path / "tuned", 2, **given)


def test_what_is_wrong_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["tune", "CartPole-v1", "--out", tmp_path / "tuned"]
    assert run_cli(*words, "--trials", 0) == 1
    assert "trials is 0: use at least 1" in capfd.readouterr().err
    assert run_cli(*words, "--search", "estimator.gamma=1:0") == 1
    assert "so write 0:0.9999" in capfd.readouterr().err
    assert run_cli(*words, "--search", "policy.hidden=32:64") == 1
    assert "as in --search 'policy.hidden=64 64,…'" in capfd.readouterr().err
    assert run_cli(*words, "--objective", "last") != 0
    assert "--objective is 'last': choose final or curve" in capfd.readouterr().err
    monkeypatch.setattr(proposals.importlib.util, "find_spec", lambda name: None)
    assert run_cli(*words) == 1
    assert "pip install 'uphill[tune]'" in capfd.readouterr().err
    assert not (tmp_path / "tuned").exists()
