"""Training sessions: resume, interruption, accounting, and what survives when something breaks."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from small_runs import rows_of, small_ppo, small_vpg, tensors_of, train_small
from uphill.envs.worlds import WORLDS
from uphill.envs.worlds.cartpole import CartPole
from uphill.errors import UphillError
from uphill.learning.parts import Adam, Algorithm, Steps
from uphill.learning.train import iterate
from uphill.runs import session
from uphill.runs.checkpoint import read_manifest
from uphill.runs.interrupts import Interrupted


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the next training interrupted after so many updates, taken one by one."""

    def ask(num_updates: int) -> None:
        def interrupted(trainer: Any, state: Any, every: int) -> Iterator[Any]:
            chunks = iterate(trainer, state, every, seconds=0.0)
            yield from itertools.islice(chunks, num_updates)
            raise KeyboardInterrupt

        monkeypatch.setattr(session, "iterate", interrupted)

    return ask


# --- resume -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_algorithm", "seeds", "steps"),
    [(small_ppo, 3, 450), (small_vpg, 2, 900)],
    ids=["steps", "episodes"],
)
def test_trap_16_resumed_run_is_the_uninterrupted_run_bit_for_bit(
    make_algorithm: Callable[[], Algorithm],
    seeds: int,
    steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupt_after: Callable[[int], None],
) -> None:
    # A logging point every four updates: the interrupts below fall in the middle of a window.
    monkeypatch.setattr(session, "logging_interval", lambda *_: 4)
    keywords: dict[str, Any] = {"seeds": seeds, "steps": steps, "seed": 5}
    whole = train_small(tmp_path / "whole", make_algorithm(), **keywords)

    interrupt_after(5)
    with pytest.raises(Interrupted, match="uphill resume"):
        train_small(tmp_path / "cut", make_algorithm(), **keywords)
    at_first = read_manifest(tmp_path / "cut" / "checkpoint", "latest").facts
    assert at_first.num_updates == 5
    assert "pending.updated" in tensors_of(tmp_path / "cut")
    interrupt_after(1)
    with pytest.raises(Interrupted):
        uphill.resume(tmp_path / "cut", quiet=True)
    monkeypatch.setattr(session, "iterate", iterate)
    resumed = uphill.resume(tmp_path / "cut", quiet=True, episodes=4)

    for name in ("latest", "best"):
        expected, found = tensors_of(whole.path, name), tensors_of(resumed.path, name)
        assert set(expected) == set(found)
        for key, tensor in expected.items():
            np.testing.assert_array_equal(found[key], tensor, err_msg=f"{name} {key}")
    assert any("optimizer_state" in key for key in expected)
    assert rows_of(resumed.path) == rows_of(whole.path)
    assert resumed.evaluation == whole.evaluation
    assert resumed.summary()["steps"] == whole.summary()["steps"]


def test_trap_16_rows_after_the_checkpoint_are_written_again_once(
    tmp_path: Path, interrupt_after: Callable[[int], None]
) -> None:
    whole = train_small(tmp_path / "whole", small_ppo(), steps=200)
    interrupt_after(3)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "cut", small_ppo(), steps=200)
    with (tmp_path / "cut" / "metrics.csv").open("a") as file:
        file.write("0,4,123,half a ro")  # the process was killed while it wrote
    interrupt_after(10**6)
    with pytest.raises(Interrupted):
        uphill.resume(tmp_path / "cut", quiet=True)
    assert rows_of(tmp_path / "cut") == rows_of(whole.path)


