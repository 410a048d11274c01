"""Training begins and goes on: resume, wrong arguments, folders, environments given again."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import uphill
from small_runs import (
    NETWORK,
    POLICY,
    contents_of,
    rows_of,
    small_ppo,
    small_trpo,
    small_vpg,
    tensors_of,
    train_small,
)
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.parts import (
    Adam,
    Algorithm,
    ClippedRatio,
    Episodes,
    KLPenalty,
    Optax,
    Replay,
    RunningMean,
    Steps,
    Surrogate,
    ValueFunction,
)
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.runs.checkpoint import Standing, read_manifest, read_tensors, write_checkpoint
from uphill.runs.machine import Moved
from uphill.runs.milestones import Tracked
from uphill.sessions import keeping, launch, resume, session
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.launch import Request
from uphill.sessions.presets import preset
from uphill.training.trainer import Trainer, iterate


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


@pytest.mark.bits
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
    with pytest.raises(Interrupted, match=r"uphill\.resume\("):
        train_small(tmp_path / "cut", make_algorithm(), **keywords)
    at_first = read_manifest(tmp_path / "cut", "latest").facts
    assert at_first.num_updates == 5
    assert "pending.updated" in tensors_of(tmp_path / "cut")
    interrupt_after(1)
    with pytest.raises(Interrupted):
        uphill.resume(tmp_path / "cut", quiet=True)
    monkeypatch.setattr(session, "iterate", iterate)
    resumed = uphill.resume(tmp_path / "cut", quiet=True, episodes=4)

    expected, found = contents_of(whole.path), contents_of(resumed.path)
    assert sorted(found) == sorted(expected)  # the names, which say what is in the files
    for name, content in expected.items():
        assert found[name] == content, name
    assert any("parts.optimizer" in key for key in tensors_of(whole.path))
    assert any(m.name == "untrained" for m in whole.milestones)


REMEMBERING = {
    "trpo": lambda: small_trpo(),
    "replay": lambda: small_vpg(
        baseline=ValueFunction(
            network=NETWORK, optimizer=Adam(1e-2), num_steps=2, targets="td", replay=Replay(50, 8)
        )
    ),
    "penalty": lambda: small_ppo(surrogate=KLPenalty(), normalize_rewards=True),
    "running mean": lambda: uphill.reinforce(
        sampling=Episodes(num_envs=4),
        baseline=RunningMean(),
        normalize_returns=True,
        uniform_mixture="linear:0.5:0",
        policy=POLICY,
    ),
    "lion": lambda: small_ppo(
        optimizer=Optax("lion", "cosine:1e-2:0"), num_epochs=1, num_minibatches=1
    ),
}


@pytest.mark.parametrize("name", REMEMBERING)
def test_trap_16_what_parts_remember_is_in_the_checkpoint(name: str, tmp_path: Path) -> None:
    """Two updates, saved and read again, then two more: as four at once, to the bit."""
    algorithm, choice = REMEMBERING[name](), choose("CartPole-v1")
    trainer = Trainer(choice, algorithm, (5,), 10**4, measure_every=2)
    whole, rows = trainer.advance(trainer.start(), 4)
    half, _ = trainer.advance(trainer.start(), 2)
    parts = {"learners": half.learners, "lanes": half.lanes}
    facts = Standing(
        num_updates=half.num_updates,
        num_transitions=half.num_transitions,
        encoding=trainer.encoding,
        action_kind=trainer.action_kind,
        reward_threshold=None,
        seconds=0.0,
        compile_seconds=0.0,
        metrics_offset=0,
        recent=((),),
        best_scores=(None,),
        evaluated_at=0,
        tracked=(Tracked(),),
        milestones=(),
        stopped=False,
        device={},
    )
    write_checkpoint(tmp_path, "latest", jax.device_get(parts), facts)
    manifest = read_manifest(tmp_path, "latest")
    tensors = read_tensors(tmp_path, manifest)
    again = resume._restored_state(trainer, manifest.facts, tensors, tmp_path)
    resumed, last = trainer.advance(again, 2)
    for state in (resumed, whole):
        assert state.num_updates == 4
    for x, y in zip(
        jax.tree.leaves(resumed.learners), jax.tree.leaves(whole.learners), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    for column, values in last.items():
        np.testing.assert_array_equal(values, rows[column][2:], err_msg=column)
    assert np.isnan(rows["policy/kl"][:, 0]).tolist() == [True, False, True, False]


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
    with pytest.raises(UphillError, match=r"is finished .*, steps=N\)` extends it"):
        uphill.resume(run.path)
    for steps in (50, 101, before):  # the last update went beyond 100
        words = f"steps is {steps}, but the run already goes to {before}: use more"
        with pytest.raises(UphillError, match=words):
            uphill.resume(run.path, steps=steps)
    extended = uphill.resume(run.path, steps=200, quiet=True, episodes=4)
    assert extended.summary()["steps"][0] >= 200 > before
    steps = [int(row["steps"]) for row in rows_of(run.path)]
    assert steps == sorted(set(steps))
    assert extended.experiment.steps == 200
    assert extended.experiment.extended == (100,)
    assert f"{extended.steps[0]:,} steps; " in repr(extended)
    uphill.resume(extended, steps=300, quiet=True, episodes=4)
    assert uphill.load(run.path).experiment.extended == (100, 200)
    page = uphill.load(run.path).report(films=False).read_text()
    assert "gave it another length: from 100 to 200 to 300 steps." in page


def test_more_steps_stretch_schedules_which_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steady = small_ppo(optimizer=Adam(1e-3), surrogate=ClippedRatio(0.2), entropy=0.0)
    names = "(surrogate.epsilon, optimizer.learning_rate and entropy)"
    for name, algorithm, words in (
        (
            "fading",
            small_ppo(),
            f"to 200 steps, not 100: what changes during training {names} goes",
        ),
        ("steady", steady, ""),
    ):
        run = train_small(tmp_path / name, algorithm, steps=100)
        capsys.readouterr()
        uphill.resume(run.path, steps=200)
        said = capsys.readouterr().err
        assert words in said
        assert words or "not 100" not in said


def test_a_run_goes_on_elsewhere_which_is_told_and_recorded(
    tmp_path: Path, interrupt_after: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_after(2)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run", seeds=2)
    latest = tmp_path / "run" / "checkpoint" / "latest.json"
    document = json.loads(latest.read_text())
    here = document["facts"]["device"]
    assert (here["platform"], here["devices"]) == ("cpu", "2")
    there = document["facts"]["device"] = here | {"platform": "gpu", "devices": "1"}
    latest.write_text(json.dumps(document))
    interrupt_after(1)
    with pytest.raises(Interrupted):
        uphill.resume(tmp_path / "run")
    said = "until now (platform cpu in place of gpu and devices 2 in place of 1): its bits may"
    assert said in " ".join(capsys.readouterr().err.split())
    interrupt_after(10**6)
    with pytest.raises(Interrupted):
        uphill.resume(tmp_path / "run")  # where it was last
    assert "bits" not in capsys.readouterr().err
    facts = read_manifest(tmp_path / "run", "latest").facts
    assert facts.moved == (Moved(2, there),)
    assert facts.device == here
    page = uphill.load(tmp_path / "run").report(films=False).read_text()
    assert "2, one after the other" in page


def test_what_was_ended_before_its_first_checkpoint_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train_small(tmp_path / "whole", seed=3)
    write = keeping.write_checkpoint

    def crashing(folder: Path, name: str, *rest: Any) -> None:
        if name == "latest":
            raise RuntimeError("the power is gone")
        write(folder, name, *rest)

    run = tmp_path / "run"
    monkeypatch.setattr(keeping, "write_checkpoint", crashing)
    with pytest.raises(RuntimeError, match="power"):
        train_small(run, seed=3)
    monkeypatch.setattr(keeping, "write_checkpoint", write)
    shutil.copytree(run, tmp_path / "again")
    with pytest.raises(UphillError, match=r"made for another training.*\(other seed and steps\)"):
        train_small(run, seed=4, steps=200)
    train_small(run, seed=3)  # the same, asked for again
    uphill.resume(tmp_path / "again", episodes=4)
    assert "again was stopped before its first checkpoint: it starts" in capsys.readouterr().err
    for name in ("run", "again"):
        assert contents_of(tmp_path / name) == contents_of(whole.path)
    with pytest.raises(UphillError, match="exists already, and a run is never overwritten"):
        train_small(run, seed=3)
    (tmp_path / "empty").mkdir()  # killed after mkdir
    train_small(tmp_path / "empty", seed=3, steps=30)
    (tmp_path / "run" / "checkpoint" / "latest.json").unlink()
    with pytest.raises(UphillError, match="There is no checkpoint"):
        uphill.resume(run)


def test_resume_refuses_other_spaces_random_numbers_and_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt_after: Callable[[int], None]
) -> None:
    interrupt_after(1)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run")
    latest = tmp_path / "run" / "checkpoint" / "latest.json"
    text = latest.read_text()
    latest.write_text(text.replace("threefry2x32", "rbg"))
    with pytest.raises(UphillError, match=r"set JAX_DEFAULT_PRNG_IMPL=rbg\.$"):
        uphill.resume(tmp_path / "run", quiet=True)
    latest.write_text(text)
    generator = jax.config.jax_default_prng_impl  # pyright: ignore
    jax.config.update("jax_default_prng_impl", "rbg")  # whose keys have another shape
    try:
        for go_on in (uphill.resume, uphill.restore):
            with pytest.raises(UphillError, match=r"set JAX_DEFAULT_PRNG_IMPL=threefry2x32\.$"):
                go_on(tmp_path / "run")
    finally:
        jax.config.update("jax_default_prng_impl", generator)
    latest.write_text(text.replace('"size": 2', '"size": 3'))
    with pytest.raises(UphillError, match="spaces of CartPole-v1 are not those"):
        uphill.resume(tmp_path / "run", quiet=True)
    latest.write_text(text)
    experiment = tmp_path / "run" / "experiment.json"
    experiment.write_text(experiment.read_text().replace('"seeds": 1', '"seeds": 2'))
    with pytest.raises(UphillError, match=r"of 1 seed, and experiment\.json has 2"):
        uphill.resume(tmp_path / "run", quiet=True)


def test_names_that_are_too_long_are_refused_or_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = launch.free_folder(tmp_path / ("x" * 300), "CartPole-v1", "ppo", 0)
    with pytest.raises(UphillError, match=r"\(File name too long\): give a shorter name"):
        launch.make_run_folder(folder)
    monkeypatch.chdir(tmp_path)
    launch.make_run_folder(launch.free_folder(None, "x" * 300, "ppo", 0))
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_run_directory_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("mine")
    with pytest.raises(UphillError, match="exists already, and a run is never overwritten"):
        train_small(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match="out is 'no\\\\x00folder': leave the null character"):
        uphill.train("CartPole-v1", out="no\0folder", quiet=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UphillError, match="can't be made"):
        train_small(tmp_path / "file" / "run")


def test_only_a_run_is_to_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    with pytest.raises(UphillError, match=r"never overwritten: choose another out\.$"):
        train_small(tmp_path / "notes")


def test_default_folders_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch.time, "strftime", lambda _: "now")
    first = launch.free_folder(None, "my.module:Env-v0", "ppo", 3)
    assert first == Path("runs/my.module-Env-v0-ppo-seed3-now")
    mine = launch.free_folder(None, "CartPole-v1", "ppo/my clip", 3)
    assert mine == Path("runs/CartPole-v1-ppo-my-clip-seed3-now")
    assert launch.free_folder(None, "<lambda>", "ppo", 0) == Path("runs/lambda-ppo-seed0-now")
    first.mkdir(parents=True)
    assert launch.free_folder(None, "my.module:Env-v0", "ppo", 3).name.endswith("now-2")
    # And one that begins in the same second, and looked before the folder was there.
    assert launch.make_run_folder(first, is_named=False).name == f"{first.name}-2"
    assert launch.make_run_folder(mine, is_named=False).name == mine.name
    with pytest.raises(UphillError, match="can't be made"):
        launch.make_run_folder(first)


class Noted(gymnasium.Wrapper):
    def __init__(self, x: Any = None) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"steps": 0}, "steps is 0: use at least 1"),
        ({"seeds": 0}, "seeds is 0: use at least 1"),
        ({"envs": 0}, "envs is 0: use at least 1"),
        ({"episodes": 0}, "episodes is 0: use at least 1"),
        ({"seed": -1}, "seed is -1: use a number from 0"),
        ({"eval_every": 0}, "eval_every is 0: use at least 1"),
        ({"episodes": 10**12}, "episodes is 10{12}: use at most 1,000,000"),
        (
            {"envs": 10**9, "episodes": 10**6},
            "num_envs is 1000000000: with 8 of each, a batch has 2³¹ rows or more",
        ),
        (
            {"is_async": True},
            "is_async=True is for .* CartPole-v1 is compiled: leave it out, or add",
        ),
        ({"env_kwargs": {"x": {0: 1.0}}, "env": Noted}, "env_kwargs.x has the key 0, which is no"),
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


WRONG_CALLS = """
import equinox as eqx
import gymnasium
import numpy as np
import optax
import uphill
from uphill import parts

