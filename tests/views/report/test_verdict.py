"""The verdict: a word and a sentence that the numbers bear out."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report_runs import an_experiment
from uphill.runs.checkpoint import read_manifest
from uphill.runs.experiment import Origin
from uphill.views.report.verdict import state_of, verdict, with_trouble
from uphill.words import number


def evaluation_of(*per_seed: float, episodes: int = 100) -> dict[str, Any]:
    mean = sum(per_seed) / len(per_seed)
    result = {"mean": mean, "iqm": mean, "ci95": [mean - 1, mean + 1], "per_seed": list(per_seed)}
    return {"episodes": episodes, "deterministic": result, "stochastic": result}


@pytest.mark.parametrize(
    ("returns", "threshold", "word", "tone"),
    [
        ([480.0], 475.0, "Solved", "good"),
        ([475.0], 475.0, "Solved", "good"),
        ([474.9], 475.0, "Not solved", "bad"),
        ([480.0, 490.0], 475.0, "Solved by both seeds", "good"),
        ([480.0, 490.0, 500.0], 475.0, "Solved by all 3 seeds", "good"),
        ([480.0, 1.0, 500.0], 475.0, "Solved by 2 of 3 seeds", "open"),
        ([1.0, 2.0], 475.0, "Solved by none of 2 seeds", "bad"),
        ([-150.0], None, "Finished", "open"),
    ],
)
def test_of_an_evaluation(
    returns: list[float], threshold: float | None, word: str, tone: str
) -> None:
    experiment = an_experiment(seeds=len(returns))
    found = verdict("finished", experiment, threshold, evaluation_of(*returns), 10, 3.0)
    assert (found.word, found.tone) == (word, tone)
    assert "95\u00a0% interval" in found.sentence
    assert "100 episodes" in found.sentence
    assert ("too narrow" in found.sentence) == (len(returns) in (2, 3))
    assert (threshold is None) == ("Nothing says" in found.sentence)


@pytest.mark.parametrize(("has_diverged", "word"), [(True, "Learning diverged"), (False, "Seeds")])
def test_an_environments_numbers_are_not_learning_that_diverged(
    has_diverged: bool, word: str
) -> None:
    experiment = an_experiment(seeds=1)
    bad, good = (
        with_trouble(
            verdict("finished", experiment, 475.0, evaluation_of(x), 10, 3.0), "So.", has_diverged
        )
        for x in (1.0, 480.0)
    )
    assert (bad.word.startswith(word), bad.tone) == (True, "bad")
    assert bad.sentence.startswith("So. ")
    assert (good.word, good.sentence.endswith(" So.")) == ("Solved", True)


@pytest.mark.parametrize(
    ("at_first", "word", "tone"),
    [
        (-300.0, "Better than random play", "open"),
        (-150.5, "No better than random play", "bad"),
        (-100.0, "Worse than random play", "bad"),
    ],
)
def test_without_a_threshold_play_at_first_is_the_measure(
    at_first: float, word: str, tone: str
) -> None:
    evaluation = evaluation_of(-150.0)
    found = verdict("finished", an_experiment(), None, evaluation, 10, None, at_first)
    assert (found.word, found.tone) == (word, tone)
    assert f"Random play collected {number(at_first)}" in found.sentence
    origin = Origin("runs/other", 0, "")
    tuned = verdict(
        "finished", an_experiment(init_from=origin), None, evaluation, 10, None, at_first
    )
    assert tuned.word == word.replace("random play", "the run that it started from")


def test_few_episodes_can_not_say_that_a_task_is_solved() -> None:
    few = evaluation_of(500.0, episodes=20)
    found = verdict("finished", an_experiment(seeds=1), 475.0, few, 10, None)
    assert (found.word, found.tone) == ("Too few episodes to say", "open")
    assert "over 100 episodes, and these were 20" in found.sentence


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("training", "Still training"),
        ("interrupted", "Interrupted"),
        ("not evaluated", "Not evaluated"),
    ],
)
def test_before_there_is_an_evaluation(state: Any, word: str) -> None:
    experiment = an_experiment(steps=100_000)
    found = verdict(state, experiment, 475.0, None, 42_000, 210.44)
    assert (found.word, found.tone) == (word, "open")
    assert "42,000 of 100,000 steps are done" in found.sentence
    assert "210.4 on average" in found.sentence
    early = verdict(state, experiment, 475.0, None, 0, None)
    assert "no episode has ended yet" in early.sentence


def test_a_state_follows_from_files_and_their_age(pair: tuple[Path, Path], tmp_path: Path) -> None:
    experiment = an_experiment(steps=100, checkpoint_every=10.0)
    facts = read_manifest(pair[0], "latest").facts
    begun = replace(facts, stopped=False, num_transitions=(50, 60))
    trained = replace(facts, stopped=False, num_transitions=(100, 120))
    stopped = replace(facts, stopped=True, num_transitions=(50, 60))
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("seed\n")
    assert state_of(tmp_path, experiment, begun) == "training"
    past = time.time() - 90
    os.utime(metrics, (past, past))
    assert state_of(tmp_path, experiment, begun) == "interrupted"
    assert state_of(tmp_path, experiment, trained) == "not evaluated"
    assert state_of(tmp_path, experiment, stopped) == "not evaluated"
    # Who saves every ten minutes may be silent for longer.
    assert state_of(tmp_path, replace(experiment, checkpoint_every=600.0), begun) == "training"
    (tmp_path / "evaluation.json").write_text("{}")
    assert state_of(tmp_path, experiment, trained) == "finished"
    assert state_of(tmp_path, experiment, begun) == "interrupted"  # evaluated as it is
    ended = replace(experiment, settings="your own loop")
    assert state_of(tmp_path, ended, begun) == "finished"
    metrics.write_text("seed\n\n")  # it was resumed
    later = time.time() + 5
    os.utime(metrics, (later, later))
    assert state_of(tmp_path, experiment, begun) == "training"
