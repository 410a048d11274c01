"""Training sessions: accounting, what survives when something breaks, the end."""

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import python_envs
import uphill
from fated_world import FatedCartPole
from small_runs import contents_of, rows_of, small_ppo, small_vpg, tensors_of, train_small
from uphill.envs.worlds import WORLDS
from uphill.envs.worlds.cartpole import CartPole
from uphill.errors import UphillError
from uphill.parts import Adam, Algorithm
from uphill.runs.checkpoint import read_manifest
from uphill.sessions import evaluations, keeping, launch, session
from uphill.sessions.interrupts import Interrupted
from uphill.training.guard import LOSSES
from uphill.training.trainer import iterate


def wait_for_helpers() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("uphill"):
            thread.join()


def test_to_stop_when_solved_asks_for_a_threshold(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=r"stop_when_solved=True .* Counting has none: leave it"):
        train_small(tmp_path / "run", env=python_envs.Counting, stop_when_solved=True)
    assert not (tmp_path / "run").exists()


def test_stops_when_solved_and_can_still_be_extended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    easy = CartPole(max_episode_steps=500, reward_threshold=5.0)
    monkeypatch.setitem(WORLDS, "Easy-v0", easy)
    keywords: dict[str, Any] = {"env": "Easy-v0", "stop_when_solved": True}
    run = train_small(
        tmp_path / "run", small_ppo(), steps=50_000, seeds=2, episodes=100, **keywords
    )
    steps = run.summary()["steps"]
    assert max(steps) < 25_000
    assert run.summary()["solved"] == [True, True]
    facts = read_manifest(run.path, "latest").facts
    assert facts.stopped
    # Every seed has seen a hundred episodes, and the window holds hardly more.
    for recent in facts.recent:
        episodes = sum(count for count, _ in recent)
        assert 100 <= episodes < 100 + recent[0][0]
    with pytest.raises(UphillError, match="is finished"):
        uphill.resume(run.path)
    again = uphill.resume(run.path, steps=60_000, quiet=True, episodes=4)
    assert min(again.summary()["steps"]) > max(steps)


# --- what is counted ----------------------------------------------------------------------------


@pytest.mark.parametrize("make_algorithm", [small_ppo, small_vpg], ids=["steps", "episodes"])
def test_trap_24_training_stops_at_the_first_update_that_reaches_the_steps(
    make_algorithm: Callable[[], Algorithm], tmp_path: Path
) -> None:
    asked = 300
    run = train_small(tmp_path / "run", make_algorithm(), steps=asked, seeds=2)
    done = run.summary()["steps"]
    rows = rows_of(run.path)  # a row for each update: so short a run logs them all
    for s, total in enumerate(done):
        counts = [int(row["steps"]) for row in rows if int(row["seed"]) == s]
        assert counts[-1] == total >= asked
        reached = next(k for k, count in enumerate(counts) if count >= asked)
        assert all(count < asked for count in counts[:reached])
        # A seed that has its steps waits for the others.
        assert set(counts[reached:]) == {total}
    if make_algorithm is small_vpg:  # whole episodes: their lengths are all that is counted
        for s, total in enumerate(done):
            own = [row for row in rows if int(row["seed"]) == s]
            lengths = [
                float(row["rollout/episode_length"]) * int(row["rollout/num_episodes"])
                for row in own
                if row["rollout/episode_length"]
            ]
            assert round(sum(lengths)) == total


class Counting(gymnasium.Env):
    """Episodes of seven steps; the class counts every step that is taken, of all instances."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    num_steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.elapsed = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        type(self).num_steps += 1
        self.elapsed += 1
        return np.zeros(2, np.float32), 1.0, self.elapsed == 7, False, {}


def test_trap_24_steps_are_those_that_the_environment_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Watched(launch.Trainer):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            Counting.num_steps = 0  # making it may have tried a step

        def close(self) -> None:
            taken.append(Counting.num_steps)
            super().close()

    monkeypatch.setattr(launch, "Trainer", Watched)
    run = train_small(tmp_path / "run", env=Counting, steps=150)
    assert run.summary()["steps"] == taken
    # 4 × 8 steps an update, one in eight of which resets: 28 transitions, on average.
    assert 150 <= taken[0] < 150 + 32


# --- what breaks --------------------------------------------------------------------------------


@dataclass(frozen=True)
class NaNFarOut(CartPole):
    """CartPole whose reward is NaN away from the middle: a bug that shows late."""

    def reward(self, state: Any, action: Any, next_state: Any) -> Any:
        return jnp.where(jnp.abs(next_state.position) > 0.4, jnp.nan, 1.0)


def assert_whole(run: Path) -> int:
    """The run's latest checkpoint loads and acts; how many updates it has seen."""
    for name, tensor in tensors_of(run).items():
        # Rows that wait for a logging point hold NaN where nothing was measured.
        assert name.startswith("pending.") or np.isfinite(tensor).all()
    action = uphill.load(run).policy.act(np.zeros(4, np.float32))
    assert action in (0, 1)
    return read_manifest(run, "latest").facts.num_updates


