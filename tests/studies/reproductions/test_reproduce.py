"""Reproductions: that each source's algorithm is what its text says, and what the command does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from small_runs import small_vpg
from uphill.cli import main
from uphill.errors import UphillError
from uphill.parts import SGD, Adam, Episodes, NoBaseline, Replay, Steps, ValueFunction
from uphill.run import Run
from uphill.runs.checkpoint import read_manifest
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.presets import preset
from uphill.studies.reproductions import reproduce as module
from uphill.studies.reproductions import sources
from uphill.studies.reproductions.reproduce import first_reached, reproduce, tasks
from uphill.studies.reproductions.sources import SOURCES, SourceStudy, find_source

# --- what the sources say -----------------------------------------------------------------------


def only_study(name: str) -> SourceStudy:
    (study,) = SOURCES[name].studies
    return study


def check_plain_adam(study: SourceStudy, learning_rate: float) -> None:
    """PyTorch's: no clipping, ε = 1e-8."""
    optimizer = study.algorithm.optimizer
    assert isinstance(optimizer, Adam)
    assert optimizer.learning_rate.value == learning_rate
    assert (optimizer.max_grad_norm, optimizer.eps) == (None, 1e-8)
    assert (optimizer.b1, optimizer.b2) == (0.9, 0.999)
    assert isinstance(study.algorithm.baseline, NoBaseline)


def test_the_sources_environments_and_seeds() -> None:
    assert {name: source.envs for name, source in SOURCES.items()} == {
        "car-race": ("CarRace-v0",),
        "cartpole-linear": ("CartPole-v0",),
        "swing-up": ("CartPoleSwingUp-v0",),
        "from-scratch": ("CartPole-v1", "Acrobot-v1", "LunarLander-v3"),
        "vpg": ("CartPole-v1",),
        "step-by-step": ("CartPole-v1",),
    }
    seeds = {name: {study.seeds for study in source.studies} for name, source in SOURCES.items()}
    assert seeds == {name: {32 if name == "cartpole-linear" else 10} for name in SOURCES}


def test_cartpole_linear_is_as_its_source_says() -> None:
    study = only_study("cartpole-linear")
    check_plain_adam(study, 0.1)
    sampling = study.algorithm.sampling
    assert isinstance(sampling, Steps)
    assert (sampling.num_envs, sampling.num_steps, sampling.tail) == (32, 1000, "cut")
    assert study.steps == 100 * 32 * 1000
    assert study.algorithm.estimator.gamma == 0.99
    assert study.algorithm.policy.hidden == ()
    assert study.algorithm.mean_over == "steps"


def test_swing_up_is_as_its_source_says() -> None:
    study = only_study("swing-up")
    check_plain_adam(study, 1e-2)
    sampling = study.algorithm.sampling
    assert isinstance(sampling, Steps)
    assert (sampling.num_envs, sampling.num_steps) == (256, 1000)
    assert 19 * 256 * 1000 < study.steps <= 20 * 256 * 1000
    assert study.algorithm.estimator.gamma == 0.999
    policy = study.algorithm.policy
    assert (policy.hidden, policy.activation) == ((64, 64), "relu")
    assert (policy.initial_log_std, policy.log_std, policy.distribution) == (1, "free", "gaussian")


@pytest.mark.parametrize(("name", "hidden"), [("from-scratch", 16), ("step-by-step", 128)])
def test_one_episode_an_update_is_as_its_sources_say(name: str, hidden: int) -> None:
    for study in SOURCES[name].studies:
        check_plain_adam(study, 1e-2)
        assert study.algorithm.sampling == Episodes(num_envs=1, per_env=1)
        assert study.algorithm.estimator.gamma == 0.99
        assert study.algorithm.scale_advantages == "batch"
        policy = study.algorithm.policy
        assert (policy.hidden, policy.activation) == ((hidden,), "relu")
    assert SOURCES["step-by-step"].studies[0].window == 50


def test_vpg_is_as_its_source_says_and_then_with_rates_that_work() -> None:
    as_said, working = SOURCES["vpg"].studies
    for study in (as_said, working):
        baseline = study.algorithm.baseline
        assert isinstance(baseline, ValueFunction)
        assert isinstance(baseline.optimizer, SGD)
        assert isinstance(study.algorithm.optimizer, SGD)
        assert (baseline.targets, baseline.num_steps) == ("td", 1)
        assert baseline.replay == Replay(capacity=2000, num_samples=256)
        assert baseline.network.hidden == study.algorithm.policy.hidden == (64,)
        assert baseline.network.activation == study.algorithm.policy.activation == "relu"
        assert study.algorithm.sampling == Episodes(num_envs=1, per_env=1)
    policy, value = as_said.algorithm.optimizer, as_said.algorithm.baseline
    assert isinstance(policy, SGD)
    assert isinstance(value, ValueFunction)
    assert isinstance(value.optimizer, SGD)
    assert policy.learning_rate.value == 2e-7
    # Its error is squared without a half: twice our gradient.
    assert value.optimizer.learning_rate.value == 2 * 1e-7


