"""Which command was typed, and the status it ends with."""

import gc
import subprocess
import sys
import time
from pathlib import Path

import pytest

from uphill.cli import main


@pytest.mark.parametrize(
    ("argv", "status", "sentence"),
    [
        ([], 0, "uphill train ENV"),
        (["help"], 0, "uphill train ENV"),
        (["--version"], 0, "uphill 0."),
        (["fly"], 2, "There is no command 'fly': use one of train"),
        (["trian", "CartPole-v1"], 2, "There is no command 'trian': did you mean train?"),
        (["train"], 2, "ENV"),
        (["train", "--seed", "3"], 2, "ENV"),
        (["train", "CartPole-v1", "--nonsense", "3"], 2, "There is no flag --nonsense: `uphill"),
        (["train", "CartPole-v1", "ppo"], 2, "There is no place for 'ppo'"),
        (["evaluate", "nowhere", "--episode", "3"], 2, "did you mean --episodes?"),
        (["train", "--env-id", "CartPole-v1"], 2, "ENV stands by itself"),
        (["train", "CartPole-v1", "--policy.distribution", "beta"], 1, "those of CartPole-v1 are"),
        (["train", "CartPole-v1", "--policy.log-std", "head"], 1, "--policy.log-std is 'head', a"),
        (["train", "CartPole-v1", "--policy.initial-log-std", "1"], 1, "initial-log-std is 1.0, a"),
        (["sweep", "--env-id", "CartPole-v1"], 2, "as in `uphill sweep ENV`"),
        (["train", "--policy.hidden", "32", "32", "CartPole-v1"], 2, "Write ENV first"),
        (["tune", "--seeds", "3", "3", "CartPole-v1"], 2, "`uphill tune ENV --flag VALUE`"),
        (["train", "Pendulum-v1", "--env.g", "--seeds", "4"], 2, "--env.g has no value: write"),
        (
            ["train", "CartPole-v1", "--envs", "8", "--sampling.num_envs", "4"],
            2,
            "are one setting: give one",
        ),
        (["train", "--normalize_rewards", "Nowhere-v1"], 1, "There is no environment 'Nowhere-v1'"),
        (["train", "CartPole-v1", "--name", "mine"], 2, "--name"),
        (["train", "CartPole-v1", "--seed", "x"], 2, "--seed"),
        (["train", "CartPole-v1", "--steps"], 2, "--steps"),
        (["train", "CartPole-v1", "--backend", "gpu"], 2, "--backend"),
        (
            ["train", "CartPole-v1", "--optimizer.learning-rate", "linear:1"],
            2,
            "rate is 'linear:1': w",
        ),
        (
            ["train", "CartPole-v1", "--uniform-mixture", "sometimes"],
            2,
            "'sometimes': write a number",
        ),
        (["train", "CartPole-v1", "--uniform-mixture", "2"], 1, "uniform-mixture is 2.0: use 0 to"),
        (["train", "CartPole-v1", "--baseline.replay", "lake"], 2, "choose one of replay, none"),
        (["train", "CartPole-v1", "--estimator", "total-return"], 1, "it must see whole episodes"),
        (["train", "CartPole-v1", "--surrogate", "dqn"], 2, "choose one of score-function"),
        (["train", "CartPole-v1", "--surrogate"], 2, "choose one of score-function"),
        (["train", "CartPole-v1", "--algo", "dqn"], 2, "use one of reinforce, vpg, a2c, ppo, npg"),
        (["train", "CartPole-v1", "--env.gravity"], 2, "--env.gravity has no value"),
        (["train", "CartPole-v1", "--steps", "0"], 1, "steps is 0: use at least 1"),
        (["train", "CartPole-v1", "--steps", "-1"], 1, "steps is -1: use at least 1"),
        (["watch", "--json"], 2, "There is no flag --json: `uphill watch --help` shows all"),
        (["watch", "--allow_imports"], 2, "There is no flag --allow-imports: did you mean"),
        (["train", "CartPole-v1", "--out", "-x"], 2, "--out has no value: write --out PATH"),
        (["train", "CartPole-v1", "--out", "-x", "--steps", "9"], 2, "--out has no value: write"),
        (["train", "CartPole-v1", "--envs", "0"], 1, "envs is 0: use at least 1"),
        (
            ["train", "CartPole-v1", "--envs", "4", "--sampling.num-envs", "8"],
            2,
            "--envs 4 and --sampling.num-envs 8 are one setting: give one of them.",
        ),
        (["train", "CartPole-v1", "--seeds", "0"], 1, "seeds is 0: use at least 1"),
        (["train", "CartPole-v1", "--episodes", "0"], 1, "episodes is 0: use at least 1"),
        (["train", "CartPole-v1", "--num-minibatches", "7"], 1, "use 8, or change one of these"),
        (["train", "CartPole-v1", "--surrogate", "score-function"], 1, "num-epochs is "),
        (["train", "CartPole-v2"], 1, "did you mean CartPole-v1"),
        (["train", "CartPole-v1", "--backend", "compiled", "--env.g", "1"], 1, "it takes none"),
        (["train", "CarRace-v0", "--env.track", "ovall"], 1, "There is no track 'ovall'"),
        (["train", "CartPole-v1", "--init-from", "nowhere"], 1, "nowhere is not a run directory"),
        (["evaluate"], 2, "RUN"),
        (["evaluate", "nowhere"], 1, "nowhere is not a run directory"),
        (["evaluate", "nowhere", "--episodes", "x"], 2, "--episodes"),
        (["resume", "nowhere"], 1, "nowhere is not a run directory"),
        (["report"], 2, "RUN is missing"),
        (["report", "nowhere"], 1, "nowhere is not a run directory"),
        (["watch", "nowhere"], 1, "nowhere is not a folder"),
        (["watch", ".", "--port", "x"], 2, "--port"),
        (["watch", ".", "--port", "70000"], 1, "port is 70000: use a number from 0"),
        (["plot"], 2, "RUN is missing"),
        (["plot", "nowhere"], 1, "nowhere is not a run directory"),
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


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from uphill.cli import main; status = main(['--help']); "
        "heavy = ('jax', 'envpool', 'matplotlib', 'gymnasium', 'scipy', 'equinox', 'optax');"
        "print([m for m in heavy if m in sys.modules], status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("where", ["import", "command"])
def test_ctrl_c_is_one_word_also_while_modules_are_imported(where: str, tmp_path: Path) -> None:
    """Within an import an exception may become another, as C extensions make of it."""
    (tmp_path / "waiting.py").write_text(
        "import os, signal\ndef wait():\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True: pass\n"
    )
    (tmp_path / "slow_to_load.py").write_text(
        "from waiting import wait\ntry:\n    wait()\n"
        "except BaseException as error:\n    raise ImportError from error\n"
    )
    waits = {"import": "import slow_to_load", "command": "wait()"}[where]
    (tmp_path / "start.py").write_text(
        "import sys, types\nfrom uphill.cli import entry\nfrom waiting import wait\n"
        f"def command(argv):\n    {waits}\n"
        "entry.import_module = lambda name: types.SimpleNamespace(command=command)\n"
        "sys.argv = ['uphill', 'envs']\nentry.run()\n"
    )
    command = [sys.executable, "start.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nInterrupted.\n")


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m uphill.cli envs | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.count("\n") == 1
    assert "BrokenPipe" not in done.stderr


def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    command = f"{sys.executable} -m uphill.cli envs > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    said = "uphill: The output could not be written, since its disk is full: free some space there."
    assert (done.returncode, done.stderr) == (1, f"{said}\n")


@pytest.mark.parametrize(
    ("name", "value", "library"),
    [
        ("JAX_PLATFORMS", "nonsense", "jax"),
        ("JAX_PLATFORMS", "cuda", "jax"),  # a platform, but no such device is here
        ("JAX_NUM_CPU_DEVICES", "some", "jax"),
        ("MPLBACKEND", "nonsense", "matplotlib"),
    ],
)
def test_what_a_library_refuses_in_the_environment_is_one_sentence(
    name: str, value: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    uses = "jax.devices()" if library == "jax" else "matplotlib.rcParams['backend']"
    code = (
        "import sys, types\nfrom uphill.cli import entry\n"
        f"def command(argv):\n    import {library}\n    {uses}\n"
        "entry.import_module = lambda name: types.SimpleNamespace(command=command)\n"
        "sys.argv = ['uphill', 'envs']\nentry.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = f"uphill: The environment variable {name} is '{value}', which {library} refuses: "
    assert (done.returncode, done.stderr) == (1, f"{said}correct it, or `unset {name}`.\n")


def test_other_errors_keep_their_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(pattern: str) -> None:
        raise ValueError("'cpu' is a fault of ours")

    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr("uphill.envs.make.known_environments", wrong)
    with pytest.raises(ValueError, match="of ours"):
        main(["envs"])


def test_ctrl_c_where_nothing_was_to_be_saved_is_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(pattern: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("uphill.envs.make.known_environments", interrupted)
    assert main(["envs"]) == 130
    assert capfd.readouterr().err == "\nInterrupted.\n"


def test_ctrl_c_while_the_garbage_is_collected_is_heard(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a callback of the collector raises goes nowhere."""

    def interrupted(phase: str, _: dict[str, int]) -> None:
        gc.callbacks.remove(interrupted)
        raise KeyboardInterrupt

    def collecting(pattern: str) -> list[str]:
        gc.callbacks.append(interrupted)
        gc.collect()
        time.sleep(60)
        return []

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # as it was, at the end
    monkeypatch.setattr("uphill.envs.make.known_environments", collecting)
    assert main(["envs"]) == 130
    assert capfd.readouterr().err == "\nInterrupted.\n"


def test_a_script_that_trains_wherever_it_is_imported_ends_with_a_sentence(tmp_path: Path) -> None:
    """Each process of an environment imports it."""
    script = tmp_path / "script.py"
    script.write_text(
        "import gymnasium, uphill\n"
        "class Own(gymnasium.Wrapper):\n"
        "    def __init__(self): super().__init__(gymnasium.make('CartPole-v1'))\n"
        "uphill.train(Own, uphill.ppo(), steps=100, is_async=True)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("Own: ppo") == 1
    assert done.stderr.count("Traceback") <= 2  # of what raised, and of what that was raised from
    assert "needs `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]