class Switching(gymnasium.Wrapper):
    action_space = gymnasium.spaces.Box(0, 1, (2,), np.bool_)
    def __init__(self): super().__init__(gymnasium.make("CartPole-v1"))
    def step(self, action): return super().step(int(action[0]))

for make in (
    lambda: {"steps": 1000.5},
    lambda: {"seeds": "8"},
    lambda: {"envs": "8"},
    lambda: {"envs": 2.5},
    lambda: {"episodes": "8"},
    lambda: {"backend": "foo"},
    lambda: {"env_kwargs": "gravity"},
    lambda: {"env_kwargs": {"f": print}},
    lambda: {"env_kwargs": {1: 2}},
    lambda: uphill.tune("CartPole-v1", search=["optimizer.learning_rate"]),
    lambda: uphill.sensitivity(["CartPole-v1", "Acrobot-v1"], 3),
    lambda: uphill.measure_variance("CartPole-v1", gamma="1"),
    lambda: uphill.sweep("CartPole-v1", grid={"num_epochs": [1, 2]}, seeds=2.0),
    lambda: {"stop_when_solved": 1},
    lambda: {"algorithm": uphill.ppo},
    lambda: {"algorithm": "dqn"},
    lambda: {"algorithm": "ppo", "algo": "a2c"},
    lambda: {"total_timesteps": 100},
    lambda: {"clip_range": 0.1},
    lambda: {"device": "cpu"},
    lambda: uphill.ppo(batch_size=64),
    lambda: uphill.ppo(clip_range_vf=0.2),
    lambda: uphill.trpo(target_kl=0.01),
    lambda: {"algorithm": uphill.ppo(num_epochs=2.5)},
    lambda: {"algorithm": uphill.ppo(normalize_observations=1)},
    lambda: {"algorithm": uphill.ppo(optimizer=3)},
    lambda: {"algorithm": uphill.ppo(sampling=3)},
    lambda: {"algorithm": uphill.ppo(sampling=parts.Steps)},
    lambda: {"log": True},
    lambda: {"out": 3},
    lambda: {"init_from": 3},
    lambda: {"algo": "ppo", "algorithm": uphill.a2c()},
    lambda: {"network": 3},
    lambda: {"network": eqx.nn.Identity()},
    lambda: {"network": eqx.nn.MLP},
    lambda: uphill.load(3),
    lambda: uphill.resume(None),
    lambda: uphill.views.plots.plot_runs("run"),
    lambda: parts.Steps(num_steps="64"),
    lambda: parts.GAE(gamma="0.9"),
    lambda: parts.Adam(max_grad_norm="1"),
    lambda: uphill.ppo(target_kl="1"),
    lambda: parts.ValueFunction(replay=True),
    lambda: parts.PolicySettings(hidden=64),
    lambda: parts.PolicySettings(hidden=(64.0,)),
    lambda: parts.PolicySettings(initial_log_std="0"),
    lambda: parts.Optax(3),
    lambda: uphill.load("run", parts=5),
    lambda: next(uphill.iterate(None)),
    lambda: uphill.Trainer("CartPole-v1", "ppo", seeds=(0,), num_steps=100),
    lambda: {"env": ":CartPole-v1"},
    lambda: {"env": "../zoo:Foo-v0"},
    lambda: {"env": lambda: gymnasium.make_vec("CartPole-v1", 2)},
    lambda: {"env": Switching},
):
    try:
        uphill.train(**{"env": "CartPole-v1", "out": "run", "quiet": True} | make())
    except uphill.UphillError as error:
        print(error)