def test_the_car_learns_from_64_episodes_an_update() -> None:
    study = only_study("car-race")
    check_plain_adam(study, 1e-2)
    assert study.algorithm.sampling == Episodes(num_envs=64, per_env=1)
    assert study.algorithm.estimator.gamma == 0.9
    assert study.shares == {"training tracks": {}, "test track": {"track": "test"}}


def test_ours_is_the_preset_with_as_many_seeds() -> None:
    *_, ours = tasks(SOURCES["cartpole-linear"])
    known = preset("CartPole-v0")
    assert (ours.algorithm, ours.steps, ours.seeds) == (known.algorithm, known.steps, 32)
    shortened = list(tasks(SOURCES["vpg"], seeds=3, steps=200_000))
    assert [task.steps for task in shortened] == [110_000, 200_000, 80_000]
    assert {task.seeds for task in shortened} == {3}
    assert len({task.folder for task in shortened}) == 3


# --- when the threshold was reached ---------------------------------------------------------------


def rows(**columns: Any) -> dict[str, np.ndarray]:
    n = len(columns["returns"])
    return {
        "seed": np.zeros(n),
        "update": np.arange(1.0, n + 1),
        "steps": 10.0 * np.arange(1, n + 1),
        "time/seconds": 0.5 * np.arange(1, n + 1),
        "rollout/num_episodes": np.asarray(columns["episodes"], float),
        "rollout/episode_return": np.asarray(columns["returns"], float),
    }


def test_the_moment_when_a_mean_over_a_window_reached_the_threshold() -> None:
    metrics = rows(episodes=[2, 0, 1, 1, 1], returns=[9, np.nan, 1, 5, 5])
    assert first_reached(metrics, 0, 9.0, 1) == (1, 2, 10, 0.5)
    # Whole rows count: the last two episodes of all rows are (9, 9), (9, 9, 1), (1, 5), (5, 5).
    assert first_reached(metrics, 0, 5.0, 2) == (1, 2, 10, 0.5)
    assert first_reached(rows(episodes=[1] * 4, returns=[0, 4, 5, 6]), 0, 5.0, 2) == (4, 4, 40, 2)
    assert first_reached(metrics, 0, 9.5, 1) is None
    assert first_reached(metrics, 0, 1.0, 6) is None  # there are five episodes
    assert first_reached(metrics, 1, 1.0, 1) is None  # another seed


def test_the_moment_agrees_with_a_loop_over_rows() -> None:
    generator = np.random.default_rng(0)
    for window in (1, 3, 10):
        count = generator.integers(0, 4, 40)
        metrics = rows(episodes=count, returns=np.where(count, generator.normal(size=40), np.nan))
        expected = None
        for k in range(40):
            seen, total = 0, 0.0
            for j in range(k, -1, -1):
                seen += count[j]
                total += count[j] * metrics["rollout/episode_return"][j] if count[j] else 0.0
                if seen >= window:
                    break
            if seen >= window and total / seen >= 0.4:
                expected = (k + 1, count[: k + 1].sum(), 10 * (k + 1), 0.5 * (k + 1))
                break
        assert first_reached(metrics, 0, 0.4, window) == expected


# --- the command --------------------------------------------------------------------------------


