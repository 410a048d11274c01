"""The command line: what users type, what it prints, and the status it ends with."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from small_runs import rows_of, write_run
from uphill.cli import _show_pictures, main
from uphill.learning.parts import (
    SGD,
    ActionValue,
    Adam,
    ClippedRatio,
    KLPenalty,
    Optax,
    Replay,
    ScoreFunction,
    TDResidual,
    TrustRegion,
    ValueFunction,
)
from uphill.policies.networks import Convolution
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.runs.configuration import encode, flags
from uphill.runs.experiment import read_experiment
from uphill.runs.presets import PRESETS, preset, settings_of

SMALL = [
    *("--policy.hidden", "8", "--baseline.network.hidden", "8", "--envs", "4"),
    *("--sampling.num-steps", "8", "--num-epochs", "2", "--num-minibatches", "2"),
    *("--normalize-observations", "--steps", "100", "--episodes", "4"),
]
TRAIN = ["train", "CartPole-v1", *SMALL]


def run_cli(*argv: Any) -> int:
    return main([str(word) for word in argv])


# --- results ------------------------------------------------------------------------------------


def test_train_and_evaluate_print_exactly_one_json_object(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run_cli(*TRAIN, "--seeds", 2, "--out", out, "--json") == 0
    printed = capfd.readouterr()
    assert printed.out.count("\n") == 1
    result = json.loads(printed.out)
    assert list(result) == [
        *("run", "env", "backend", "algo", "seeds", "steps", "seconds", "compile_seconds"),
        *("steps_per_second", "solved", "evaluation"),
    ]
    assert (result["run"], result["env"], result["backend"], result["algo"], result["seeds"]) == (
        *(str(out), "CartPole-v1", "compiled", "ppo"),
        2,
    )
    assert all(steps >= 100 for steps in result["steps"])
    assert len(result["steps"]) == 2
    assert result["solved"] == [None, None]  # of four episodes nobody can say
    assert 0 < result["compile_seconds"] < result["seconds"]
    assert "backend compiled, since it is one of Uphill's compiled worlds" in printed.err
    settings = read_experiment(out).settings
    assert f"Settings: {settings}." in printed.err
    assert settings.startswith("not the preset of CartPole-v1: ppo's defaults with ")
    assert "--sampling.num-envs 4 --sampling.num-steps 8" in settings

    assert run_cli("evaluate", out, "--episodes", 4, "--json") == 0
    evaluation = json.loads(capfd.readouterr().out)
    assert evaluation == result["evaluation"]
    assert set(evaluation) == {"episodes", "interval_over", "deterministic", "stochastic"}
    assert (evaluation["episodes"], evaluation["interval_over"]) == (4, "seeds")
    for kind in ("deterministic", "stochastic"):
        assert list(evaluation[kind]) == ["mean", "std", "iqm", "ci95", "per_seed"]
        low, high = evaluation[kind]["ci95"]
        assert low <= evaluation[kind]["iqm"] <= high


def test_without_json_people_read_the_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = [*TRAIN[:-1], 100, "--out", tmp_path / "run", "--quiet"]
    assert run_cli(*argv) == 0
    printed = capfd.readouterr()
    assert not printed.err
    for part in (
        "deterministic mean return",
        "over 100 episodes",
        "solved        0 of 1",
        "curve.png",
    ):
        assert part in printed.out
    assert run_cli("resume", tmp_path / "run") == 1
    assert "is finished" in capfd.readouterr().err
    assert run_cli("resume", tmp_path / "run", "--steps", 150, "--quiet", "--json") == 0
    assert json.loads(capfd.readouterr().out)["steps"][0] >= 150


def test_plot_prints_where_the_pictures_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("ppo"), [[1.0, 2.0], [2.0, 3.0]], scores=[2.0, 3.0])
    write_run(Path("a2c"), [[1.0, 2.0], [2.0, 3.0]], scores=[1.0, 2.0], algo="a2c")
    write_run(Path("vpg"), [[1.0, 2.0]], algo="vpg")
    assert run_cli("plot", "ppo", "a2c", "vpg", "--out", "out", "--json") == 0
    result = json.loads(capfd.readouterr().out)
    names = [f"out/{name}.{k}" for name in ("curve", "profile", "improvement") for k in PICTURES]
    assert result["pictures"] == names
    assert all(Path(path).stat().st_size > 1000 for path in names)
    (row,) = result["improvements"]
    assert (row["x"], row["y"], row["probability"]) == ("ppo", "a2c", 0.875)
    (sentence,) = result["left_out"]
    assert sentence.startswith("vpg is in the curves alone")

    assert run_cli("plot", "ppo", "--against", "seconds") == 0
    assert capfd.readouterr().out.split() == ["ppo/curve-seconds.png", "ppo/curve-seconds.svg"]
    assert run_cli("plot", "ppo", "a2c", "--column", "rollout/num_episodes", "--out", "x.svg") == 0
    assert capfd.readouterr().out == "x.svg\n"
    _show_pictures(result)
    first, *rest = capfd.readouterr().out.splitlines()
    assert first == "P(ppo > a2c) = 0.88, 95 % interval 0.50 to 1.00"
    assert rest == [sentence, *names]


PICTURES = ("png", "svg")

NOISY = """
import ctypes
import gymnasium
import numpy as np

