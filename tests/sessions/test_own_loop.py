"""A loop of one's own, and the run directory that it leads to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import uphill
from small_runs import rows_of, small_ppo, tensors_of, train_small
from uphill.errors import UphillError
from uphill.learning.counting import count_of
from uphill.learning.learner import take, with_steps
from uphill.parts import GAE
from uphill.runs.checkpoint import read_manifest
from uphill.sessions.own_loop import save_run
from uphill.training.trainer import Trainer, iterate

STEPS = 600


def small_trainer(**changes: Any) -> Trainer:
    keywords: dict[str, Any] = {"seeds": (0, 1), "num_steps": STEPS}
    return Trainer("CartPole-v1", small_ppo(), **keywords | changes)


@pytest.fixture(scope="module")
def trained() -> tuple[Trainer, Any, list]:
    trainer, history = small_trainer(), []
    for state, metrics in iterate(trainer, seconds=0.0):
        history.append((state, metrics))
    return trainer, history[-1][0], history


def test_it_leads_to_a_run_as_training_does(
    trained: tuple[Trainer, Any, list], tmp_path: Path
) -> None:
    trainer, state, history = trained
    run = uphill.save(trainer, state, tmp_path / "mine", [metrics for _, metrics in history])
    theirs = train_small(tmp_path / "theirs", seeds=2, steps=STEPS)
    ours, others = tensors_of(run.path), tensors_of(theirs.path)
    for name in (name for name in ours if not name.startswith("untrained.")):
        np.testing.assert_array_equal(ours[name], others[name], name)
    last, other = rows_of(run.path)[-1], rows_of(theirs.path)[-1]
    assert (last["update"], last["steps"]) == (other["update"], other["steps"])
    episodes = [sum(int(r["rollout/num_episodes"]) for r in rows_of(x.path)) for x in (run, theirs)]
    assert episodes[0] == episodes[1] > 0
    assert run.evaluate(6) == trainer.evaluate(state, 6) == theirs.evaluate(6)
    observation = np.array([0.01, 0.02, -0.03, 0.04], np.float32)
    assert trainer.policy(state, 1).value(observation) == run.policy_of(1).value(observation)
    facts = read_manifest(run.path, "latest").facts
    assert facts.seconds == pytest.approx(trainer.seconds)
    assert 0 < facts.compile_seconds < facts.seconds
    best = uphill.load(run, checkpoint="best")
    assert [best.moment(s) for s in (0, 1)] == [run.moment(s) for s in (0, 1)]
    assert run.report(films=False).exists()


def test_what_was_saved_half_way_is_resumed_bit_for_bit(
    trained: tuple[Trainer, Any, list], tmp_path: Path
) -> None:
    trainer, state, history = trained
    middle, _ = history[len(history) // 2]
    assert 0 < min(middle.num_transitions) < STEPS
    run = uphill.save(trainer, middle, tmp_path / "run")  # without metrics
    assert not (run.path / "metrics.csv").exists()
    assert uphill.load(run, checkpoint="best").moment(1) == run.moment(1)
    assert run.moment(1) == (middle.num_transitions[1], trainer.seconds)
    uphill.resume(run.path, quiet=True, episodes=2)
    expected = np.asarray(state.learners.actor.policy.trunk.layers[0].weight)
    found = tensors_of(run.path)["learners.actor.policy.trunk.layers.0.weight"]
    np.testing.assert_array_equal(found, expected)


def test_a_loop_goes_on_with_a_run_bit_for_bit(
    trained: tuple[Trainer, Any, list], tmp_path: Path
) -> None:
    trainer, state, history = trained
    middle, _ = history[len(history) // 2]
    run = uphill.save(trainer, middle, tmp_path / "run")
    before = tensors_of(run.path)
    restored, at = uphill.restore(run.path)
    with restored:
        assert at.num_transitions == middle.num_transitions
        *_, (last, _) = uphill.iterate(restored, at)
        assert last.num_transitions == state.num_transitions
        for found, expected in zip(
            jax.tree.leaves(last.learners), jax.tree.leaves(state.learners), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    after = tensors_of(run.path)
    assert all(np.array_equal(after[name], x) for name, x in before.items())
    done = uphill.save(restored, last, tmp_path / "done")
    with pytest.raises(UphillError, match=rf"steps is {STEPS}, but the run already goes to"):
        uphill.restore(done.path, steps=STEPS)
    longer, at = uphill.restore(done.path, steps=2 * max(last.num_transitions))
    assert (longer.num_steps, at.num_updates) == (2 * max(last.num_transitions), last.num_updates)
    assert not longer.is_done(at)
    longer.close()


def test_steps_beyond_32_bits_are_saved_and_resumed_exactly(tmp_path: Path) -> None:
    before, goal = 2**32 - 50, 2**32 + 100
    trainer = small_trainer(seeds=(0,), num_steps=goal)
    fresh = trainer.start()
    learners = with_steps(fresh.learners, count_of(np.array([before])))
    state = replace(fresh, learners=learners, num_transitions=(before,))
    run = uphill.save(trainer, state, tmp_path / "run")
    run = uphill.resume(run.path, quiet=True, episodes=2)
    (steps,) = run.summary()["steps"]
    assert goal <= steps < goal + 32
    assert [int(row["steps"]) for row in rows_of(run.path)] == [steps]
    learner = take(run.learners, 0)
    assert (int(learner.num_wraps) << 32) + int(learner.num_transitions) == steps
    assert "learners.num_transitions" in tensors_of(run.path)
    assert f"{steps:,}" in run.report(films=False).read_text()


def test_nothing_is_measured_that_nobody_asked_for(trained: tuple[Trainer, Any, list]) -> None:
    _, _, history = trained
    names = set(history[0][1])
    assert {"policy/entropy", "gradient/norm", "return_sum"} <= names
    assert not names & {"policy/kl", "gradient/snr"}


def test_a_policy_is_a_copy_that_training_does_not_change(
    trained: tuple[Trainer, Any, list],
) -> None:
    trainer, state, history = trained
    early = trainer.policy(history[0][0]).actor
    np.testing.assert_array_equal(
        early.policy.head.weight, take(history[0][0].learners, 0).actor.policy.head.weight
    )
    assert not np.array_equal(
        early.policy.head.weight, trainer.policy(state).actor.policy.head.weight
    )


@pytest.mark.parametrize("changes", [{"env": "Pendulum-v1"}, {"seeds": (0,)}])
def test_a_state_of_another_trainer_is_refused_before_anything_is_written(
    changes: dict[str, Any], trained: tuple[Trainer, Any, list], tmp_path: Path
) -> None:
    _, state, _ = trained
    given: dict[str, Any] = {"env": "CartPole-v1", "seeds": (0, 1)} | changes
    other = Trainer(given["env"], small_ppo(), given["seeds"], STEPS)
    for use in (other.policy, other.evaluate, lambda x: other.advance(x, 1)):
        with pytest.raises(UphillError, match="state is that of another trainer"):
            use(state)
    with pytest.raises(UphillError, match="state is that of another trainer"):
        uphill.save(other, state, tmp_path / "run")
    assert [*tmp_path.iterdir()] == []


def test_what_no_run_can_hold_is_a_sentence(
    trained: tuple[Trainer, Any, list], tmp_path: Path
) -> None:
    trainer, state, history = trained
    with pytest.raises(UphillError, match="give the metrics of all that iterate yielded"):
        uphill.save(trainer, state, tmp_path / "run", [history[0][1]])
    for wrong in (history, [history[0][0]]):  # the states with them, or alone
        with pytest.raises(UphillError, match=r"metrics has a .*: give the metrics that"):
            save_run(trainer, state, tmp_path / "run", wrong)
    with pytest.raises(UphillError, match=r"seed_index is 2: .* use 0 to 1"):
        trainer.policy(state, 2)
    first, same = (trainer.policy(state, index) for index in (1, np.int64(1)))
    observation = trainer.env.observation_space.sample()
    assert first.act(observation) == same.act(observation)
    with pytest.raises(UphillError, match="episodes is 0"):
        trainer.evaluate(state, 0)
    apart = small_trainer(seeds=(0, 2))
    with pytest.raises(UphillError, match=r"seeds is \(0, 2\): a run has seeds that follow"):
        uphill.save(apart, apart.start(), tmp_path / "run")
    both = [small_ppo(), small_ppo(estimator=GAE(gamma=0.5))]
    several = Trainer("CartPole-v1", both, (0, 1), 100)
    with pytest.raises(UphillError, match="algorithm is a list of several"):
        uphill.save(several, several.start(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(UphillError, match="exists already"):
        uphill.save(trainer, state, tmp_path / "run")
