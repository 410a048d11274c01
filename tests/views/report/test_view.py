"""What the page shows of a run."""

import json
from pathlib import Path

import numpy as np
import pytest

from report_runs import copied, load
from small_runs import write_run
from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.runs.metrics import read_metrics
from uphill.views.curves import RETURN, learning_seconds
from uphill.views.report.diagnosis import DIAGNOSTICS, course
from uphill.views.report.view import (
    curves_of,
    dotted,
    overview_of,
    play_at_first,
    recent_return,
    view_of,
)
from uphill.words import duration


def test_a_finished_run(pair: tuple[Path, Path]) -> None:
    run = load(pair[0])
    view = view_of(run)
    assert view.state == "finished"
    evaluation = json.loads((pair[0] / "evaluation.json").read_text())
    means = [f"{x:.1f}" for x in evaluation["deterministic"]["per_seed"]]
    assert [(seed, best) for seed, best, *_ in view.per_seed] == list(enumerate(means))
    assert [row.name for row in view.results] == ["The most probable action", "Sampled actions"]
    # The story is that of the best seed: its milestones, and what it became.
    own = [m for m in run.milestones if m.seed_index == run.best_seed_index]
    assert [c.steps for c in view.chapters[:-1]] == [m.steps for m in own]
    assert view.chapters[0].when == "before any learning"
    assert view.chapters[-1].title == "the trained policy"
    assert len(view.curve.dots) == len(view.chapters) == len(own) + 1
    assert ("Untrained".lower(), "2 of 2", "0") in view.reached
    assert dict(view.settings)["algorithm.sampling.num_envs"] == "4"
    assert len(view.curve.lines) == 3  # two seeds and their middle
    assert {d.title for d in view.diagnoses} >= {"Entropy of the policy", "Explained variance"}
    for diagnosis in view.diagnoses:
        assert diagnosis.says.endswith(".")