def test_finished_run_says_so_and_steps_extend_it(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", steps=100)
    before = run.summary()["steps"][0]
    with pytest.raises(UphillError, match=r"is finished .* --steps N` extends it"):
        uphill.resume(run.path)
    with pytest.raises(UphillError, match="steps is 50, but the run already goes to 100"):
        uphill.resume(run.path, steps=50)
    extended = uphill.resume(run.path, steps=200, quiet=True, episodes=4)
    assert extended.summary()["steps"][0] >= 200 > before
    steps = [int(row["steps"]) for row in rows_of(run.path)]
    assert steps == sorted(set(steps))
    assert extended.experiment.steps == 200


def test_stops_when_solved_and_can_still_be_extended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    easy = CartPole(max_episode_steps=500, reward_threshold=5.0)
    monkeypatch.setitem(WORLDS, "Easy-v0", easy)
    keywords: dict[str, Any] = {"env": "Easy-v0", "stop_when_solved": True}
    run = train_small(tmp_path / "run", small_ppo(), steps=50_000, seeds=2, **keywords)
    steps = run.summary()["steps"]
    assert max(steps) < 25_000
    assert run.summary()["solved"] == [True, True]
    facts = read_manifest(run.path / "checkpoint", "latest").facts
    assert facts.stopped
    # Every seed has seen a hundred episodes, and the window holds hardly more.
    for recent in facts.recent:
        episodes = sum(count for count, _ in recent)
        assert 100 <= episodes < 100 + recent[0][0]
    with pytest.raises(UphillError, match="is finished"):
        uphill.resume(run.path)
    again = uphill.resume(run.path, steps=60_000, quiet=True, episodes=4)
    assert min(again.summary()["steps"]) > max(steps)


def test_resume_refuses_other_spaces_devices_and_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt_after: Callable[[int], None]
) -> None:
    interrupt_after(1)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run")
    latest = tmp_path / "run" / "checkpoint" / "latest.json"
    text = latest.read_text()
    latest.write_text(text.replace('"platform": "cpu"', '"platform": "gpu"'))
    with pytest.raises(UphillError, match="resume it where it was started"):
        uphill.resume(tmp_path / "run", quiet=True)
    latest.write_text(text.replace('"size": 2', '"size": 3'))
    with pytest.raises(UphillError, match="spaces of CartPole-v1 are not those"):
        uphill.resume(tmp_path / "run", quiet=True)
    latest.write_text(text)
    experiment = tmp_path / "run" / "experiment.json"
    experiment.write_text(experiment.read_text().replace('"seeds": 1', '"seeds": 2'))
    with pytest.raises(UphillError, match="number of seeds"):
        uphill.resume(tmp_path / "run", quiet=True)


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

    class Watched(session.Trainer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            Counting.num_steps = 0  # making it may have tried a step

        def close(self) -> None:
            taken.append(Counting.num_steps)
            super().close()

    monkeypatch.setattr(session, "Trainer", Watched)
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
    for tensor in tensors_of(run).values():
        assert np.isfinite(tensor).all()
    action = uphill.load(run).policy.act(np.zeros(4, np.float32))
    assert action in (0, 1)
    return read_manifest(run / "checkpoint", "latest").facts.num_updates


def test_nan_reward_of_a_compiled_world_is_named_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORLDS, "Broken-v0", NaNFarOut(500, 475.0))
    with pytest.raises(UphillError, match="Broken-v0 returned a reward that is NaN") as caught:
        train_small(tmp_path / "run", env="Broken-v0", steps=100_000, checkpoint_every=0.0)
    update = int(str(caught.value).split("in update ")[1].split(",")[0])
    assert update >= 2
    assert 1 <= assert_whole(tmp_path / "run") <= update


def test_learning_that_diverges_is_told_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    # One update leaves finite weights of 1e30; the next one overflows.
    algorithm = small_ppo(optimizer=Adam(learning_rate=1e30), num_epochs=1, num_minibatches=1)
    with pytest.raises(UphillError, match=r"diverged .* Lower --optimizer.learning-rate"):
        train_small(tmp_path / "run", algorithm, checkpoint_every=0.0)
    assert_whole(tmp_path / "run")


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


def test_run_directory_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("mine")
    with pytest.raises(UphillError, match="exists already, and a run is never overwritten"):
        train_small(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UphillError, match="can't be made"):
        train_small(tmp_path / "file" / "run")


def test_default_folders_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session.time, "strftime", lambda _: "now")
    first = session._free_folder(None, "my.module:Env-v0", "ppo", 3)
    assert first == Path("runs/my.module-Env-v0-ppo-seed3-now")
    first.mkdir(parents=True)
    assert session._free_folder(None, "my.module:Env-v0", "ppo", 3).name.endswith("now-2")


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"steps": 0}, "steps is 0: use at least 1"),
        ({"seeds": 0}, "seeds is 0: use at least 1"),
        ({"envs": 0}, "envs is 0: use at least 1"),
        ({"episodes": 0}, "episodes is 0: use at least 1"),
        ({"seed": -1}, "seed is -1: use a number from 0"),
        ({"eval_every": 0}, "eval_every is 0: use at least 1"),
        ({"env": "CartPole-v9"}, "CartPole-v1"),
        ({"envs": 3, "algorithm": None}, None),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(
    keywords: dict[str, Any], sentence: str | None, tmp_path: Path
) -> None:
    if sentence is None:
        with pytest.raises(UphillError, match="num_minibatches is 5"):
            train_small(tmp_path / "run", small_ppo(num_minibatches=5))
    else:
        with pytest.raises(UphillError, match=sentence):
            train_small(tmp_path / "run", **keywords)
    assert not (tmp_path / "run").exists()


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UphillError, match="There is no algorithm 'dqn': use one of reinforce"):
        uphill.train("CartPole-v1", algo="dqn")


