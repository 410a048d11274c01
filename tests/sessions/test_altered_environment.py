"""A run in an environment that was changed: kept, and the same wherever the run is used."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from gymnasium.wrappers import TransformReward

import uphill
from python_envs import Doubled, Endless, Speaking, Truncating
from small_runs import rows_of, small_vpg, train_small
from uphill.envs.alterations import Alterations
from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.envs.wrappers import wrappings_of
from uphill.errors import UphillError
from uphill.runs.experiment import read_experiment
from uphill.runs.files import EVALUATION_FILE
from uphill.runs.given import environment_of, environment_settings


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a time limit of 6 steps in an environment without one."""
    out = tmp_path_factory.mktemp("runs") / "endless"
    asked = {"steps": 48, "episodes": 2, "out": out, "quiet": True}
    uphill.train(Endless, small_vpg(), max_episode_steps=6, **asked)
    return out


def test_a_time_limit_is_kept_and_used(endless: Path, tmp_path: Path) -> None:
    assert read_experiment(endless).max_episode_steps == 6
    assert {row["rollout/episode_length"] for row in rows_of(endless)} == {"6"}
    evaluation = json.loads((endless / EVALUATION_FILE).read_text())
    assert evaluation["deterministic"]["mean"] == 6
    resumed = shutil.copytree(endless, tmp_path / "resumed")
    run = uphill.resume(resumed, env=Endless, steps=72, episodes=2, quiet=True)
    assert run.evaluation == evaluation
    assert len(rows_of(resumed)) > len(rows_of(endless))


def test_an_evaluation_with_another_limit_is_not_written(
    endless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (endless / EVALUATION_FILE).read_bytes()
    result = uphill.evaluate(endless, 2, env=Endless, max_episode_steps=3)
    assert result["stochastic"]["mean"] == 3
    assert (endless / EVALUATION_FILE).read_bytes() == before
    assert "another time limit than training: it is not written" in capsys.readouterr().err
    with pytest.raises(UphillError, match="max_episode_steps is 0: use"):
        uphill.evaluate(endless, 2, env=Endless, max_episode_steps=0)


def test_an_evaluation_in_another_environment_is_not_written(
    endless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Elsewhere(Endless):
        pass

    before = (endless / EVALUATION_FILE).read_bytes()
    uphill.evaluate(endless, 2, env=Elsewhere)
    assert (endless / EVALUATION_FILE).read_bytes() == before
    said = capsys.readouterr().err
    assert "is in Elsewhere, and training was in Endless: it is not written" in said
    uphill.evaluate(endless, 2, env=Endless)
    assert "not written" not in capsys.readouterr().err
    resumed = shutil.copytree(endless, tmp_path / "resumed")
    uphill.resume(resumed, env=Elsewhere, steps=72, episodes=2)
    assert "continues in Elsewhere; until now it was trained in Endless" in capsys.readouterr().err


def test_the_environments_own_limit_is_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_small(tmp_path / "run", small_vpg())
    limit = WORLDS[run.experiment.env].max_episode_steps
    run.evaluate(2, max_episode_steps=limit)
    assert "not written" not in capsys.readouterr().err
    run.evaluate(2, max_episode_steps=3)
    assert "another time limit than training: it is not written" in capsys.readouterr().err


def test_wrappers_that_the_run_is_without_are_refused(endless: Path) -> None:
    run = uphill.load(endless, env=Endless, wrappers=(one for one in ("FlattenObservation",)))
    for _ in range(2):
        with pytest.raises(UphillError, match=r"has FlattenObservation: .* was not wrapped, so"):
            run.choice()


def test_each_of_two_of_a_kind_is_given_again(endless: Path) -> None:
    halved, thirded = (partial(TransformReward, func=lambda x, k=k: x / k) for k in (2, 3))
    choice = choose(Endless, alterations=Alterations(None, wrappings_of([halved, thirded])))
    experiment = replace(read_experiment(endless), **environment_settings(choice))
    again = environment_of(experiment, Endless, False, [halved, thirded]).alterations.wrappers
    assert [one.wrap for one in again] == [halved, thirded]
    with pytest.raises(UphillError, match="give that again"):
        environment_of(experiment, Endless, False, [halved])


def test_a_bound_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    uphill.train(Truncating, small_vpg(), steps=24, episodes=2, out=out)
    assert "Truncating declares no time limit" in capsys.readouterr().err
    assert read_experiment(out).max_episode_steps == 120


def test_wrappers_are_kept_and_those_of_ones_own_are_not_imported_unasked(
    tmp_path: Path, state_home: Path
) -> None:
    out = tmp_path / "run"
    halved = partial(TransformReward, func=lambda reward: reward / 2)
    wrappers = ["FlattenObservation", Doubled, "python_envs:Doubled:3", halved]
    asked = {"steps": 12, "episodes": 2, "out": out, "quiet": True}
    run = uphill.train(Endless, small_vpg(), max_episode_steps=3, wrappers=wrappers, **asked)
    texts = read_experiment(out).wrappers
    assert texts[:3] == ("FlattenObservation", "python_envs:Doubled", "python_envs:Doubled:3")
    assert run.evaluate(2)["deterministic"]["mean"] == 3 * 2 * 3 / 2
    for given, allow_import, words in (
        ([], False, "wrapped in 'python_envs:Doubled', which imports the module 'python_envs'"),
        ([halved], False, "wrapped in 'python_envs:Doubled'"),
        ([], True, r"was wrapped in TransformReward:func=.*: give that again, uphill.load"),
    ):
        # As if somebody else had trained.
        shutil.rmtree(state_home / "uphill", ignore_errors=True)
        loaded = uphill.load(out, env=Endless, wrappers=given)
        with pytest.raises(UphillError, match=words):
            loaded.evaluate(2, allow_import)
    assert uphill.load(out, env=Endless, wrappers=[halved]).evaluate(2, allow_import=True)
    assert uphill.evaluate(out, 2, env=Endless, wrappers=wrappers)
    resumed = uphill.resume(out, env=Endless, wrappers=wrappers, steps=24, episodes=2, quiet=True)
    assert resumed.evaluate(2)["deterministic"]["mean"] == 9


def test_what_is_left_out_and_the_options_are_kept_and_a_policy_ignores_it(tmp_path: Path) -> None:
    words = r"Text.* of observation\['mission'\] .*: use .* or .*drop_observations='mission'"
    with pytest.raises(UphillError, match=words):
        uphill.train(Speaking, small_vpg(), quiet=True, out=tmp_path / "no", max_episode_steps=3)
    asked: dict = {
        "drop_observations": ["mission", "more.name"],
        "reset_options": {"start": 7},
        "max_episode_steps": 3,
    }
    out = tmp_path / "run"
    uphill.train(Speaking, small_vpg(), steps=12, episodes=2, out=out, quiet=True, **asked)
    experiment = read_experiment(out)
    assert experiment.drop_observations == ("mission", "more.name")
    assert experiment.reset_options == {"start": 7}
    run = uphill.load(out, env=Speaking)
    observation = Speaking().reset()[0]
    action = run.policy.act(observation)
    del observation["mission"], observation["more"]["name"]
    assert run.policy.act(observation) == action
    with pytest.raises(UphillError, match="it also has extra"):
        run.policy.act(observation | {"extra": 1})
    uphill.resume(out, env=Speaking, steps=24, episodes=2, quiet=True)
    assert run.evaluate(2)["deterministic"]["mean"] == 3
