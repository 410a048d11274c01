"""The outcome of a run, in a word and a sentence."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from uphill.runs.checkpoint import Standing
from uphill.runs.experiment import Experiment
from uphill.runs.files import EVALUATION_FILE, METRICS_FILE, manifest_file
from uphill.runs.milestones import SOLVED_OVER
from uphill.sessions.own_loop import OWN_LOOP
from uphill.theory.statistics import few_seeds
from uphill.words import INTERVAL, count, number

RunState = Literal["training", "interrupted", "not evaluated", "finished"]
PATIENCE = 60.0
"""Seconds without a sign of life after which training counts as interrupted."""


@dataclass(frozen=True)
class Verdict:
    """A word for the eye, the sentence that it stands for, and which colour they deserve."""

    word: str
    sentence: str
    tone: Literal["good", "bad", "open"]


def is_evaluated_last(run: Path) -> bool:
    """Whether nothing was trained since it was evaluated."""
    evaluated = _newest(run / EVALUATION_FILE)
    return evaluated > 0 and evaluated >= _newest(*_signs(run))


def _signs(run: Path) -> tuple[Path, ...]:
    """What training writes now and then."""
    return run / METRICS_FILE, manifest_file(run, "latest")


def _newest(*paths: Path) -> float:
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def state_of(run: Path, experiment: Experiment, facts: Standing) -> RunState:
    """Whether a run is finished, or else being trained: then its files change now and then."""
    is_trained = facts.is_trained(experiment.steps)
    is_over = is_trained or experiment.settings == OWN_LOOP  # which may end when it likes
    if is_over and (run / EVALUATION_FILE).exists():
        return "finished"
    if is_evaluated_last(run):
        return "interrupted"
    if time.time() - _newest(*_signs(run)) < max(PATIENCE, 2 * experiment.checkpoint_every):
        return "training"
    return "not evaluated" if is_trained else "interrupted"


def verdict(
    state: RunState,
    experiment: Experiment,
    threshold: float | None,
    evaluation: dict[str, Any] | None,
    steps: int,
    recent_return: float | None,
    at_first: float | None = None,
) -> Verdict:
    """The verdict; `steps` are those done so far, `recent_return` the mean of training episodes of
    late, `at_first` that of the first ones."""
    if evaluation is None:
        return _without_evaluation(state, experiment, steps, recent_return)
    reached = _reached(experiment, evaluation)
    env, episodes = experiment.env, evaluation["episodes"]
    if threshold is None:
        return _without_threshold(experiment, evaluation, reached, at_first)
    goal = f"{env} counts as solved from {number(threshold)} on"
    if episodes < SOLVED_OVER:
        why = f"but only over {SOLVED_OVER} episodes, and these were {episodes}"
        return Verdict("Too few episodes to say", f"{reached} {goal}, {why}.", "open")
    per_seed = np.array(evaluation["deterministic"]["per_seed"])
    num_solved, num_seeds = int((per_seed >= threshold).sum()), len(per_seed)
    if num_seeds == 1:
        return Verdict(
            "Solved" if num_solved else "Not solved",
            f"{reached} {goal}.",
            "good" if num_solved else "bad",
        )
    if num_solved == num_seeds:
        word = f"Solved by {'both' if num_seeds == 2 else f'all {num_seeds}'} seeds"
    else:
        word = f"Solved by {num_solved or 'none'} of {num_seeds} seeds"
    tone = "good" if num_solved == num_seeds else "open" if num_solved else "bad"
    return Verdict(word, f"{reached} {goal}.", tone)


def _without_threshold(
    experiment: Experiment, evaluation: dict[str, Any], reached: str, at_first: float | None
) -> Verdict:
    """What is known of an environment that counts as solved from no return on: whether it is
    played better than at the start."""
    unknown = f"Nothing says from which return on {experiment.env} is solved."
    if at_first is None:
        return Verdict("Finished", f"{reached} {unknown}", "open")
    start, (low, high) = start_of(experiment), evaluation["deterministic"]["ci95"]
    sentence = (
        f"{reached} {start[0].upper()}{start[1:]} collected {number(at_first)}, by the first "
        f"episodes of training. {unknown}"
    )
    if low > at_first:
        return Verdict(f"Better than {start}", sentence, "open")
    how = "Worse" if high < at_first else "No better"
    return Verdict(f"{how} than {start}", sentence, "bad")


def start_of(experiment: Experiment) -> str:
    """What plays at the start of training: hardly more than chance, or what was learned before."""
    return "random play" if experiment.init_from is None else "the run that it started from"


def _reached(experiment: Experiment, evaluation: dict[str, Any]) -> str:
    """What the evaluation measured."""
    result, episodes = evaluation["deterministic"], evaluation["episodes"]
    low, high = (number(x) for x in result["ci95"])
    if experiment.seeds == 1:
        return (
            f"Over {count(episodes, 'episode')}, the trained policy collected a return of "
            f"{number(result['mean'])} on average, and {number(result['iqm'])} in the middle half "
            f"of them ({INTERVAL} {low} to {high})."
        )
    remark = few_seeds(experiment.seeds)
    return (
        f"Over {count(episodes, 'episode')} for each of {experiment.seeds} seeds, the trained "
        f"policies collected a return of {number(result['iqm'])} (mean of the middle half of the "
        f"seeds; {INTERVAL} {low} to {high})." + (f" {remark}" if remark else "")
    )


def _without_evaluation(
    state: RunState, experiment: Experiment, steps: int, recent_return: float | None
) -> Verdict:
    share = f"{min(steps, experiment.steps):,} of {experiment.steps:,} steps are done"
    recent = "no episode has ended yet"
    if recent_return is not None:
        recent = f"the latest training episodes collected {number(recent_return)} on average"
    word, note = {
        "training": ("Still training", "Nothing is evaluated before the end."),
        "interrupted": ("Interrupted", "`uphill resume` goes on from here."),
        "not evaluated": ("Not evaluated", "`uphill evaluate` says how good the policy is."),
    }[state]
    return Verdict(word, f"{share}, and {recent}. {note}", "open")


def with_trouble(found: Verdict, said: str, has_diverged: bool) -> Verdict:
    """The verdict, with what was said of learning that diverged (if it has) or of seeds that
    stopped, if anything was; a task that was solved nevertheless counts as solved."""
    if not said:
        return found
    if found.tone == "good":
        return replace(found, sentence=f"{found.sentence} {said}")
    word = "Learning diverged" if has_diverged else "Seeds stopped"
    return Verdict(word, f"{said} {found.sentence}", "bad")