def test_without_a_name_the_sources_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SOURCES)
    for line, source in zip(lines, SOURCES.values(), strict=True):
        assert all(env in line for env in source.envs)
    assert main(["reproduce", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert [(each["name"], each["about"]) for each in listed] == [
        (source.name, source.about) for source in SOURCES.values()
    ]


def test_what_does_not_exist_is_refused_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "dqn"]) == 2
    assert "no reproduction 'dqn': use one of car-race, " in capfd.readouterr().err
    with pytest.raises(UphillError, match="vpg has no environment 'Pong-v5': use CartPole-v1"):
        reproduce("vpg", env="Pong-v5", out=tmp_path / "none")
    with pytest.raises(UphillError, match="seeds is 0: use at least 1"):
        reproduce("vpg", seeds=0, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def small() -> Any:
    """A source whose method, and whose preset, compile and learn quickly."""
    algorithm = small_vpg(baseline=NoBaseline())
    study = replace(
        only_study("step-by-step"), algorithm=algorithm, shares={"level ground": {}}, window=4
    )
    source = replace(SOURCES["step-by-step"], studies=(study,))
    ours = replace(preset("CartPole-v1"), algo="vpg", algorithm=algorithm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sources.SOURCES, "step-by-step", source)
        patch.setattr(module, "preset", lambda env: ours)
        yield source


@pytest.fixture(scope="module")
def reproduced(small: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("reproduced")
    return reproduce("step-by-step", seeds=2, steps=60, out=out, quiet=True)


def test_a_reproduction_reports_both_methods(reproduced: dict[str, Any]) -> None:
    folder = Path(reproduced["out"])
    assert json.loads((folder / "reproduction.json").read_text()) == reproduced
    source, ours = reproduced["results"]
    assert (source["method"], ours["method"]) == ("the source's", "ours, vpg")
    assert source["claim"]
    assert ours["claim"] is None
    for row in (source, ours):
        assert (row["seeds"], row["threshold"], len(row["steps"])) == (2, 475.0, 2)
        assert min(row["steps"]) >= 60
        assert row["ci95"][0] <= row["iqm"] <= row["ci95"][1]
        evaluation = Run(row["run"]).evaluation
        assert evaluation is not None
        assert row["per_seed"] == evaluation["deterministic"]["per_seed"]
        assert (row["solved"], row["reached"]["seeds"]) == (0, 0)
        assert row["shares"] == {"level ground": [0, 0]}
    assert reproduced["mended"] == list(find_source("step-by-step").mended)


def test_a_run_that_is_complete_is_used_again_and_printed(
    small: Any, reproduced: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    out = reproduced["out"]
    command = ["reproduce", "step-by-step", "--seeds", "2", "--steps", "60", "--out", out]
    before = [(Path(out) / "ours-CartPole-v1" / name).stat().st_mtime_ns for name in FILES]
    assert main([*command, "--quiet", "--json"]) == 0
    printed = capfd.readouterr()
    assert printed.out.count("\n") == 1
    assert json.loads(printed.out)["results"] == reproduced["results"]
    assert small.mended[1].split()[0] in printed.err
    after = [(Path(out) / "ours-CartPole-v1" / name).stat().st_mtime_ns for name in FILES]
    assert before == after
    assert main(command) == 0
    printed = capfd.readouterr()
    for part in (
        "Faults fixed:",
        "Chosen here:",
        "claimed: perhaps solved",
        "| the source's ",
        "| ours, ",
    ):
        assert part in printed.out
    assert "on level ground: 0, 0" in printed.out
    assert "shortened to 60 steps" in printed.out
    assert printed.err.count("is complete, and used again") == 2
    with pytest.raises(UphillError, match="holds a run with other settings, seeds or steps"):
        reproduce("step-by-step", seeds=2, steps=61, out=out, quiet=True)


FILES = ("metrics.csv", "evaluation.json", "checkpoint/latest.json")


def test_ctrl_c_says_how_to_go_on(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", interrupted)
    out = tmp_path / "some where"
    with pytest.raises(Interrupted) as stopped:
        reproduce("step-by-step", seeds=3, out=out, quiet=True)
    again = f"the same uphill.reproduce(…, out={str(out)!r})"
    assert str(stopped.value) == f"What was trained is saved. Go on with: {again}"
    assert not (out / "reproduction.json").exists()


def test_a_training_that_ended_before_its_first_checkpoint_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", begun)
    task = next(tasks(SOURCES["step-by-step"], 2, 60))
    (tmp_path / "run/checkpoint").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        module._trained(tmp_path / "run", task, None, True)


def test_a_training_that_was_interrupted_is_resumed(
    reproduced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = []

    def resume(folder: Path, *, quiet: bool) -> Run:
        resumed.append(folder)
        return Run(folder)

    monkeypatch.setattr(module, "resume", resume)
    task = next(tasks(SOURCES["step-by-step"], 2, 60))
    folder = Path(reproduced["out"]) / task.folder
    manifest = read_manifest(folder, "latest")
    facts = replace(manifest.facts, num_transitions=(61, 59))
    monkeypatch.setattr(module, "read_manifest", lambda *_: replace(manifest, facts=facts))
    assert module._trained(folder, task, None, True).path == folder
    assert resumed == [folder]