def test_nan_reward_of_a_compiled_world_is_named_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORLDS, "Broken-v0", NaNFarOut(500, 475.0))
    with pytest.raises(UphillError, match="Broken-v0 returned a reward that is NaN") as caught:
        train_small(tmp_path / "run", env="Broken-v0", steps=100_000, checkpoint_every=0.0)
    update = int(str(caught.value).split("in update ")[1].split(",")[0])
    assert update >= 2
    assert 1 <= assert_whole(tmp_path / "run") <= update


@dataclass(frozen=True)
class Rare(FatedCartPole):
    """CartPole, of whose episodes one in a hundred ends in a reward whose square is infinite."""

    def reward(self, state: Any, action: Any, next_state: Any) -> Any:
        return jnp.where((state.fate > 0.99) & self.terminated(next_state), 3e38, 1.0)


def test_where_all_seeds_stop_at_once_the_batch_of_each_is_kept(tmp_path: Path) -> None:
    algorithm = small_ppo(optimizer=Adam(learning_rate=1e38))
    with pytest.raises(UphillError) as raised:
        train_small(tmp_path / "run", algorithm, seeds=2)
    folder = tmp_path / "run/not_finite"
    for seed in range(2):
        assert load_file(folder / f"seed{seed}.safetensors")
        assert f"(seed {seed})" in str(raised.value)


def test_a_seed_stops_alone_and_a_resumed_run_stops_it_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(WORLDS, "Rare-v0", Rare(500, 475.0))
    keywords: dict[str, Any] = {"env": "Rare-v0", "seeds": 4, "steps": 1_000}
    run = train_small(tmp_path / "run", quiet=False, **keywords)
    said = " ".join(capsys.readouterr().err.split())
    summary = run.summary()
    stopped = [s for s, why in enumerate(summary["not_finite"]) if why]
    assert 0 < len(stopped) < 4
    for s in range(4):
        path = run.path / "not_finite" / f"seed{s}.safetensors"
        assert path.exists() == (s in stopped)
        if s not in stopped:
            assert summary["steps"][s] >= 1_000
            continue
        why = summary["not_finite"][s]
        assert summary["steps"][s] == why["steps"] < 1_000
        assert load_file(path)["reward"].max() > 1e38
        assert why["quantity"] in LOSSES
        update = f"in update {why['update']} (seed {s}): {why['quantity']} is not finite."
        assert f"Learning diverged {update}" in said
        assert f"Seed {s} stops there, and the others go on." in said
    assert np.isfinite(run.evaluation["deterministic"]["per_seed"]).all()
    assert "stopped, and the policy is that of before" in run.report(films=False).read_text()
    (run.path / "report.html").unlink()

    def interrupted(trainer: Any, state: Any, every: int) -> Iterator[Any]:
        for after, rows in iterate(trainer, state, every, seconds=0.0):
            yield after, rows
            if after.stops:  # it is in the checkpoint, and its file is there
                raise KeyboardInterrupt

    monkeypatch.setattr(session, "iterate", interrupted)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "cut", **keywords)
    monkeypatch.setattr(session, "iterate", iterate)
    cut = uphill.resume(tmp_path / "cut", quiet=True, episodes=4)
    expected, found = contents_of(run.path), contents_of(cut.path)
    assert sorted(found) == sorted(expected)
    for name, content in expected.items():
        assert found[name] == content, name


def test_learning_that_diverges_is_told_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    # One update leaves finite weights of 1e30; the next one overflows.
    algorithm = small_ppo(optimizer=Adam(learning_rate=1e30), num_epochs=1, num_minibatches=1)
    with pytest.raises(UphillError, match=r"diverged .* Lower the optimizer's learning_rate"):
        train_small(tmp_path / "run", algorithm, checkpoint_every=0.0)
    assert_whole(tmp_path / "run")


