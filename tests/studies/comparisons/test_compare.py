"""Runs compared, what can't be, and further seeds until it is decided."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uphill
from command_line import run_cli
from small_runs import small_ppo, tensors_of, train_small, write_run
from uphill.errors import UphillError
from uphill.parts import Adam, ClippedRatio
from uphill.runs.checkpoint import read_manifest
from uphill.runs.configuration import encode
from uphill.runs.files import write_json
from uphill.studies.comparisons import further
from uphill.studies.comparisons.further import check_repeatable
from uphill.studies.comparisons.samples import RunSample
from uphill.theory.statistics import interquartile_mean, probability_of_improvement
from uphill.training.guard import NotFinite

HIGH = [9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0]
LOW = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


def written(folder: Path, scores: list[float], **experiment: Any) -> uphill.Run:
    return write_run(folder, [[1.0]] * len(scores), scores=scores, **experiment)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would be trained is a failure."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it trains")

    for name in ("run_of", "resume"):
        monkeypatch.setattr(further, name, refuse)


def test_each_pair_gets_its_difference_and_its_probability(tmp_path: Path) -> None:
    runs = [
        written(tmp_path / "a", HIGH),
        written(tmp_path / "b", LOW[:6], algo="a2c", seed=3),
        written(tmp_path / "c", HIGH, algo="vpg"),
    ]
    result = uphill.compare(*runs)
    a, b, _ = result["runs"]
    assert (a["name"], b["name"], b["run"]) == ("ppo", "a2c", str(tmp_path / "b"))
    assert b["per_seed"] == {str(3 + k): x for k, x in enumerate(LOW[:6])}
    assert b["iqm"] == interquartile_mean(LOW[:6])
    pairs = [(pair["x"], pair["y"]) for pair in result["pairs"]]
    assert pairs == [("ppo", "a2c"), ("ppo", "vpg"), ("a2c", "vpg")]
    first, equal, _ = result["pairs"]
    assert first["difference"]["iqm"] == a["iqm"] - b["iqm"]
    low, high = first["difference"]["ci95"]
    assert 0 < low < first["difference"]["iqm"] < high
    expected = probability_of_improvement(np.array(HIGH), np.array(LOW[:6]))
    assert (first["improvement"]["probability"], (*first["improvement"]["ci95"],)) == expected
    assert (equal["difference"]["iqm"], equal["improvement"]["probability"]) == (0.0, 0.5)
    low, high = equal["difference"]["ci95"]
    assert low < 0 < high  # seeds of both are drawn apart, also where they are alike
    assert result["until_decided"] is None
    assert json.loads(json.dumps(result)) == result


def test_the_terminal_shows_it_within_its_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("a"), [100 * x for x in HIGH] * 2, env_kwargs={})
    written(Path("b"), LOW[:3], algo="a2c")
    assert run_cli("compare", "a", "b") == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0] == "CartPole-v1: final policies, 4 episodes of each seed"
    assert lines[3].split()[:4] == ["ppo", "16", "1,000", "1,250"]
    assert "IQM of ppo − IQM of a2c = 1,248, 95\N{NO-BREAK SPACE}% interval " in shown
    assert "P(ppo > a2c) = 1.00, 95\N{NO-BREAK SPACE}% interval 0.44 to 1.00" in shown
    assert "ppo or a2c: these seeds can't say which is better." in shown
    assert lines[-1] == "With 3 seeds a 95 % interval is too narrow (docs/metrics.md)."
    assert [line.split()[1:4] for line in lines if line.startswith("seed ")] == [
        ["0", "1", "2"],
        ["10", "11", "12"],
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"env": "Acrobot-v1"}, r"their environments differ \(CartPole-v1 and Acrobot-v1\)"),
        ({"env_kwargs": {"g": 5}}, r"their env_kwargs differ \(\{\} and \{'g': 5\}\)"),
        ({"reset_options": {"low": 0}}, r"their reset_options differ"),
        ({"max_episode_steps": 50}, r"their time limits differ \(500 and 50\): give runs of"),
        ({"scores": LOW[:1]}, r"has one seed, but a comparison needs at least 2: train it with"),
        ({"scores": None}, r"has no evaluation\.json: `uphill\.resume\('.*/b'\)`"),
    ],
)
def test_what_is_not_comparable_is_refused(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    scores: list[float] | None = changes.pop("scores", HIGH)
    run = written(tmp_path / "a", HIGH)
    other = write_run(tmp_path / "b", [[1.0]] * len(scores or HIGH), scores=scores, **changes)
    with pytest.raises(UphillError, match=sentence):
        uphill.compare(run, other)


def test_other_wrong_arguments_are_told(tmp_path: Path, no_training: None) -> None:
    run, other = written(tmp_path / "a", HIGH), written(tmp_path / "b", LOW)
    with pytest.raises(UphillError, match="needs at least two runs"):
        uphill.compare(run)
    with pytest.raises(UphillError, match="/a is given twice"):
        uphill.compare(run, other, str(tmp_path / "b" / ".." / "a"))
    with pytest.raises(UphillError, match="compare shows the final policy, and checkpoint is"):
        uphill.compare(run, uphill.load(other, checkpoint="best"))
    for options, sentence in (
        ({"error": 0.0}, r"^error is 0\.0: use a probability"),
        ({"error": float("nan")}, r"^error is nan: expected"),
        ({"max_seeds": 7}, r"^max_seeds is 7: use at least 8, which are looked at first"),
    ):
        with pytest.raises(UphillError, match=sentence):
            uphill.compare(run, other, until_decided=True, **options)
    for options, sentence in (
        ({"error": 0.1}, r"^error=0\.1 is for further seeds, .* give until_decided=True, too\.$"),
        ({"max_seeds": 60}, r"^max_seeds=60 is for further seeds, but none are trained"),
    ):
        with pytest.raises(UphillError, match=sentence):
            uphill.compare(run, other, **options)
    for changes, sentence in (
        ({"stop_when_solved": True}, "was to stop when all its seeds had solved the task"),
        ({"settings": "your own loop"}, "was trained in your own loop"),
        ({"is_callable": True, "backend": "gymnasium"}, "was the Python callable 'CartPole-v1'"),
        ({"network": "mine"}, "networks are your own, made by 'mine'"),
    ):
        name = next(iter(changes))
        unrepeatable = written(tmp_path / name, HIGH, **changes)
        with pytest.raises(UphillError, match=sentence):
            uphill.compare(run, unrepeatable, until_decided=True)
    assert run_cli("compare") == 2
    assert run_cli("compare", run.path) == 2


def test_other_wrappers_and_other_episodes_are_told(tmp_path: Path) -> None:
    run = written(tmp_path / "a", HIGH, backend="gymnasium")
    other = written(tmp_path / "b", LOW, wrappers=("ClipReward:0,1",), backend="gymnasium")
    (remark,) = uphill.compare(run, other)["remarks"]
    assert remark.endswith("a (none) and " + str(other.path) + " (ClipReward:0,1).")
    path = other.path / "evaluation.json"
    path.write_text(path.read_text().replace('"episodes": 4', '"episodes": 2'))
    with pytest.raises(UphillError, match=r"over 4 episodes, and .*/b over 2: `uphill\.evaluate\("):
        uphill.compare(run, other)


def test_what_is_clear_is_decided_without_further_seeds(
    tmp_path: Path, no_training: None, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [written(tmp_path / "a", LOW), written(tmp_path / "b", HIGH, algo="a2c")]
    result = uphill.compare(*runs, until_decided=True, quiet=True)
    assert result["pairs"][0]["decided"] == {"better": "a2c", "seeds": 8}
    assert "docs/comparing.md" in result["remarks"][-1]
    assert run_cli("compare", *(run.path for run in runs), "--until-decided") == 0
    shown = capsys.readouterr()
    assert "a2c is better, which 8 seeds of each decided (with an error of at most 5" in shown.out
    assert "With 8 seeds of each: 1 of 1 pair decided." in shown.err


def test_further_seeds_are_those_that_a_longer_run_has(tmp_path: Path) -> None:
    task: dict[str, Any] = {"steps": 64, "eval_every": 32}
    run = train_small(tmp_path / "a", seed=3, seeds=2, **task)
    longer = train_small(tmp_path / "longer", seed=3, seeds=5, **task)
    other = written(tmp_path / "other", HIGH[:5])
    result = uphill.compare(run, other, until_decided=True, max_seeds=5, quiet=True)
    evaluation = longer.evaluation
    assert evaluation is not None
    scores = evaluation["deterministic"]["per_seed"]
    assert [*result["runs"][0]["per_seed"].items()] == [
        (str(3 + k), score) for k, score in enumerate(scores)
    ]
    added = uphill.load(result["runs"][0]["further"][0])
    for checkpoint in ("latest", "best"):
        ours, theirs = (tensors_of(x.path, checkpoint) for x in (added, longer))
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            np.testing.assert_array_equal(tensor, theirs[name][2:], err_msg=name)


def test_further_seeds_lie_beside_a_run_also_where_it_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = written(tmp_path / "a", HIGH[:2])
    monkeypatch.chdir(run.path)
    folder = RunSample(uphill.load(".")).folder_for(2)
    assert folder.resolve() == (tmp_path / "a-seeds-2-3").resolve()


def test_further_seeds_of_which_one_stopped_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_training: None
) -> None:
    run = train_small(tmp_path / "run", seeds=2)
    manifest = read_manifest(run.path, "latest")
    why = NotFinite(2, 64, "reward", 3)
    facts = replace(
        manifest.facts,
        num_transitions=(64, manifest.facts.num_transitions[1]),
        not_finite=(why, None),
    )
    monkeypatch.setattr(further, "read_manifest", lambda *_: replace(manifest, facts=facts))
    assert further._completed(run, 4, quiet=True).path == run.path


def test_further_seeds_are_runs_beside_and_are_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    limit = {"max_episode_steps": 500}  # that of the environment itself
    runs = [written(Path("a"), HIGH[:4], steps=32), written(Path("b"), HIGH[:5], **limit)]
    Path("a-seeds-4-4").mkdir()  # its training ended before it wrote anything
    result = uphill.compare(*runs, until_decided=True, max_seeds=5, quiet=True)
    (added,) = result["runs"][0]["further"]
    assert (added, result["runs"][1]["further"]) == ("a-seeds-4-4", [])
    more, own = uphill.load(added).experiment, runs[0].experiment
    assert encode(more.algorithm) == encode(own.algorithm)
    assert (more.seed, more.steps, more.episodes, more.settings) == (4, 32, 4, "those of a")
    assert list(result["runs"][0]["per_seed"]) == ["0", "1", "2", "3", "4"]
    undecided, plan = result["pairs"][0], result["until_decided"]
    assert (undecided["decided"], undecided["seeds"], plan["next_look"]) == (None, 5, 8)
    # The next comparison counts them. What was not evaluated any more is gone on with.
    assert uphill.compare(*runs)["runs"] == result["runs"]
    (tmp_path / added / "evaluation.json").unlink()
    assert any("is not evaluated yet" in text for text in uphill.compare(*runs)["remarks"])
    monkeypatch.setattr(further, "run_of", None)
    options = ("--until-decided", "--max-seeds", "5", "--quiet")
    assert run_cli("compare", "a", "b", *options) == 0
    assert "5 seeds of each don't tell them apart; --max-seeds 8 goes on" in capsys.readouterr().out
    assert uphill.compare(*runs)["runs"] == result["runs"]
    # Versions and devices may be others, and versions are told.
    for folder, changes in ((added, {"devices": 2}), ("a", {"versions": {"jax": "9.9"}})):
        file = tmp_path / folder / "experiment.json"
        write_json(file, json.loads(file.read_text()) | changes)
    remarks = uphill.compare("a", "b")["remarks"]
    assert any("a-seeds-4-4 was trained with other versions: jax " in text for text in remarks)
    experiment = tmp_path / added / "experiment.json"
    experiment.write_text(experiment.read_text().replace('"steps": 32', '"steps": 64'))
    with pytest.raises(UphillError, match="by its name, and its steps is another: rename it"):
        uphill.compare(*runs)


def test_further_seeds_of_an_extended_run_would_go_another_way(tmp_path: Path) -> None:
    fading, steady = (
        small_ppo(),
        small_ppo(optimizer=Adam(1e-3), surrogate=ClippedRatio(), entropy=0.0),
    )
    for name, algorithm in (("fading", fading), ("steady", steady)):
        train_small(tmp_path / name, algorithm, seeds=2, steps=64)
        uphill.resume(tmp_path / name, steps=128, quiet=True)
    result = uphill.compare(tmp_path / "fading", tmp_path / "steady")
    assert [min(row["steps"]) >= 128 for row in result["runs"]] == [True, True]
    with pytest.raises(
        UphillError, match=r"fading was resumed with 128 steps in place of 64.*learning_rate"
    ):
        uphill.compare(tmp_path / "steady", tmp_path / "fading", until_decided=True, max_seeds=5)
    check_repeatable(uphill.load(tmp_path / "steady"))


def test_further_seeds_of_a_run_that_ended_early_would_be_others(tmp_path: Path) -> None:
    runs = [
        train_small(tmp_path / name, seeds=2, steps=200, on_point=lambda rows, policies: True)
        for name in ("a", "b")
    ]
    with pytest.raises(UphillError, match=r"ended after \d+ of 200 steps, .*steps=200\)` first"):
        uphill.compare(*runs, until_decided=True)
    whole = [uphill.resume(run, steps=200, quiet=True) for run in runs]
    for run in whole:
        further.check_repeatable(run)
