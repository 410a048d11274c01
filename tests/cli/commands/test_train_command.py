"""`uphill train`, `evaluate` and `resume`: what they print, and how they are interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_line import TRAIN, parsed, run_cli
from small_runs import rows_of
from uphill.cli import main
from uphill.runs.experiment import read_experiment
from uphill.sessions import launch, presets


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
        *("steps_per_second", "solved", "diverged", "not_finite", "evaluation"),
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
    assert settings == (
        "the preset of CartPole-v1 for ppo, changed by --sampling.num-envs 4 "
        "--sampling.num-steps 8 --baseline.network.hidden 8 --policy.hidden 8 --num-epochs 2 "
        "--num-minibatches 2 --normalize-observations"
    )

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
        assert preset.steps == presets.preset("CartPole-v1").steps  # not the general one


def test_help_of_an_algorithm_shows_every_setting_with_its_docstring(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0
    assert "--stop-when-solved" in capfd.readouterr().out
    assert main(["train", "CartPole-v1", "--algo", "reinforce", "--help"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    for part in (
        *("usage: uphill train CartPole-v1", "--sampling.per-env", "--estimator.gamma"),
        *("Discount factor.", "One of no-baseline, batch-mean, running-mean, time-mean,"),
        *("--optimizer {adam,rmsprop,sgd,optax,", "--optimizer.learning-rate SCHEDULE"),
        *(
            "--policy.convolution {auto-convolution,convolution,none}",
            "--uniform-mixture SCHEDULE|None",
        ),
    ):
        assert part in shown
    assert "--surrogate.epsilon" not in shown  # its surrogate has none
    assert "--name" not in shown


def test_the_preset_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def recording(*arguments: str | None) -> presets.Preset:
        asked.append(arguments)
        return preset(*arguments)

    preset = presets.preset
    monkeypatch.setattr(presets, "preset", recording)
    monkeypatch.setattr(launch, "preset", recording)
    (tmp_path / "somebody's").touch()
    # Refused when all of the algorithm is settled, and before anything is made.
    assert run_cli("train", "CartPole-v1", "--algo", "vpg", "--out", tmp_path) == 1
    assert asked == [("CartPole-v1", "vpg")]


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
    shown = process.communicate()
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


OWN_SWITCH = '''\
from uphill.parts import ClippedRatio, Surrogate
import equinox as eqx


class Mine(Surrogate):
    """What a user wrote."""

    is_ratio = True
    inner: Surrogate = ClippedRatio()
    is_cut: bool = eqx.field(static=True, default=False)
    """Cut it."""

    def __call__(self, sample):
        return self.inner(sample)
'''


def test_a_switch_of_ones_own_part_swallows_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_switch.py").write_text(OWN_SWITCH)
    monkeypatch.chdir(tmp_path)
    name = "own_switch:Mine"
    for argv in (
        ["--surrogate", name, "--surrogate.is-cut", "CartPole-v1", "--seed", "3"],
        [f"--surrogate={name}", "--quiet", "--surrogate.is-cut", "CartPole-v1", "--seed", "3"],
    ):
        options, algorithm, preset = parsed(*argv)
        assert (options.env, options.seed) == ("CartPole-v1", 3)
        assert preset.steps == presets.preset("CartPole-v1").steps
        assert algorithm.surrogate.is_cut
    options, algorithm, _ = parsed("--surrogate", name, "--surrogate.no-is-cut", "Acrobot-v1")
    assert (options.env, algorithm.surrogate.is_cut) == ("Acrobot-v1", False)
    inner = ["--surrogate.inner.epsilon", "0.1"]
    _, algorithm, _ = parsed("CartPole-v1", "--surrogate", name, *inner)
    assert algorithm.surrogate.inner.epsilon.value == 0.1
    assert main(["train", "CartPole-v1", "--surrogate", name, "--help"]) == 0
    shown = capfd.readouterr().out
    for part in ("What a user wrote.", "--surrogate.is-cut", "Cut it.", "--surrogate.inner.eps"):
        assert part in shown


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--surrogate", "no_such_module:Mine"], 1, "There is no module 'no_such_module' to imp"),
        (["--surrogate", "own_switch:Other"], 1, "but the module 'own_switch' has no Other."),
        (["--baseline", "own_switch:Mine"], 1, "--baseline is own_switch:Mine, which is no Base"),
        (["--surrogate", "os:getcwd"], 1, "--surrogate is os:getcwd, which is no Surrogate of"),
        (["--surrogate", "os.getcwd"], 2, ", or module:Name for a custom one."),
        (["--optimizer.learning-rate", "own_switch:Mine"], 1, "which is no Schedule of uphill."),
        (
            ["--policy.convolution", "own_switch:Mine"],
            2,
            "auto-convolution, convolution, none.",
        ),
    ],
)
def test_what_is_no_part_is_refused(
    words: list[str],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "own_switch.py").write_text(OWN_SWITCH)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "CartPole-v1", *words]) == status
    assert said in capfd.readouterr().err