"""


def test_wrong_types_from_python_are_one_sentence_each(tmp_path: Path) -> None:
    # In a process without the type checker that tests run under: users have none.
    done = subprocess.run(
        [sys.executable, "-c", WRONG_CALLS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    sentences = done.stdout.splitlines()
    for said, expected in zip(
        sentences,
        (
            "steps is 1000.5: expected int.",
            "seeds is '8': expected int.",
            "envs is '8': expected",
            "envs is 2.5: expected",
            "episodes is '8': expected int.",
            "backend is 'foo': expected one of ('auto', 'compiled', 'envpool', 'gymnasium').",
            "env_kwargs is 'gravity': expected dict.",
            "env_kwargs is {'f': <built-in function print>}: use plain data",
            "A name in env_kwargs is 1: expected str.",
            "search is ['optimizer.learning_rate']: give ranges by their fields, as in",
            "algorithms has 3: give an Algorithm, such as uphill.ppo(), or the name of one.",
            "gamma is '1': expected float.",
            "seeds is 2.0: expected int.",
            "stop_when_solved is 1: expected bool.",
            "algorithm is ppo: give an Algorithm, such as uphill.ppo()",
            "There is no algorithm 'dqn': use one of reinforce, vpg, a2c, ppo, npg, trpo.",
            "algo is 'a2c', and algorithm is 'ppo': give one of the two.",
            "train() has no argument 'total_timesteps': did you mean steps?",
            "train() has no argument 'clip_range': did you mean surrogate.epsilon of the algorithm",
            "train() has no argument 'device': JAX chooses the device",
            "batch_size is 64: an algorithm has no such field; perhaps you mean num_minibatches",
            "clip_range_vf is 0.2: value losses are not clipped here (docs/algorithms.md).",
            "target_kl is 0.01: TrustRegion takes one step, and bounds it itself, so leave it out",
            "num_epochs is 2.5: use a whole number.",
            "algorithm.normalize_observations is 1: expected bool.",
            "optimizer is 3: use Adam, RMSProp, SGD, Optax, NaturalGradient or TrustRegion",
            "sampling is 3: use Steps or Episodes of uphill.parts.",
            "sampling is the type Steps: write Steps().",
            "log is True: expected a list.",
            "out is 3: give the path of a run directory",
            "init_from is 3: give the path of a run directory, or a Run.",
            "algo is 'ppo', and algorithm is a2c: give one of the two.",
            "network is 3: give a function network(num_features, key)",
            "network is a module (Identity), made already: give a function",
            "network is MLP, which can't be called with two arguments (",
            "path is 3: give the path of a run directory, or a Run.",
            "run is None: give the path",
            "runs is 'run': give a list of runs.",
            "num_steps is '64': use a whole number.",
            "gamma is '0.9': use a number.",
            "max_grad_norm is '1': use a number.",
            "target_kl is '1': use a number.",
            "replay is True: use Replay of uphill.parts.",
            "hidden is 64: give a number for each layer",
            "hidden is (64.0,): use a whole number",
            "initial_log_std is '0': use a number from",
            "name is 3: Optax has no optimiser",
            "parts has 5: give classes, as in parts=[MySurrogate].",
            "trainer is None: give an uphill.Trainer.",
            "algorithm is 'ppo': give an Algorithm, such as uphill.ppo().",
            "':CartPole-v1' names no module before the colon: start in the folder that has it, and "
            "write its name, as in my_package:CartPole-v1.",
            "'../zoo:Foo-v0' names no module before the colon: start in the folder that has it, "
            "and write its name, as in zoo:Foo-v0.",
            "<lambda> made a CartPoleVectorEnv, which is several environments: make a single one, "
            "and envs steps as many as it says.",
            "The action space Box(False, True, (2,), bool) is of yes or no: use MultiBinary([2]).",
        ),
        strict=True,
    ):
        assert said.startswith(expected)
    assert not list(tmp_path.iterdir())


def test_numbers_as_people_write_them_can_be_read_again(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", steps=1e2, env_kwargs={"sutton_barto_reward": np.bool_(0)})
    read = uphill.load(run.path).experiment
    assert (read.steps, type(read.steps), read.episodes) == (100, int, 4)
    assert read.env_kwargs == {"sutton_barto_reward": False}
    extended = uphill.resume(run.path, steps=1.5e2, quiet=True)
    assert extended.experiment.steps == 150
    assert extended.evaluation is not None
    assert extended.evaluation["episodes"] == 4


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UphillError, match="There is no algorithm 'dqn': use one of reinforce"):
        uphill.train("CartPole-v1", algo="dqn")


def test_run_is_called_what_its_algorithm_is_called() -> None:
    for make in (uphill.reinforce, uphill.vpg, uphill.a2c, uphill.ppo):
        chosen, _ = launch.chosen_for(Request("_", make(num_epochs=1)), "CartPole-v1", None)
        assert chosen.algo == make.__name__
    own, _ = launch.chosen_for(Request("_", uphill.ppo(name="mine")), "CartPole-v1", None)
    assert (own.algo, own.algorithm.name) == ("mine", "mine")


def test_settings_say_whether_they_are_a_preset() -> None:
    def said(env: str, algorithm: Algorithm | None = None) -> str:
        return launch.chosen_for(Request(env, algorithm), env, None)[1]

    assert said("CartPole-v1") == "the preset of CartPole-v1 for ppo"
    chosen = preset("CartPole-v1").algorithm
    assert said("CartPole-v1", chosen) == "the preset of CartPole-v1 for ppo"
    changed = "the preset of CartPole-v1 for ppo, changed by --num-epochs 3"
    assert said("CartPole-v1", replace(chosen, num_epochs=3)) == changed
    default = "uphill.ppo(), since BipedalWalker-v3 has no preset for ppo"
    assert said("BipedalWalker-v3") == default
    for env in ("CartPole-v1", "BipedalWalker-v3"):
        assert said(env, uphill.ppo()) == "uphill.ppo()"
        assert said(env, uphill.ppo(num_epochs=9)) == "uphill.ppo() with --num-epochs 9"
        assert said(env, uphill.ppo(name="mine")) == "your own"


def test_starts_from_the_networks_of_another_run(tmp_path: Path) -> None:
    trained = train_small(tmp_path / "first", seeds=2)
    other = small_ppo(optimizer=Adam(learning_rate=0.0))
    run = train_small(tmp_path / "second", other, seeds=3, init_from=trained.path, steps=30)
    origin = uphill.load(run.path).experiment.init_from
    assert origin is not None
    assert (origin.run, origin.seed) == (str(trained.path), trained.best_seed_index)
    manifest = read_manifest(trained.path, "latest")
    assert origin.sha256 == manifest.sha256
    before, after = tensors_of(trained.path), tensors_of(run.path)
    for key, tensor in after.items():
        if key.startswith(("learners.actor.policy", "learners.parts.baseline.critic.")):
            for s in range(3):
                np.testing.assert_array_equal(tensor[s], before[key][trained.best_seed_index])
    relu = PolicySettings(hidden=(8,), activation="relu")
    like_theirs = r"use policy=PolicySettings\( hidden=\(8,\), activation='tanh'"
    for algorithm, mend in (
        (small_vpg(), "normalised observations differ .*: add normalize_observations=True"),
        (small_ppo(policy=relu), f"networks differ .*: {like_theirs}"),
        (small_ppo(policy=PolicySettings(hidden=(9,))), "networks differ"),
        (small_ppo(observation_categories=3), ".* differ .*: leave out observation_categories"),
    ):
        with pytest.raises(UphillError, match=f"^init_from is .*, whose {mend}"):
            train_small(tmp_path / "third", algorithm, init_from=trained.path)
    with pytest.raises(UphillError, match="whose spaces differ from those of this run"):
        train_small(tmp_path / "third", env="Acrobot-v1", init_from=trained.path)
    assert not (tmp_path / "third").exists()


class Halved(Surrogate):
    """Half of the ratio: a part that only this file knows."""

    is_ratio: ClassVar[bool] = True

    def __call__(self, sample: Any) -> Any:
        return 0.5 * sample.ratio * sample.advantage


def test_a_run_is_fine_tuned_whatever_else_it_was_made_of(
    tmp_path: Path, state_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = small_ppo(surrogate=Halved(), optimizer=optax.lion(1e-3))
    trained = train_small(tmp_path / "first", first, steps=100)
    shutil.rmtree(state_home / "uphill")  # nobody knows its parts any more
    still = small_ppo(optimizer=Adam(learning_rate=0.0))
    run = train_small(
        tmp_path / "run", still, env="CartPole-v0", init_from=trained.path, quiet=False, steps=600
    )
    done = min(trained.summary()["steps"])
    said = "Starts from the policy and the value function of seed 0 of "
    assert f"{said}{trained.path}, after {done:,} steps there.\n" in capsys.readouterr().err
    before, after = tensors_of(trained.path), tensors_of(run.path)
    for key in after:
        if key.startswith(("learners.actor.policy", "learners.parts.baseline.critic.")):
            np.testing.assert_array_equal(after[key], before[key], key)
    page = run.report(films=False).read_text()
    assert "before fine-tuning" in page
    assert "untrained" not in page
    # One whose shape is left out is as the policy, and so as the other was.
    train_small(
        tmp_path / "as the policy",
        small_ppo(baseline=ValueFunction()),
        init_from=trained.path,
        quiet=False,
        steps=10,
    )
    assert said in capsys.readouterr().err
    # A value function of another shape starts anew, and that is said.
    other = small_ppo(baseline=ValueFunction(network=NetworkSettings(hidden=(5,))))
    train_small(tmp_path / "other", other, init_from=trained.path, quiet=False, steps=10)
    assert "the value function starts anew" in capsys.readouterr().err


def perceptron(num_features: int, key: jax.Array, width: int = 6) -> eqx.Module:
    """A user's own network: six features for the heads."""
    return eqx.nn.MLP(num_features, width, 5, 1, activation=jax.nn.gelu, key=key)