def test_milestones_that_were_reached_together_are_one_chapter(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    path = copied(pair[0], tmp_path / "run")
    document = json.loads((path / "milestones.json").read_text())
    best = load(path).best_seed_index
    (last,) = [m for m in document["milestones"] if m["seed_index"] == best and m["steps"]]
    document["milestones"] += [last | {"name": name} for name in ("quarter", "half")]
    (path / "milestones.json").write_text(json.dumps(document))
    view = view_of(load(path))
    assert [chapter.update for chapter in view.chapters] == [0, last["update"], None]
    words = "first episode above random play, and half of the way to the threshold"
    assert view.chapters[1].title == words


def test_metrics_of_ones_own_have_cards(pair: tuple[Path, Path], tmp_path: Path) -> None:
    path = copied(pair[0], tmp_path / "run")
    header, *rows = (path / "metrics.csv").read_text().splitlines()
    values = np.linspace(0.1, 0.9, len(rows))
    lines = [f"{header},own/reach", *(f"{row},{x:g}" for row, x in zip(rows, values, strict=True))]
    (path / "metrics.csv").write_text("\n".join(lines) + "\n")
    (card,) = [d for d in view_of(load(path)).diagnoses if d.title == "reach"]
    assert card.says.startswith("It rose from 0.")
    assert len(view_of(load(pair[0])).diagnoses) == len(view_of(load(path)).diagnoses) - 1


def test_a_run_that_has_just_begun(pair: tuple[Path, Path], tmp_path: Path) -> None:
    without = ("evaluation.json", "metrics.csv", "milestones.json")
    view = view_of(load(copied(pair[0], tmp_path / "run", *without, steps=10**6)))
    assert view.state == "training"
    assert view.verdict.word == "Still training"
    assert not view.chapters
    assert not view.results
    assert not view.diagnoses
    assert not view.curve.lines
    assert view.curve.x_range == (0.0, 1e6)


def test_a_damaged_run_is_one_sentence(pair: tuple[Path, Path], tmp_path: Path) -> None:
    path = copied(pair[0], tmp_path / "run")
    (path / "metrics.csv").write_text("seed,steps\n0,many\n")
    for function in (view_of, overview_of):
        with pytest.raises(UphillError, match=r"metrics.csv can't be read"):
            function(load(path))


def test_the_latest_return_is_where_the_curve_ends(pair: tuple[Path, Path]) -> None:
    metrics = read_metrics(pair[0])
    *_, curve = curves_of(metrics, "rollout/episode_return")
    assert recent_return(metrics) == curve.y[-1]
    assert recent_return({}) is None


def test_sentences_begin_and_end_where_the_curves_do(tmp_path: Path) -> None:
    """Numbers that change fast at the start are not averaged away."""
    lengths = [[21.0, *[250.0 + t for t in range(18)], 500.0]]
    (curve,) = curves_of(read_metrics(write_run(tmp_path / "run", lengths).path), RETURN)
    (diagnostic,) = [d for d in DIAGNOSTICS if d.column == "rollout/episode_length"]
    assert diagnostic.says(course(curve.y)) == "Episodes rose from 21 to 500 steps."


@pytest.mark.parametrize(("num_points", "is_marked"), [(1, True), (25, True), (26, False)])
def test_few_points_are_marked(num_points: int, is_marked: bool, tmp_path: Path) -> None:
    returns = [[float(t) for t in range(num_points)], [2.0 * t for t in range(num_points)]]
    metrics = read_metrics(write_run(tmp_path / "run", returns).path)
    for curve in curves_of(metrics, RETURN):
        assert curve.marks is None or len(curve.marks) in (0, num_points)
        assert bool(curve.marks is not None and len(curve.marks)) == is_marked
    *_, middle = curves_of(metrics, RETURN)
    if is_marked:
        found = np.interp(100.0 * np.arange(1, num_points + 1), middle.x, middle.y)
        np.testing.assert_allclose(found, 1.5 * np.arange(num_points))


def test_the_numbers_at_the_head_add_up(pair: tuple[Path, Path]) -> None:
    run = load(pair[0])
    facts = dict(view_of(run).facts)
    standing = read_manifest(pair[0], "latest").facts
    total = int(facts["Steps, all seeds"].replace(",", ""))
    assert total == sum(standing.num_transitions)
    each = [int(x.replace(",", "")) for x in facts["Steps, each seed"].split(" to ")]
    assert sorted(set(standing.num_transitions)) == each
    speed = int(facts["Steps a second"].replace(",", ""))
    assert total / speed == pytest.approx(standing.steady_seconds, rel=0.01)
    shown, unit = facts["Training"].split()
    seconds = float(shown) * {"ms": 1e-3, "s": 1.0}[unit]
    assert seconds == pytest.approx(standing.steady_seconds, rel=0.05)
    assert facts["Compiling, apart"] == duration(standing.compile_seconds)
    # And milestones are told in the same seconds: none lies after the end.
    assert "Training" in facts
    first = float(learning_seconds(read_metrics(pair[0]))[0])
    assert 0 < first <= standing.steady_seconds * 1.01
    assert standing.steady_seconds < standing.seconds


def test_without_a_threshold_returns_are_compared_with_the_first_ones(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    path = copied(pair[0], tmp_path / "run")
    manifest = path / "checkpoint" / "latest.json"
    document = json.loads(manifest.read_text())
    document["facts"]["reward_threshold"] = None
    for tracked in document["facts"]["tracked"]:
        tracked |= {"first_episodes": 10, "first_sum": 30.0}
    manifest.write_text(json.dumps(document))
    view = view_of(load(path))
    assert view.verdict.word == "Better than random play"
    assert "Random play collected 3, by the first episodes of training." in view.verdict.sentence
    assert view.curve.level is not None
    assert view.curve.level.label == "random play: 3"
    document["facts"]["tracked"][1]["first_episodes"] = 3
    manifest.write_text(json.dumps(document))
    facts = read_manifest(path, "latest").facts
    assert play_at_first(facts) is None
    assert view_of(load(path)).verdict.word == "Finished"


def test_an_overview(pair: tuple[Path, Path], tmp_path: Path) -> None:
    seen = overview_of(load(pair[0]))
    assert (seen.about, seen.state) == (
        *("CartPole-v1, ppo, 2 seeds: 2,000 of 2,000 steps", "finished"),
    )
    assert seen.curve is not None
    assert len(seen.curve.lines) == 1
    growing = overview_of(load(copied(pair[0], tmp_path / "run", "evaluation.json", steps=10**4)))
    assert growing.state == "training"
    assert growing.value != seen.value


def test_settings_are_flat() -> None:
    document = {"a": {"$type": "Part", "b": 1.5, "c": {"$type": "Deep", "d": [1, 2]}}, "e": None}
    document |= {"f": {}, "g": True, "h": []}
    assert dotted(document) == [
        *(("a", "Part"), ("a.b", "1.5"), ("a.c", "Deep"), ("a.c.d", "1, 2")),
        *(("e", "none"), ("f", "none"), ("g", "yes"), ("h", "none")),
    ]