# --- the best checkpoint, evaluations while training, starting from another run -----------------


def test_best_learners_are_those_of_the_best_logging_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Scripted(session.Evaluator):
        def returns(self, actors: Any) -> np.ndarray:
            seen.append(actors)
            scores = {1: [1.0, 9.0], 2: [5.0, 2.0], 3: [3.0, 3.0]}[len(seen)]
            return np.stack([np.array(scores)[:, None]] * 2)

    monkeypatch.setattr(session, "Evaluator", Scripted)
    run = train_small(tmp_path / "run", steps=90, seeds=2, eval_every=30)
    assert len(seen) == 3
    best = tensors_of(run.path, "best")
    weights = [np.asarray(a.policy.network.layers[0].weight) for a in seen]
    name = next(
        k for k in best if "actor.policy.network" in k and best[k].shape == weights[0].shape
    )
    np.testing.assert_array_equal(best[name][0], weights[1][0])
    np.testing.assert_array_equal(best[name][1], weights[0][1])
    facts = read_manifest(run.path / "checkpoint", "best").facts
    assert facts.best_scores == (5.0, 9.0)
    column = [row["evaluation/episode_return"] for row in rows_of(run.path)]
    assert [float(x) for x in column if x] == [1.0, 9.0, 5.0, 2.0, 3.0, 3.0]


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


def test_starts_from_the_networks_of_another_run(tmp_path: Path) -> None:
    trained = train_small(tmp_path / "first", seeds=2)
    other = small_ppo(optimizer=Adam(learning_rate=0.0))
    run = train_small(tmp_path / "second", other, seeds=3, init_from=trained.path, steps=30)
    before, after = tensors_of(trained.path), tensors_of(run.path)
    for key, tensor in after.items():
        if key.startswith(("learners.actor.policy", "learners.critic.")):
            for s in range(3):
                np.testing.assert_array_equal(tensor[s], before[key][trained.best_seed_index])
    with pytest.raises(UphillError, match=r"init-from is .* differ"):
        train_small(tmp_path / "third", small_vpg(), init_from=trained.path)
    assert not (tmp_path / "third").exists()


# --- environments that must be given again, or trusted again ------------------------------------


def test_callable_environment_must_be_given_again(
    tmp_path: Path, interrupt_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(2)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run", env=Counting, steps=100)
    monkeypatch.setattr(session, "iterate", iterate)
    with pytest.raises(UphillError, match=r"callable 'Counting': give it again"):
        uphill.resume(tmp_path / "run")
    run = uphill.resume(tmp_path / "run", env=Counting, quiet=True, episodes=2)
    assert run.evaluation is not None
    assert run.evaluation["deterministic"]["per_seed"] == [7.0]
    with pytest.raises(UphillError, match="give it again"):
        uphill.load(run.path).evaluate(2)
    assert uphill.load(run.path, env=Counting).evaluate(2)["stochastic"]["mean"] == 7.0


def test_module_of_an_environment_is_not_imported_on_a_files_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt_after: Callable[[int], None]
) -> None:
    (tmp_path / "house_of_envs.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('House-v0', 'gymnasium.envs.classic_control:CartPoleEnv', "
        "max_episode_steps=20)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sampling = Steps(num_envs=2, num_steps=8)
    interrupt_after(1)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run", small_ppo(sampling=sampling), env="house_of_envs:House-v0")
    monkeypatch.setattr(session, "iterate", iterate)
    for refused in (uphill.resume, uphill.evaluate):
        with pytest.raises(UphillError, match="'house_of_envs': add --allow-import"):
            refused(tmp_path / "run")
    uphill.resume(tmp_path / "run", allow_import=True, quiet=True, episodes=2)
    result = uphill.evaluate(tmp_path / "run", episodes=2, allow_import=True)
    assert 8 <= result["deterministic"]["mean"] <= 20
    gymnasium.registry.pop("House-v0")