def narrower(num_features: int, key: jax.Array) -> eqx.Module:
    return perceptron(num_features, key, width=4)


def test_networks_of_the_users_own_train_save_load_and_resume_bit_for_bit(
    tmp_path: Path, interrupt_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    keywords: dict[str, Any] = {"steps": 120, "network": perceptron}
    whole = train_small(tmp_path / "whole", **keywords)
    interrupt_after(2)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "cut", **keywords)
    monkeypatch.setattr(session, "iterate", iterate)
    missing = (
        r"^The run's networks are your own, made by 'perceptron': give it again, "
        r"uphill\.load\(run, network=…\)\.$"
    )
    with pytest.raises(UphillError, match=missing):
        uphill.resume(tmp_path / "cut", quiet=True)
    with pytest.raises(UphillError, match=r"checkpoint"):
        uphill.resume(tmp_path / "cut", quiet=True, network=narrower)
    resumed = uphill.resume(tmp_path / "cut", quiet=True, network=perceptron, episodes=4)
    expected, found = tensors_of(whole.path), tensors_of(resumed.path)
    assert set(expected) == set(found)
    for key, tensor in expected.items():
        np.testing.assert_array_equal(found[key], tensor, err_msg=key)
    assert rows_of(resumed.path) == rows_of(whole.path)

    assert uphill.load(whole.path).experiment.network == "perceptron"
    for use in (lambda: uphill.load(whole.path).policy, lambda: uphill.evaluate(whole.path, 2)):
        with pytest.raises(UphillError, match=missing):
            use()
    loaded = uphill.load(whole.path, network=perceptron)
    observation = np.array([0.1, -0.2, 0.03, 0.4], np.float32)
    assert loaded.policy.act(observation) == whole.policy.act(observation)
    actor = loaded.policy.actor
    own = perceptron(4, jax.random.key(0))
    assert jax.tree.structure(actor.policy.trunk.arrays) == jax.tree.structure(
        eqx.filter(own, eqx.is_array)
    )
    assert uphill.evaluate(whole.path, 2, network=perceptron)["episodes"] == 2

    plain = train_small(tmp_path / "plain", steps=30)
    with pytest.raises(UphillError, match=r"^The run has no custom networks: leave netw"):
        uphill.load(plain.path, network=perceptron).policy  # noqa: B018 refused when read
    still = small_ppo(optimizer=Adam(learning_rate=0.0))
    begun = train_small(
        tmp_path / "begun", still, init_from=whole.path, steps=30, network=perceptron
    )
    before, after = tensors_of(whole.path), tensors_of(begun.path)
    for key in after:
        if key.startswith("learners.actor.policy"):
            np.testing.assert_array_equal(after[key], before[key])
    with pytest.raises(UphillError, match=r"init_from is .* differ"):
        train_small(tmp_path / "never", still, init_from=plain.path, network=perceptron)
    with pytest.raises(UphillError, match=missing):
        train_small(tmp_path / "never", still, init_from=whole.path)
    assert not (tmp_path / "never").exists()