class Noisy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, word="", size=0):
        print("made", word, size)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        print("Python prints")
        ctypes.CDLL(None).puts(b"C prints")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}

gymnasium.register("Noisy-v0", Noisy, max_episode_steps=5)
"""


def test_whatever_an_environment_prints_stdout_is_json_alone(tmp_path: Path) -> None:
    (tmp_path / "noisy_module.py").write_text(NOISY)
    command = [sys.executable, "-m", "uphill.cli", "train", "noisy_module:Noisy-v0", *SMALL]
    command += ["--env.word", "hello", "--env.size=3", "--steps", "20", "--out", "run", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"] == "gymnasium"
    for noise in ("made hello 3", "Python prints", "C prints"):
        assert noise in done.stderr
    assert read_experiment(tmp_path / "run").env_kwargs == {"word": "hello", "size": 3}


# --- flags --------------------------------------------------------------------------------------


def test_flags_reach_the_parts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flags = [
        *("--optimizer.learning-rate", "linear:3e-4:0", "--surrogate.epsilon", "0.1"),
        *("--estimator.lam", "0.9", "--entropy", "0.01", "--baseline.optimizer", "adam"),
        *("--baseline.optimizer.learning-rate", "1e-3", "--sampling.num-steps", "8"),
    ]
    assert run_cli(*TRAIN, *flags, "--out", tmp_path / "run", "--json") == 0
    capfd.readouterr()
    algorithm = read_experiment(tmp_path / "run").algorithm
    assert str(algorithm.optimizer.learning_rate) == "linear:0.0003:0.0"
    assert isinstance(algorithm.surrogate, ClippedRatio)
    assert algorithm.surrogate.epsilon.value == 0.1
    assert algorithm.estimator.lam == 0.9  # pyright: ignore
    assert isinstance(algorithm.baseline, ValueFunction)
    assert isinstance(algorithm.baseline.optimizer, Adam)
    assert algorithm.baseline.optimizer.learning_rate.value == 1e-3
    assert algorithm.policy.hidden == (8,)
    assert algorithm.normalize_observations


def parsed(*argv: str) -> Any:
    """The options and the algorithm of a `train` command, without training."""
    from uphill.cli import _environment_in, _parse_train

    env = _environment_in(list(argv))
    assert env is not None
    return _parse_train(list(argv), env)


def test_part_types_are_flags_and_the_whole_is_checked_last() -> None:
    flags = ["--surrogate", "score-function", "--num-epochs", "1", "--num-minibatches", "1"]
    _, algorithm, _ = parsed("CartPole-v1", *flags)
    assert isinstance(algorithm.surrogate, ScoreFunction)
    assert algorithm.name == "ppo"
    # A deeper flag may stand before the part that has it.
    flags = ["--baseline.optimizer", "sgd", "--baseline=value-function"]
    _, algorithm, _ = parsed("CartPole-v1", "--algo", "reinforce", *flags)
    assert type(algorithm.baseline.optimizer).__name__ == "SGD"
    flags = ["--baseline.optimizer", "none", "--baseline.num-steps", "1"]
    _, algorithm, _ = parsed("CartPole-v1", "--algo", "vpg", *flags)
    assert algorithm.baseline.optimizer is None
    # The type that it has already keeps the preset's settings.
    _, algorithm, preset = parsed("CartPole-v1", "--optimizer", "adam")
    assert algorithm.optimizer == preset.algorithm.optimizer
    # A number that fits together with --envs only.
    _, algorithm, _ = parsed("CartPole-v1", "--envs", "3", "--num-minibatches", "3")
    assert (algorithm.sampling.num_envs, algorithm.num_minibatches) == (3, 3)


@pytest.mark.parametrize("env", PRESETS)
def test_settings_that_are_shown_are_flags_that_make_them(env: str) -> None:
    for algo, chosen in PRESETS[env].items():
        shown = settings_of(env, algo, chosen.algorithm)
        assert shown.startswith(f"the preset of {env}: {algo}'s defaults")
        words = shown.partition(" with ")[2].split()
        _, algorithm, _ = parsed("BipedalWalker-v3", "--algo", algo, *words)
        assert encode(algorithm) == encode(chosen.algorithm)


NEW_PARTS = {
    "td residual": (
        "ppo",
        "--estimator td-residual --estimator.gamma 0.9",
        {"estimator": TDResidual(gamma=0.9)},
    ),
    "kl penalty": (
        "ppo",
        "--surrogate kl-penalty --surrogate.target linear:0.01:0.02 --target-kl 0.05",
        {"surrogate": KLPenalty(target="linear:0.01:0.02"), "target_kl": 0.05},
    ),
    "replay": (
        "vpg",
        "--baseline.replay replay --baseline.targets td --baseline.replay.capacity 50",
        {
            "baseline": ValueFunction(
                optimizer=Adam(learning_rate=1e-2), num_steps=5, targets="td", replay=Replay(50)
            )
        },
    ),
    "convolution": (
        "ppo",
        "--policy.convolution convolution --policy.hidden 16",
        {"policy": PolicySettings(hidden=(16,), convolution=Convolution())},
    ),
    "convolution of v": (
        "ppo",
        "--baseline.network.convolution convolution",
        {"baseline": ValueFunction(network=NetworkSettings(convolution=Convolution()))},
    ),
    "uniform mixture": (
        "reinforce",
        "--uniform-mixture linear:0.2:0 --normalize-returns",
        {"uniform_mixture": "linear:0.2:0", "normalize_returns": True},
    ),
    "optax": (
        "reinforce",
        "--optimizer optax --optimizer.name lion --optimizer.settings b1 0.8 b2 0.9",
        {"optimizer": Optax("lion", settings={"b1": 0.8, "b2": 0.9})},
    ),
    "optax of q": (
        "reinforce",
        "--estimator action-value --estimator.optimizer optax --estimator.optimizer.name yogi",
        {"estimator": ActionValue(optimizer=Optax("yogi"))},
    ),
    "trust region": (
        "trpo",
        "--optimizer.max-kl cosine:0.02:0.01 --baseline.optimizer sgd",
        {
            "optimizer": TrustRegion(max_kl="cosine:0.02:0.01"),
            "baseline": ValueFunction(optimizer=SGD(), num_steps=20),
        },
    ),
}


@pytest.mark.parametrize("name", NEW_PARTS)
def test_parts_of_parts_are_flags_and_flags_say_what_they_are(name: str) -> None:
    algo, words, changes = NEW_PARTS[name]
    env = "BipedalWalker-v3"  # has no preset of its own
    start = preset(env, algo).algorithm
    expected = replace(start, **changes)
    _, algorithm, _ = parsed(env, "--algo", algo, *words.split())
    assert encode(algorithm) == encode(expected)
    shown = " ".join(flags(start, expected)).split()
    _, again, _ = parsed(env, "--algo", algo, *shown)
    assert encode(again) == encode(expected)


def test_parts_that_may_be_absent_can_be_taken_away() -> None:
    words = ["--baseline.replay", "replay", "--baseline.replay", "none"]
    _, algorithm, _ = parsed("BipedalWalker-v3", "--algo", "vpg", *words)
    assert encode(algorithm) == encode(preset("BipedalWalker-v3", "vpg").algorithm)
    words = ["--uniform-mixture", "0.1", "--uniform-mixture", "None"]
    _, algorithm, _ = parsed("Acrobot-v1", "--algo", "ppo", *words)
    assert algorithm.uniform_mixture is None


def test_environment_is_found_wherever_it_stands() -> None:
    for argv in (
        ["--seed", "3", "CartPole-v1"],
        ["--quiet", "CartPole-v1", "--seed", "3"],
        ["--seed=3", "--no-json", "CartPole-v1"],
        ["--normalize-observations", "CartPole-v1", "--seed", "3"],
        ["--normalize-rewards", "CartPole-v1", "--seed", "3"],
        ["--baseline.shares-trunk", "CartPole-v1", "--seed", "3"],
    ):
        options, _, preset = parsed(*argv)
        assert (options.env, options.seed) == ("CartPole-v1", 3)
        assert preset.steps == 100_000  # that of CartPole, not the general one


@pytest.mark.parametrize(
    ("argv", "status", "sentence"),
    [
        ([], 0, "uphill train ENV"),
        (["help"], 0, "uphill train ENV"),
        (["--version"], 0, "uphill 0."),
        (["fly"], 2, "There is no command 'fly': use one of train"),
        (["train"], 2, "ENV"),
        (["train", "--seed", "3"], 2, "ENV"),
        (["train", "CartPole-v1", "--nonsense", "3"], 2, "--nonsense"),
        (["train", "--policy.hidden", "32", "32", "CartPole-v1"], 2, "Write ENV first"),
        (["train", "CartPole-v1", "--name", "mine"], 2, "--name"),
        (["train", "CartPole-v1", "--seed", "x"], 2, "--seed"),
        (["train", "CartPole-v1", "--steps"], 2, "--steps"),
        (["train", "CartPole-v1", "--backend", "gpu"], 2, "--backend"),
        (["train", "CartPole-v1", "--optimizer.learning-rate", "linear:1"], 2, "no schedule"),
        (["train", "CartPole-v1", "--uniform-mixture", "sometimes"], 2, "no schedule"),
        (["train", "CartPole-v1", "--uniform-mixture", "2"], 1, "uniform_mixture is 2.0: use 0 to"),
        (["train", "CartPole-v1", "--baseline.replay", "lake"], 2, "choose one of replay, none"),
        (["train", "CartPole-v1", "--estimator", "total-return"], 1, "it must see whole episodes"),
        (["train", "CartPole-v1", "--surrogate", "dqn"], 2, "choose one of score-function"),
        (["train", "CartPole-v1", "--surrogate"], 2, "choose one of score-function"),
        (["train", "CartPole-v1", "--algo", "dqn"], 2, "use one of reinforce, vpg, a2c, ppo, npg"),
        (["train", "CartPole-v1", "--env.gravity"], 2, "--env.gravity has no value"),
        (["train", "CartPole-v1", "--steps", "0"], 1, "steps is 0: use at least 1"),
        (["train", "CartPole-v1", "--envs", "0"], 1, "envs is 0: use at least 1"),
        (["train", "CartPole-v1", "--seeds", "0"], 1, "seeds is 0: use at least 1"),
        (["train", "CartPole-v1", "--episodes", "0"], 1, "episodes is 0: use at least 1"),
        (["train", "CartPole-v1", "--num-minibatches", "7"], 1, "use 8, or change one of these"),
        (["train", "CartPole-v1", "--surrogate", "score-function"], 1, "num_epochs is 20"),
        (["train", "CartPole-v2"], 1, "did you mean CartPole-v1"),
        (["train", "CartPole-v1", "--backend", "compiled", "--env.g", "1"], 1, "it takes none"),
        (["train", "CarRace-v0", "--env.track", "ovall"], 1, "There is no track 'ovall'"),
        (["train", "CartPole-v1", "--init-from", "nowhere"], 1, "nowhere is no run directory"),
        (["evaluate"], 2, "RUN"),
        (["evaluate", "nowhere"], 1, "nowhere is no run directory"),
        (["evaluate", "nowhere", "--episodes", "x"], 2, "--episodes"),
        (["resume", "nowhere"], 1, "nowhere is no run directory"),
        (["report"], 2, "RUN is missing"),
        (["report", "nowhere"], 1, "nowhere is no run directory"),
        (["watch", "nowhere"], 1, "nowhere is no folder"),
        (["watch", ".", "--port", "x"], 2, "--port"),
        (["watch", ".", "--port", "70000"], 1, "port is 70000: use a number from 0"),
        (["plot"], 2, "RUN is missing"),
        (["plot", "nowhere"], 1, "nowhere is no run directory"),
        (["plot", "nowhere", "--against", "time"], 2, "--against"),
        (["envs", "no such name"], 1, "No environment's name contains"),
        (["envs", "CartPole-v"], 0, "CartPole-v1"),
        (["algos"], 0, "ClippedRatio"),
        (["evaluate", "--help"], 0, "--allow-import"),
        (["resume", "--help"], 0, "extends a run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_status_and_sentence(
    argv: list[str],
    status: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == status
    printed = capfd.readouterr()
    shown = " ".join(((printed.out if status == 0 else printed.err) or "").split())
    assert sentence in shown
    assert "Traceback" not in printed.err
    assert not (tmp_path / "runs").exists()


def test_help_of_an_algorithm_shows_every_setting_with_its_docstring(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0
    assert "--stop-when-solved" in capfd.readouterr().out
    assert main(["train", "CartPole-v1", "--algo", "reinforce", "--help"]) == 0
    shown = capfd.readouterr().out
    for part in (
        *("usage: uphill train CartPole-v1", "--sampling.per-env", "--estimator.gamma"),
        *("Discount factor.", "--baseline {no-baseline,batch-mean,running-mean,time-mean,"),
        *("--optimizer {adam,rmsprop,sgd,optax,", "FLOAT|linear:A:B|cosine:A:B"),
        *("--policy.convolution {convolution,none}", "--uniform-mixture None|FLOAT"),
    ):
        assert part in shown
    assert "--surrogate.epsilon" not in shown  # its surrogate has none
    assert "--name" not in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from uphill.cli import main; status = main(['--help']); "
        "heavy = ('jax', 'envpool', 'matplotlib', 'gymnasium', 'scipy', 'equinox', 'optax');"
        "print([m for m in heavy if m in sys.modules], status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


# --- interruption -------------------------------------------------------------------------------


def started(out: Path, *flags: str) -> subprocess.Popen[str]:
    argv = [*TRAIN, "--seeds", "2", "--steps", "100000000", "--out", str(out), *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "uphill.cli", *argv],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_ctrl_c_where_nothing_was_to_be_saved_is_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(pattern: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("uphill.envs.make.known_environments", interrupted)
    assert run_cli("envs") == 130
    assert capfd.readouterr().err == "\nInterrupted.\n"


@pytest.mark.parametrize("when", ["compiling", "training"])
def test_ctrl_c_saves_and_says_how_to_go_on(
    when: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a run"
    process = started(out)
    # The first checkpoint is written just before the program is compiled, the first row of the
    # metrics after it has run.
    waited = "checkpoint/latest.json" if when == "compiling" else "metrics.csv"
    wait_for(out / waited, process)
    process.send_signal(signal.SIGINT if when == "training" else signal.SIGTERM)
    shown = process.communicate(timeout=120)
    assert process.returncode == 130, shown
    assert f"Saved. Go on with: uphill resume '{out}'" in shown[1]
    assert "Traceback" not in shown[1]
    assert not shown[0]
    # Continue to nearby steps, in this process: the experiment asked for too many.
    path = out / "experiment.json"
    path.write_text(path.read_text().replace("100000000", "300000000"))
    facts = json.loads((out / "checkpoint" / "latest.json").read_text())["facts"]
    assert (facts["num_updates"] > 0) == (when == "training")
    path.write_text(path.read_text().replace("300000000", str(max(facts["num_transitions"]) + 50)))
    assert run_cli("resume", out, "--json", "--quiet") == 0
    result = json.loads(capfd.readouterr().out)
    assert min(result["steps"]) >= max(facts["num_transitions"]) + 50
    assert (out / "curve.png").exists()
    updates = [int(row["update"]) for row in rows_of(out) if row["seed"] == "0"]
    assert updates == sorted(set(updates))


def test_full_disk_while_training_is_one_sentence_and_the_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import errno

    real, calls = os.fsync, iter(range(10**6))

    def fills_up(descriptor: int) -> None:
        # Experiment, four files of the first checkpoint, then the first rows of the metrics.
        if next(calls) >= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fills_up)
    assert run_cli(*TRAIN, "--out", tmp_path / "run", "--quiet") == 1
    monkeypatch.undo()
    shown = capfd.readouterr().err
    assert "metrics.csv could not be written (No space left on device): free some space" in shown
    assert shown.count("\n") == 1
    assert run_cli("resume", tmp_path / "run", "--quiet", "--json") == 0
    assert json.loads(capfd.readouterr().out)["steps"][0] >= 100


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m uphill.cli envs | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.count("\n") == 1
    assert "BrokenPipe" not in done.stderr
