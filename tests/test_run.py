"""Runs and their policies: load, act, evaluate."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import uphill
from small_runs import small_ppo, tensors_of, train_small
from uphill import run as run_module
from uphill.cli import main
from uphill.errors import UphillError
from uphill.learning.learner import make_learner
from uphill.policies import trained
from uphill.policies.actions import action_kind_of
from uphill.policies.encodings import encoding_of
from uphill.policies.trained import TrainedPolicy
from uphill.sessions import evaluations

BOX = spaces.Box(-1, 1, (3,), np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    return train_small(tmp_path_factory.mktemp("runs") / "run", small_ppo(), seeds=3)


def policy_for(observation: gymnasium.Space, action: gymnasium.Space) -> TrainedPolicy:
    """An untrained policy for these spaces."""
    learner = make_learner(small_ppo(), encoding_of(observation), action_kind_of(action), 0)
    return TrainedPolicy(learner.actor)


# --- saving and loading -------------------------------------------------------------------------

ACT_ELSEWHERE = """
import json, sys, numpy as np, uphill
run = uphill.load(sys.argv[1])
observations = np.load(sys.argv[2])
actor = run.policy.actor
print(json.dumps({
    "modes": run.policy.act(observations).tolist(),
    "samples": run.policy.act(observations, sample=True, seed=7).tolist(),
    "features": np.asarray(actor.features(observations)).tolist(),
    "imported": [name for name in ("envpool", "matplotlib") if name in sys.modules],
}))
"""


def test_trap_14_loaded_in_a_fresh_process_the_policy_acts_the_same(
    run: uphill.Run, tmp_path: Path
) -> None:
    observations = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    np.save(tmp_path / "observations.npy", observations)
    done = subprocess.run(
        [sys.executable, "-c", ACT_ELSEWHERE, run.path, tmp_path / "observations.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    there = json.loads(done.stdout)
    policy = run.policy
    assert policy.actor.normalizer is not None
    assert int(policy.actor.normalizer.count) >= 300  # it was not loaded fresh
    features = np.asarray(policy.actor.features(observations))
    assert np.abs(features - observations).max() > 0.1
    np.testing.assert_allclose(there["features"], features, rtol=1e-6)
    np.testing.assert_array_equal(there["modes"], policy.act(observations))
    np.testing.assert_array_equal(there["samples"], policy.act(observations, sample=True, seed=7))
    assert there["imported"] == []


def test_trap_14_evaluating_and_acting_change_nothing_that_was_learned(run: uphill.Run) -> None:
    before = tensors_of(run.path)
    loaded = uphill.load(run.path)
    count = np.asarray(loaded.learners.actor.normalizer.moments.count).copy()
    loaded.evaluate(3)
    loaded.policy.act(np.full(4, 100.0, np.float32))
    np.testing.assert_array_equal(loaded.learners.actor.normalizer.moments.count, count)
    after = tensors_of(run.path)
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor)


def test_a_run_is_a_path_of_a_run(run: uphill.Run) -> None:
    assert uphill.load(run).path == run.path
    assert Path(run) == run.path


def test_another_environment_does_not_take_the_place_of_the_runs_own(run: uphill.Run) -> None:
    before = run.evaluation
    for env in (lambda: gymnasium.make("CartPole-v0"), gymnasium.Env):
        with pytest.raises(UphillError, match=r"^env is .*: .* is CartPole-v1, so leave env out"):
            uphill.load(run, env=env).evaluate(200)
    assert run.evaluation == before


@pytest.mark.parametrize("wrong", [{"seed_index": True}, {"seed_index": 3}, {"seed_index": -1}])
def test_a_seed_index_that_is_none_is_one_sentence(run: uphill.Run, wrong: Any) -> None:
    with pytest.raises(UphillError, match=r"^seed_index is "):
        uphill.load(run, **wrong)


def test_evaluating_again_gives_the_same_numbers(run: uphill.Run) -> None:
    result = uphill.load(run.path).evaluate(6)
    assert result == uphill.evaluate(run.path, episodes=6)
    assert result == json.loads((run.path / "evaluation.json").read_text())
    assert set(result) == {"episodes", "interval_over", "deterministic", "stochastic"}
    for kind in ("deterministic", "stochastic"):
        assert set(result[kind]) == {"mean", "std", "iqm", "ci95", "per_seed"}
        assert len(result[kind]["per_seed"]) == 3
    assert result["episodes"] == 6
    assert result["interval_over"] == "seeds"
    assert result["deterministic"] != result["stochastic"]
    with pytest.raises(UphillError, match="episodes is 0: use at least 1"):
        run.evaluate(0)


def test_policy_is_that_of_the_best_seed_or_of_the_one_asked_for(run: uphill.Run) -> None:
    evaluation = json.loads((run.path / "evaluation.json").read_text())
    evaluation["deterministic"]["per_seed"] = [1.0, 3.0, 2.0]
    (run.path / "evaluation.json").write_text(json.dumps(evaluation))
    weights = next(v for k, v in tensors_of(run.path).items() if "actor.policy.trunk" in k)

    def seed_of(policy: TrainedPolicy) -> int:
        leaves = jax.tree.leaves(policy.actor.policy.trunk)
        return next(s for s in range(3) for x in leaves if np.array_equal(x, weights[s]))

    assert seed_of(uphill.load(run.path).policy) == 1
    assert "policy of seed 1" in repr(uphill.load(run.path))
    assert seed_of(uphill.load(run.path, seed_index=2).policy) == 2
    assert seed_of(uphill.load(run.path).policy_of(0)) == 0
    for wrong in (-1, 3):
        with pytest.raises(UphillError, match=f"seed_index is {wrong}: .* use 0 to 2"):
            uphill.load(run.path, seed_index=wrong)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"deterministic": {"per_seed": [1]}}', '{"deterministic": "x"}'),
        '{"episodes": 100, "deterministic": {"per_seed": [1, 2, 3]}}',
    ],
)
def test_damaged_evaluation_is_one_sentence(text: str, run: uphill.Run) -> None:
    path = run.path / "evaluation.json"
    whole = path.read_text()
    path.write_text(text)
    with pytest.raises(UphillError, match=r"evaluation\.json"):
        _ = uphill.load(run.path).policy
    assert uphill.load(run.path, seed_index=0).policy.act(np.zeros(4, np.float32)) in (0, 1)
    path.write_text(whole)


def test_policy_needs_no_environment(run: uphill.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("an environment was made")

    monkeypatch.setattr("gymnasium.make", fail)
    monkeypatch.setattr("uphill.runs.given.choose", fail)
    assert uphill.load(run.path).policy.act(np.zeros(4, np.float32)) in (0, 1)


def test_evaluation_over_more_episodes_is_kept(
    run: uphill.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.path / "evaluation.json"
    many = run.evaluate(8)
    capsys.readouterr()
    few = run.evaluate(2)
    assert few["episodes"] == 2
    assert json.loads(path.read_text()) == many
    told = capsys.readouterr().err
    assert "evaluation.json stays: it is over 8 episodes, and this evaluation over 2" in told
    run.evaluate(8)
    assert capsys.readouterr().err == ""
    path.write_text("damaged")
    run.evaluate(2)
    assert json.loads(path.read_text()) == few
    run.evaluate(8)
    assert json.loads(path.read_text()) == many


def test_evaluating_draws_the_curve_that_is_missing(run: uphill.Run) -> None:
    curve = run.path / "curve.png"
    curve.unlink()
    run.evaluate(2)
    assert curve.stat().st_size > 1000
    curve.write_bytes(b"a picture")
    run.evaluate(2)
    assert curve.read_bytes() == b"a picture"


def test_a_run_without_its_first_row_is_evaluated_all_the_same(
    run: uphill.Run, tmp_path: Path
) -> None:
    early = shutil.copytree(run.path, tmp_path / "early")
    for name in ("metrics.csv", "curve.png", "evaluation.json"):
        (early / name).unlink()
    assert uphill.load(early).evaluate(2)["episodes"] == 2
    with pytest.raises(UphillError, match=r"metrics.csv is not there yet: training writes it"):
        uphill.load(early).plot()


def test_policy_of_several_seeds_says_once_whose_it_is(
    run: uphill.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = uphill.load(run.path)
    best = loaded.best_seed_index
    for _ in range(2):
        _ = loaded.policy
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"that of seed {best}, which evaluated best" in told
    _ = uphill.load(run.path, seed_index=1).policy
    _ = loaded.policy_of(2)
    assert capsys.readouterr().err == ""


def test_policies_are_made_once_and_compiled_once(run: uphill.Run) -> None:
    loaded = uphill.load(run.path)
    assert loaded.policy is loaded.policy
    observation = np.zeros((7, 4), np.float32)  # a shape of its own
    sizes = []
    for seed_index in range(3):
        policy = loaded.policy_of(seed_index)
        policy.act(observation)
        policy.act(observation, sample=True)
        programs: list[Any] = [trained._mode, trained._sample]
        sizes.append([program._cache_size() for program in programs])
    assert sizes[0] == sizes[1] == sizes[2]


def test_solved_is_unknown_unless_a_hundred_episodes_say_so(run: uphill.Run) -> None:
    path = run.path / "evaluation.json"
    whole = path.read_text()
    evaluation = json.loads(whole)
    evaluation["deterministic"]["per_seed"] = [475.0, 474.9, 500.0]
    for episodes, solved in ((99, [None] * 3), (100, [True, False, True])):
        path.write_text(json.dumps(evaluation | {"episodes": episodes}))
        assert run.summary()["solved"] == solved
    path.unlink()
    assert run.summary()["solved"] == [None] * 3
    path.write_text(whole)


def test_summary_holds_what_scripts_rely_on(run: uphill.Run) -> None:
    summary = run.summary()
    assert list(summary) == [
        *("run", "env", "backend", "algo", "seeds", "steps", "seconds", "compile_seconds"),
        *("steps_per_second", "solved", "diverged", "not_finite", "evaluation"),
    ]
    assert summary["steps_per_second"] == pytest.approx(
        sum(summary["steps"]) / (summary["seconds"] - summary["compile_seconds"])
    )
    assert len(summary["steps"]) == len(summary["solved"]) == 3


def test_what_does_not_fit_the_checkpoint_is_one_sentence(run: uphill.Run) -> None:
    path = run.path / "experiment.json"
    whole = path.read_text()
    path.write_text(whole.replace('"seeds": 3', '"seeds": 2'))
    with pytest.raises(UphillError, match=r"is of 3 seeds, and experiment\.json has 2"):
        _ = uphill.load(run.path, seed_index=0).policy
    path.write_text(whole)


# --- the best checkpoint ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lately_worse(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    """A run whose best learners are not its last ones: of the second seed they are the first."""

    class Scripted(evaluations.Evaluator):
        def returns(self, actors: Any) -> np.ndarray:
            scores = np.array([[2.0, 9.0], [8.0, 5.0], [1.0, 1.0], [3.0, 3.0]][len(seen)])
            seen.append(actors)
            return np.stack([scores[:, None]] * 2)

    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluations, "Evaluator", Scripted)
        path = tmp_path_factory.mktemp("runs") / "worse"
        return train_small(path, steps=90, seeds=2, eval_every=30)


def test_the_best_checkpoint_acts_and_is_evaluated_in_place_of_the_final_policies(
    lately_worse: uphill.Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluated = []

    def returns_of(choice: Any, actors: Any, seeds: Sequence[int], episodes: int) -> np.ndarray:
        evaluated.append(actors)
        return np.full((2, len(seeds), episodes), 77.0)

    monkeypatch.setattr(run_module, "evaluate_actors", returns_of)
    path, written = lately_worse.path, (lately_worse.path / "evaluation.json").read_bytes()
    assert uphill.evaluate(path, 200, checkpoint="best")["deterministic"]["mean"] == 77.0
    assert "of the best policies, and is not written" in capfd.readouterr().err
    assert main(["evaluate", str(path), "--checkpoint", "best"]) == 0
    assert "mean return 77 over 100 episodes" in capfd.readouterr().out
    assert (path / "evaluation.json").read_bytes() == written
    best, final = (tensors_of(path, name) for name in ("best", "latest"))
    name = next(k for k in best if "actor.policy.trunk" in k and k.endswith("weight"))
    assert not np.array_equal(best[name], final[name])
    acting = uphill.load(path, checkpoint="best").policy_of(1).actor
    for actor, expected in ((evaluated[0], best[name]), (acting, best[name][1])):
        assert any(np.array_equal(x, expected) for x in jax.tree.leaves(actor.policy.trunk))
    assert uphill.load(path).evaluate(200)["episodes"] == 200  # that of the final ones is
    assert (path / "evaluation.json").read_bytes() != written


def test_the_best_policy_of_all_is_that_of_the_seed_that_scored_best(
    lately_worse: uphill.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    best = uphill.load(lately_worse, checkpoint="best")
    assert best.policy is best.policy_of(1)
    assert "The policy is that of seed 1, which scored best while it" in capsys.readouterr().err
    assert "best policy of seed 1" in repr(best)
    assert "final policy of seed" in repr(lately_worse)


def test_a_checkpoint_that_is_none_is_one_sentence(lately_worse: uphill.Run) -> None:
    with pytest.raises(UphillError, match=r"^checkpoint is 'bset': use 'latest' or 'best'\.$"):
        uphill.load(lately_worse, checkpoint="bset")
    assert main(["evaluate", str(lately_worse.path), "--checkpoint", "bset"]) == 2


# --- acting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.Discrete(2, start=-5),
        spaces.Box(-2, 3, (2,), np.float32),
        spaces.Box(np.array([-0.1, 0.3]), np.array([0.7, 0.9]), dtype=np.float64),
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Box(-1, 1, (), np.float32),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, -3]]),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
    ],
    ids=repr,
)
def test_actions_are_ready_for_the_environment(space: gymnasium.Space) -> None:
    policy = policy_for(BOX, space)
    many = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    for sample in (False, True):
        one = policy.act(many[0], sample=sample)
        assert space.contains(one), one
        batch = policy.act(many, sample=sample)
        assert batch.shape == (40, *(space.shape or ()))
        assert batch.dtype == space.dtype
        assert all(space.contains(np.asarray(action)) for action in batch)
    grid = policy.act(many.reshape(5, 8, 3)).reshape(40, *(space.shape or ()))
    np.testing.assert_allclose(grid, policy.act(many), rtol=1e-5, atol=1e-6)


def test_a_policy_shows_what_it_takes_and_gives() -> None:
    assert repr(policy_for(BOX, spaces.Discrete(2))) == "TrainedPolicy(3 features → Choice of 2)"
    both = spaces.Dict({"box": BOX, "gear": spaces.Discrete(5)})
    policy = policy_for(both, spaces.Box(-1, 1, (2, 3)))
    assert repr(policy) == "TrainedPolicy(8 features → Bounded of 6)"


def test_discrete_action_can_be_looked_up() -> None:
    action = policy_for(BOX, spaces.Discrete(3)).act(np.zeros(3, np.float32))
    assert {0: "left", 1: "stay", 2: "right"}[action]


def test_mode_is_always_the_same_and_samples_vary() -> None:
    policy = policy_for(BOX, spaces.Discrete(3))
    observation = np.zeros((200, 3), np.float32)
    assert len(np.unique(policy.act(observation))) == 1
    samples = policy.act(observation, sample=True)
    assert set(samples) == {0, 1, 2}
    assert not np.array_equal(samples, policy.act(observation, sample=True))
    first, second = (policy.act(observation, sample=True, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_nested_observations() -> None:
    space = spaces.Dict(
        {
            "camera": spaces.Box(0, 1, (2, 2)),
            "gear": spaces.Discrete(3),
            "pair": spaces.Tuple([BOX]),
        }
    )
    policy = policy_for(space, spaces.Discrete(4))
    one = space.sample()
    assert policy.act(one) in range(4)
    batch = {
        "camera": np.stack([one["camera"]] * 6),
        "gear": np.full(6, one["gear"]),
        "pair": (np.stack([one["pair"][0]] * 6),),
    }
    np.testing.assert_array_equal(policy.act(batch), [policy.act(one)] * 6)
    for wrong in (
        {"camera": one["camera"]},
        one | {"camera": one["camera"][0]},
        one | {"pair": one["pair"][0]},
        batch | {"gear": np.zeros(5, int)},
        np.zeros(3, np.float32),
    ):
        with pytest.raises(UphillError, match=r"(?i)observation"):
            policy.act(wrong)


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros((3, 2)), 1.0, np.zeros((4, 3, 1))])
def test_observation_of_the_wrong_shape_is_one_sentence(wrong: Any) -> None:
    with pytest.raises(UphillError, match="observation has shape"):
        policy_for(BOX, spaces.Discrete(3)).act(wrong)


@pytest.mark.parametrize("wrong", [[[1, 2, 3], [4]], {}, None, "left", ["a", "b", "c"], {"a": 1}])
def test_observation_that_is_no_numbers_is_one_sentence(wrong: Any) -> None:
    for space in (BOX, spaces.Discrete(5)):
        with pytest.raises(UphillError, match="observation is not numbers"):
            policy_for(space, spaces.Discrete(3)).act(wrong)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_observation_that_is_not_finite_is_one_sentence(number: float) -> None:
    one = np.array([0.0, number, 1.0])
    space = spaces.Dict({"pair": spaces.Tuple([BOX, BOX])})
    for policy, wrong in (
        (policy_for(BOX, spaces.Discrete(3)), one),
        (policy_for(BOX, spaces.Discrete(3)), np.stack([np.zeros(3), one])),
        (policy_for(space, spaces.Discrete(3)), {"pair": (np.zeros(3), one)}),
    ):
        for sample in (False, True):
            with pytest.raises(UphillError, match=r"^The observation has numbers that are NaN or"):
                policy.act(wrong, sample)


@pytest.mark.parametrize(
    ("space", "right", "wrong", "ranges"),
    [
        (
            spaces.Discrete(3),
            [0, 2, 1.0, [0, 2]],
            [3, -1, 0.5, np.nan, [0, 3], 2**32 + 1],
            "0 to 2",
        ),
        (spaces.Discrete(2, start=-5), [-5, -4], [0, -3, -6], "-5 to -4"),
        (
            spaces.MultiDiscrete([2, 3], start=[0, 1]),
            [[1, 3], [[0, 1], [1, 2]]],
            [[2, 1], [0, 0], [0.5, 1], [[0, 1], [0, 4]]],
            "0 to 1, 1 to 3",
        ),
    ],
    ids=repr,
)
def test_observation_that_is_none_of_the_choices_is_one_sentence(
    space: gymnasium.Space, right: list[Any], wrong: list[Any], ranges: str
) -> None:
    policy = policy_for(space, spaces.Discrete(3))
    for each in right:
        assert np.isin(policy.act(each), (0, 1, 2)).all()
    for each in wrong:
        with pytest.raises(
            UphillError, match=rf"^The observation is .* numbers \({ranges}\): give"
        ):
            policy.act(each)


def test_parts_that_an_observation_has_besides_are_named() -> None:
    space = spaces.Dict({"box": BOX, "inner": spaces.Dict({"gear": spaces.Discrete(3)})})
    policy, one = policy_for(space, spaces.Discrete(4)), space.sample()
    assert policy.act(one) in range(4)
    for wrong in (one | {"lidar": np.zeros(2)}, one | {"inner": one["inner"] | {"lidar": 1}}):
        with pytest.raises(UphillError, match=r"space \(it also has lidar\): give it as the env"):
            policy.act(wrong)


def test_lists_are_welcome_where_the_space_has_an_array() -> None:
    policy = policy_for(BOX, spaces.Box(-1, 1, (2,), np.float32))
    observations = [[0.5, -0.25, 1.0], [0.0, 1.0, 0.5]]
    expected = policy.act(np.array(observations, np.float32))
    np.testing.assert_array_equal(policy.act(observations), expected)
    np.testing.assert_array_equal(policy.act(tuple(map(tuple, observations))), expected)
    np.testing.assert_allclose(policy.act([0, 1, 0.5]), expected[1], rtol=1e-5, atol=1e-6)
    inner = spaces.Dict({"box": BOX, "pair": spaces.Tuple([spaces.Discrete(3), BOX])})
    policy = policy_for(inner, spaces.Discrete(4))
    one = inner.sample()
    lists = {"box": one["box"].tolist(), "pair": [int(one["pair"][0]), one["pair"][1].tolist()]}
    assert policy.act(lists, sample=True, seed=3) == policy.act(one, sample=True, seed=3)


def test_observation_of_double_precision_is_welcome() -> None:
    policy = policy_for(BOX, spaces.Discrete(3))
    observation = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_array_equal(
        policy.act(observation), policy.act(observation.astype(np.float32))
    )