class Seven(gymnasium.Env):
    """Episodes of seven steps that pay one each."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.elapsed = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.elapsed += 1
        return np.zeros(2, np.float32), 1.0, self.elapsed == 7, False, {}


def test_callable_environment_must_be_given_again(
    tmp_path: Path,
    interrupt_after: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt_after(2)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run", small_ppo(normalize_rewards=True), env=Seven, steps=100)
    monkeypatch.setattr(session, "iterate", iterate)
    with pytest.raises(UphillError, match=r"callable 'Seven': give it again"):
        uphill.resume(tmp_path / "run")
    opened = uphill.load(tmp_path / "run", env=Seven)  # as the sentence says
    trainer, state = uphill.restore(opened)
    assert (trainer.choice.name, state.steps > 0) == ("Seven", True)
    trainer.close()
    run = uphill.resume(opened, episodes=2)
    said = "in new episodes. Unfinished episodes are not counted."
    assert said in " ".join(capsys.readouterr().err.split())
    rows = rows_of(run.path)
    for row in rows:  # each of its episodes has seven steps, none of them half of an earlier one
        assert row["rollout/episode_length"] in ("", "7")
    assert run.evaluation is not None
    assert run.evaluation["deterministic"]["per_seed"] == [7.0]
    with pytest.raises(UphillError, match="give it again"):
        uphill.load(run.path).evaluate(2)
    assert uphill.evaluate(uphill.load(run.path, env=Seven), 2)["stochastic"]["mean"] == 7.0
    with pytest.raises(UphillError, match=r"whose observations are .* and the policy was trained"):
        uphill.load(run.path, env=lambda: gymnasium.make("CartPole-v1")).evaluate(2)


class Walk(eqx.Module):
    """A compiled world of one's own: stay near 0. Every episode has six steps."""

    observation_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
    action_space: ClassVar[gymnasium.Space] = gymnasium.spaces.Discrete(2)
    max_episode_steps: int = 6
    reward_threshold: float | None = None
    fps: int = 10

    def initial(self, key):
        return jax.random.uniform(key)

    def transition(self, state, action, key):
        return state + jnp.where(action == 1, 0.5, -0.5)

    def observation(self, state):
        return state[None]

    def reward(self, state, action, next_state):
        return jnp.float32(2.0)

    def terminated(self, state):
        return state > 100.0

    def picture(self, state):
        return np.full((40, 440, 3), 20, np.uint8)