def test_weights_that_grow_beyond_all_use_are_told_once_and_in_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With finite numbers to the end: a learning rate of 1e10."""
    algorithm = small_ppo(optimizer=Adam(learning_rate=1e10))
    run = train_small(tmp_path / "run", algorithm, seeds=2, quiet=False)
    said = capsys.readouterr().err
    assert said.count("Learning diverged (2 of 2 seeds, seed 0 by ") == 1
    assert re.search(r"the largest weight of the policy grew from [01]\.\d+ to \d", said)
    assert "Lower the optimizer's learning_rate." in said
    diverged = run.summary()["diverged"]
    assert [x["network"] for x in diverged] == ["policy"] * 2
    assert all(x["largest"] > 1e9 and x["steps"] <= 300 for x in diverged)
    assert "Learning diverged" in run.report(films=False).read_text()
    healthy = train_small(tmp_path / "healthy", seeds=2)
    assert healthy.summary()["diverged"] == [None, None]


class BreaksLate(gymnasium.Env):
    """Gives `what` at its 50th step: NaN where a reward or an observation should be, or raises."""

    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, what: str = "reward") -> None:
        self.what, self.elapsed = what, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.elapsed += 1
        observation, reward = np.zeros(4, np.float32), 1.0
        if self.elapsed == 50:
            if self.what == "raise":
                raise RuntimeError("the simulator is gone")
            if self.what == "reward":
                reward = float("nan")
            else:
                observation = np.full(4, np.inf, np.float32)
        return observation, reward, False, self.elapsed % 10 == 0, {}


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("reward", r"BreaksLate, at step \d+ .*returned nan in its reward"),
        ("observation", r"BreaksLate, at step \d+ .*returned inf in its observation"),
        ("raise", r"(?s)BreaksLate.*step.*the simulator is gone"),
    ],
)
def test_python_environment_that_breaks_is_named_and_the_last_checkpoint_stays(
    what: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UphillError, match=sentence):
        train_small(
            tmp_path / "run",
            env=BreaksLate,
            env_kwargs={"what": what},
            steps=5_000,
            checkpoint_every=0.0,
        )
    assert assert_whole(tmp_path / "run") >= 1


def test_a_process_that_ends_loses_nothing_that_was_learned(tmp_path: Path) -> None:
    run, fatal = tmp_path / "run", {"end": "exit", "episode": 8}
    asked: dict[str, Any] = {"steps": 400, "is_async": True, "step_timeout": 1000.0}
    words = r"^Fatal, at step \d+ of each environment, lost environment .*: it ended itself in step"
    with pytest.raises(UphillError, match=words) as caught:
        train_small(run, env=python_envs.Fatal, env_kwargs=fatal, **asked)
    saved = read_manifest(run, "latest").facts.num_updates
    assert saved >= 1
    assert str(caught.value).endswith(f"`uphill.resume('{run}', env=…)` goes on from there.")
    mended = python_envs.Mended
    more = uphill.resume(run, env=mended, episodes=1, quiet=True, step_timeout=2000)
    assert more.summary()["steps"][0] >= 400
    assert more.experiment.step_timeout == 2000.0


def test_non_finite_observation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Infinite(CartPole):
        def observation(self, state: Any) -> Any:
            seen = super().observation(state)
            return jnp.where(jnp.abs(state.position) > 0.4, jnp.inf, seen)

    monkeypatch.setitem(WORLDS, "Broken-v0", Infinite(500, 475.0))
    sentence = r"Broken-v0 returned an observation .* in update \d+, at its step \d+ \(seed \d\)"
    with pytest.raises(UphillError, match=sentence):
        train_small(tmp_path / "run", env="Broken-v0", steps=100_000)


@pytest.mark.parametrize("error", [UphillError("broken"), KeyboardInterrupt()], ids=repr)
def test_environments_are_stopped_however_training_ends(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    class Watched(launch.Trainer):
        def close(self) -> None:
            closed.append(self)
            super().close()

    def breaks(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(launch, "Trainer", Watched)
    monkeypatch.setattr(session.Session, "_ahead", breaks)
    with pytest.raises((UphillError, KeyboardInterrupt)):
        train_small(tmp_path / "run", env=Counting)
    assert len(closed) == 1


# --- the best checkpoint, evaluations while training -------------------------------------------


def test_best_learners_are_those_of_the_best_logging_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Scripted(evaluations.Evaluator):
        def returns(self, actors: Any) -> np.ndarray:
            seen.append(actors)
            scores = [[1.0, 9.0], [5.0, 2.0], [3.0, 3.0], [9.0, 9.0]][len(seen) - 1]
            return np.stack([np.array(scores)[:, None]] * 2)

    monkeypatch.setattr(evaluations, "Evaluator", Scripted)
    run = train_small(tmp_path / "run", steps=90, seeds=2, eval_every=30)
    assert len(seen) == 4  # the last one is the final evaluation, which counts for nothing here
    best = tensors_of(run.path, "best")
    weights = [np.asarray(a.policy.trunk.layers[0].weight) for a in seen]
    name = next(k for k in best if "actor.policy.trunk" in k and best[k].shape == weights[0].shape)
    np.testing.assert_array_equal(best[name][0], weights[1][0])
    np.testing.assert_array_equal(best[name][1], weights[0][1])
    facts = read_manifest(run.path, "best").facts
    assert facts.best_scores == (5.0, 9.0)
    steps = [int(row["steps"]) for row in rows_of(run.path) if row["evaluation/episode_return"]]
    assert facts.best_steps == (steps[2], steps[1])  # rows of both seeds, in turn
    assert facts.best_steps[1] < facts.best_steps[0] == facts.num_transitions[0]
    assert 0 < facts.best_seconds[1] < facts.best_seconds[0] == facts.seconds
    assert [uphill.load(run, checkpoint="best").moment(s)[0] for s in (0, 1)] == [*facts.best_steps]
    column = [row["evaluation/episode_return"] for row in rows_of(run.path)]
    assert [float(x) for x in column if x] == [1.0, 9.0, 5.0, 2.0, 3.0, 3.0]


def test_best_is_written_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = keeping.write_checkpoint

    def recording(folder: Path, name: str, tree: Any, facts: Any) -> None:
        written.append((name, facts.num_updates, facts.best_scores))
        write(folder, name, tree, facts)

    class Scripted(evaluations.Evaluator):
        def returns(self, actors: Any) -> np.ndarray:
            scores.append([2.0, 1.0, 3.0, 0.0][len(scores)])
            return np.full((2, 1, 1), scores[-1])

    scores: list[float] = []
    monkeypatch.setattr(keeping, "write_checkpoint", recording)
    monkeypatch.setattr(evaluations, "Evaluator", Scripted)
    # Updates of about 30 steps, each a logging point, saved at every one.
    train_small(tmp_path / "run", steps=90, eval_every=30, checkpoint_every=0.0)
    best = [(at, facts) for name, at, facts in written if name == "best"]
    assert [facts for _, facts in best] == [(None,), (2.0,), (3.0,)]
    for at, facts in best:
        assert ("latest", at, facts) in written
    assert sum(name == "latest" for name, _, _ in written) > len(best)


def test_crash_between_best_and_latest_leaves_best_its_own_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = keeping.write_checkpoint

    def crashing(folder: Path, name: str, tree: Any, facts: Any) -> None:
        if name == "latest" and facts.best_scores == (3.0,):
            raise RuntimeError("the power is gone")
        write(folder, name, tree, facts)

    class Scripted(evaluations.Evaluator):
        def returns(self, actors: Any) -> np.ndarray:
            return np.full((2, 1, 1), scores.pop(0))

    monkeypatch.setattr(evaluations, "Evaluator", Scripted)
    monkeypatch.setattr(keeping, "write_checkpoint", crashing)
    scores = [2.0, 3.0]
    with pytest.raises(RuntimeError, match="power"):
        train_small(tmp_path / "run", steps=90, eval_every=30, checkpoint_every=0.0)
    folder, best = tmp_path / "run", tensors_of(tmp_path / "run", "best")
    kept = read_manifest(folder, "best").facts
    assert read_manifest(folder, "latest").facts.best_scores == (2.0,)
    monkeypatch.setattr(keeping, "write_checkpoint", write)
    scores[:] = [2.5, 2.5, 2.5, 2.5]  # better than what `latest` knows of, worse than `best`
    uphill.resume(tmp_path / "run", quiet=True)
    for name, tensor in tensors_of(tmp_path / "run", "best").items():
        np.testing.assert_array_equal(tensor, best[name])
    again = read_manifest(folder, "best").facts
    assert again.best_scores == (3.0,)
    assert (again.best_steps, again.best_seconds) == (kept.best_steps, kept.best_seconds)


def test_evaluation_and_picture_of_earlier_learners_go_when_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_small(tmp_path / "run", steps=100)
    assert run.evaluation is not None

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluations.Evaluations, "final", interrupted)
    with pytest.raises(Interrupted, match=r"uphill\.evaluate\("):
        uphill.resume(run.path, steps=200, quiet=True)
    assert uphill.load(run.path).evaluation is None
    monkeypatch.undo()
    wait_for_helpers()  # one may still be drawing
    uphill.evaluate(run.path, episodes=2)
    assert (run.path / "curve.png").exists()


def test_interrupted_before_anything_is_new_the_evaluation_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_small(tmp_path / "run", steps=100, on_point=lambda *_: True)  # stopped early

    def interrupted(*_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(session, "iterate", interrupted)
    with pytest.raises(Interrupted, match=r"uphill\.resume\("):
        uphill.resume(run.path, steps=200, quiet=True)
    wait_for_helpers()
    assert uphill.load(run.path).evaluation == run.evaluation
    assert (run.path / "curve.png").exists()
    monkeypatch.undo()
    assert min(uphill.resume(run.path, quiet=True, episodes=2).summary()["steps"]) >= 200


def test_a_full_disk_does_not_hide_what_the_environment_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.num_updates:
            raise UphillError("The checkpoint could not be written: free some space.")

    monkeypatch.setattr(keeping.Keeper, "save", full)
    with pytest.raises(UphillError) as caught:
        train_small(
            tmp_path / "run", env=BreaksLate, env_kwargs={"what": "raise"}, steps=10_000,
            checkpoint_every=1e9,
        )  # fmt: skip
    assert "the simulator is gone" in str(caught.value)
    assert str(caught.value).endswith("could not be written: free some space.")


def test_evaluating_every_so_many_steps(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", steps=300, eval_every=100)
    rows = rows_of(run.path)
    at = [int(row["steps"]) for row in rows if row["evaluation/episode_return"]]
    crossed = [
        int(b["steps"])
        for a, b in itertools.pairwise([{"steps": "0"}, *rows])
        if int(a["steps"]) // 100 != int(b["steps"]) // 100
    ]
    assert at == crossed
    assert len(at) == 3


# --- the end ------------------------------------------------------------------------------------


class Recorded(evaluations.Evaluator):
    """Remembers in which thread it was compiled, and who evaluated."""

    threads: ClassVar[list[str]] = []
    evaluated: ClassVar[list[Any]] = []

    def compile(self, actors: Any) -> None:
        self.threads.append(threading.current_thread().name)
        super().compile(actors)

    def returns(self, actors: Any) -> np.ndarray:
        self.evaluated.append(actors)
        return super().returns(actors)


def test_evaluation_compiled_while_training_is_that_of_the_final_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorded, "threads", [])
    monkeypatch.setattr(Recorded, "evaluated", [])
    monkeypatch.setattr(evaluations, "Evaluator", Recorded)
    run = train_small(tmp_path / "run", seeds=3, episodes=6)
    assert [name.partition("_")[0] for name in Recorded.threads] == ["uphill"]  # once, not here
    final = tensors_of(run.path)["learners.actor.policy.trunk.layers.0.weight"]
    (actors,) = Recorded.evaluated
    np.testing.assert_array_equal(actors.policy.trunk.layers[0].weight, final)
    assert run.evaluation == uphill.evaluate(run.path, episodes=6)
    assert (run.path / "curve.png").exists()


def test_what_breaks_in_the_background_is_told_after_training_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(evaluations.Evaluator):
        def compile(self, actors: Any) -> None:
            raise UphillError("This evaluation can't be compiled.")

    monkeypatch.setattr(evaluations, "Evaluator", Broken)
    advice = r"Training is done, and saved\. Evaluate it with: uphill\.evaluate\("
    with pytest.raises(UphillError, match=rf"can't be compiled.*\n{advice}"):
        train_small(tmp_path / "run", steps=100)
    facts = read_manifest(tmp_path / "run", "latest").facts
    assert facts.num_transitions[0] >= 100
    monkeypatch.undo()
    assert uphill.evaluate(tmp_path / "run", episodes=2)["episodes"] == 2


def test_picture_that_cannot_be_drawn_is_told_and_the_evaluation_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_: Any) -> None:
        raise UphillError("curve.png could not be written.")

    monkeypatch.setattr(uphill.Run, "plot", breaks)
    with pytest.raises(UphillError, match=r"curve.png could not"):
        train_small(tmp_path / "run", steps=100)
    assert uphill.load(tmp_path / "run").evaluation is not None


def test_helping_thread_ends_with_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(trainer: Any, state: Any, every: int) -> Iterator[Any]:
        yield from itertools.islice(iterate(trainer, state, every, seconds=0.0), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "iterate", interrupted)
    with pytest.raises(Interrupted, match=r"uphill\.resume\("):
        train_small(tmp_path / "run")
    wait_for_helpers()