def test_world_of_ones_own_trains_and_must_be_given_again(
    tmp_path: Path, interrupt_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(2)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run", env=Walk(), steps=100)
    monkeypatch.setattr(session, "iterate", iterate)
    again = r"was the compiled world 'Walk': give it again, uphill\.load\(run, env=Walk\(\)\)\."
    with pytest.raises(UphillError, match=again):
        uphill.resume(tmp_path / "run")
    resumed = uphill.resume(tmp_path / "run", env=Walk(), quiet=True, episodes=2)
    assert (resumed.experiment.env, resumed.experiment.backend) == ("Walk", "compiled")
    assert resumed.evaluation is not None
    assert resumed.evaluation["deterministic"]["per_seed"] == [12.0]
    run, forgotten = uphill.load(resumed), uphill.load(resumed.path)
    assert run.evaluate(3)["stochastic"]["mean"] == 12.0
    assert all(film.stat().st_size > 1000 for film in run.record(width=160))
    assert forgotten.policy.act([0.5]) in (0, 1)
    for call in (forgotten.evaluate, forgotten.record):
        with pytest.raises(UphillError, match=again):
            call()
    for wrong in (Seven, partial(Seven)):
        with pytest.raises(
            UphillError, match=r"env is Seven: .* the compiled world 'Walk', so giv"
        ):
            uphill.load(resumed, env=wrong).evaluate(2)
    whole = train_small(tmp_path / "whole", env=Walk(), steps=100)
    for name, tensor in tensors_of(whole.path).items():
        np.testing.assert_array_equal(tensors_of(run.path)[name], tensor)


def test_module_of_an_environment_is_not_imported_on_a_files_say_so(
    tmp_path: Path,
    state_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupt_after: Callable[[int], None],
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
    shutil.rmtree(state_home / "uphill")  # as if somebody else had trained
    for refused in (uphill.resume, uphill.evaluate):
        with pytest.raises(UphillError, match="'house_of_envs': add allow_import=True"):
            refused(tmp_path / "run")
    uphill.resume(tmp_path / "run", allow_import=True, quiet=True, episodes=2)
    result = uphill.evaluate(tmp_path / "run", episodes=2, allow_import=True)
    assert 8 <= result["deterministic"]["mean"] <= 20
