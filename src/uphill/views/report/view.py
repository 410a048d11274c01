"""The contents of a run's page: everything read and put into words, before it becomes HTML."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uphill.runs import divergence, not_finite
from uphill.runs.checkpoint import Standing, read_manifest
from uphill.runs.configuration import encode
from uphill.runs.experiment import OF_THE_PROCESS, Experiment
from uphill.runs.files import METRICS_FILE
from uphill.runs.metrics import read_metrics
from uphill.runs.milestones import AT_FIRST, Milestone, is_mean, title
from uphill.runs.saved import SavedRun
from uphill.theory.statistics import confidence_band, interquartile_mean
from uphill.views.curves import RETURN, Against, Columns, learning_seconds, smooth_curves
from uphill.views.report.charts import Chart, Line, line_chart
from uphill.views.report.diagnosis import DIAGNOSTICS, course, largest_entropy, own
from uphill.views.report.verdict import (
    RunState,
    Verdict,
    start_of,
    state_of,
    verdict,
    with_trouble,
)
from uphill.words import duration, number, span


@dataclass(frozen=True)
class Chapter:
    """A place on the timeline: a milestone of the seed that the page follows, or the end."""

    update: int | None
    """after which its policy was kept; None for the final one"""
    title: str
    steps: int
    episode_return: float
    is_mean: bool
    """whether that is of several episodes"""
    when: str


@dataclass(frozen=True)
class Diagnosis:
    """A diagnostic of this run: its chart, and what it says."""

    title: str
    meaning: str
    says: str
    chart: Chart


@dataclass(frozen=True)
class Result:
    """A line of the table of results."""

    name: str
    mean: str
    middle: str
    interval: str


@dataclass(frozen=True)
class RunView:
    """All that the templates show of one run."""

    run: SavedRun
    name: str
    experiment: Experiment
    state: RunState
    verdict: Verdict
    threshold: float | None
    metrics: Columns
    curve: Chart
    chapters: tuple[Chapter, ...]
    told_seed: int
    """the seed whose milestones the timeline shows"""
    reached: list[tuple[str, str, str]]
    """milestones over all seeds: title, by how many seeds, after how many steps"""
    results: list[Result]
    per_seed: list[tuple[int, str, str, str]]
    diagnoses: list[Diagnosis]
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    versions: str


def view_of(run: SavedRun) -> RunView:
    """Read a run directory, also one that is being written.

    Raises:
        UphillError: if something in it is damaged.
    """
    experiment = run.experiment
    checkpoint = read_manifest(run.path, "latest", experiment.seeds).facts
    evaluation, threshold = run.evaluation, checkpoint.reward_threshold
    metrics = _metrics(run)
    state = state_of(run.path, experiment, checkpoint)
    steps, at_first = _steps(metrics, checkpoint), play_at_first(checkpoint)
    chapters = _chapters(run, metrics, checkpoint)
    recent = recent_return(metrics)
    return RunView(
        run=run,
        name=run.path.resolve().name,
        experiment=experiment,
        state=state,
        verdict=with_trouble(
            verdict(state, experiment, threshold, evaluation, steps, recent, at_first),
            _what_went_wrong(checkpoint, experiment),
            _has_diverged(checkpoint),
        ),
        threshold=threshold,
        metrics=metrics,
        curve=learning_chart(
            experiment, metrics, level_of(experiment, threshold, at_first), steps, chapters
        ),
        chapters=tuple(chapters),
        told_seed=experiment.all_seeds[run.seed_index],
        reached=_reached(run.milestones, experiment),
        results=_results(evaluation),
        per_seed=_per_seed(experiment, evaluation, threshold),
        diagnoses=_diagnoses(metrics, checkpoint),
        facts=_facts(experiment, checkpoint, metrics),
        settings=shown_settings(experiment),
        versions=", ".join(f"{k} {v}" for k, v in experiment.versions.items()) or "–",
    )


@dataclass(frozen=True)
class Overview:
    """A run in the list of runs."""

    env: str
    about: str
    state: str
    tone: str
    value: float | None
    """what was collected last: by the evaluation, or before it by training episodes"""
    curve: Chart | None


def overview_of(run: SavedRun) -> Overview:
    """What `uphill watch` lists of a run.

    Raises:
        UphillError: if something in it is damaged.
    """
    experiment, evaluation = run.experiment, run.evaluation
    checkpoint = read_manifest(run.path, "latest", experiment.seeds).facts
    metrics = _metrics(run)
    state = state_of(run.path, experiment, checkpoint)
    latest = recent_return(metrics)
    if evaluation is not None:
        latest = evaluation["deterministic"]["mean"]
    seeds = f", {experiment.seeds} seeds" if experiment.seeds > 1 else ""
    done = min(_steps(metrics, checkpoint), experiment.steps)
    steps = f"{done:,} of {experiment.steps:,} steps"
    curves = curves_of(metrics, RETURN)
    return Overview(
        env=experiment.env,
        about=f"{experiment.env}, {experiment.algo}{seeds}: {steps}",
        state=state,
        tone={"finished": "good", "training": "warm"}.get(state, ""),
        value=latest,
        curve=line_chart(f"Learning curve of {run.path.name}", curves[-1:]) if curves else None,
    )


def _metrics(run: SavedRun) -> Columns:
    """The columns of metrics.csv; none before training wrote its first row."""
    return read_metrics(run.path) if (run.path / METRICS_FILE).exists() else {}


def recent_return(metrics: Columns) -> float | None:
    """The return of the latest training episodes: where the learning curve ends."""
    curves = curves_of(metrics, RETURN)
    return float(curves[-1].y[-1]) if curves else None


def _what_went_wrong(facts: Standing, experiment: Experiment) -> str:
    """The message about learning that diverged, and about seeds that stopped."""
    seeds = experiment.all_seeds
    said = (
        divergence.told_divergence(facts.diverged, seeds),
        not_finite.told_not_finite(facts.not_finite, seeds),
    )
    return " ".join(filter(None, said))


def _has_diverged(facts: Standing) -> bool:
    """Whether learning is at fault, and not the environment's numbers alone."""
    of_learning = [x for x in facts.not_finite if x is not None and x.step is None]
    return bool(of_learning) or any(x is not None for x in facts.diverged)


def play_at_first(facts: Standing) -> float | None:
    """The mean return of the first training episodes, when hardly anything was learned: random
    play, as milestones know it. None before every seed has played enough of them."""
    if any(tracked.first_episodes < AT_FIRST for tracked in facts.tracked):
        return None
    means = [tracked.first_sum / tracked.first_episodes for tracked in facts.tracked]
    return float(np.mean(means))


def level_of(
    experiment: Experiment, threshold: float | None, at_first: float | None
) -> tuple[float, str] | None:
    """What returns are compared with: the threshold, or without one how play was at first."""
    if threshold is not None:
        return threshold, f"solved from {number(threshold)} on"
    if at_first is None:
        return None
    return at_first, f"{start_of(experiment)}: {number(at_first)}"


def curves_of(
    metrics: Columns,
    column: str,
    look: str = "",
    against: Against = "steps",
    each: bool = True,
) -> list[Line]:
    """Every seed, and with several their interquartile mean with its interval, which comes last.

    Averaged over a fiftieth of the axis, as in the pictures of `uphill plot`.
    """
    if column not in metrics:
        return []
    curves = smooth_curves(metrics, column, against)
    x, values, marks = curves
    if len(values) == 0:
        return []
    middle = curves.middle_marks
    if len(values) == 1:
        return [Line(x, values[0], f"curve {look}", marks=middle)]
    low, high = confidence_band(values)
    places = marks or itertools.repeat(None)
    seeds = [Line(x, y, f"seed {look}", marks=own) for y, own in zip(values, places, strict=False)]
    mean = Line(x, interquartile_mean(values, axis=0), f"curve {look}", low, high, middle)
    return [*seeds, mean] if each else [mean]


def learning_chart(
    experiment: Experiment,
    metrics: Columns,
    level: tuple[float, str] | None,
    steps: int,
    chapters: Sequence[Chapter],
) -> Chart:
    """The learning curve, with a dot for each milestone."""
    seeds = "one seed" if experiment.seeds == 1 else f"{experiment.seeds} seeds"
    is_over = steps >= experiment.steps
    return line_chart(
        f"Learning curve: return of training episodes against steps, {seeds}",
        curves_of(metrics, RETURN),
        level=level,
        dots=[
            (s.steps, s.episode_return, f"{s.title}: {number(s.episode_return)}, {s.when}")
            for s in chapters
        ],
        x_range=(0.0, float(steps if is_over else experiment.steps)),
    )


def _steps(metrics: Columns, facts: Standing) -> int:
    """Steps of each seed so far; the metrics may be ahead of the checkpoint."""
    latest = max(facts.num_transitions)
    return max(latest, int(metrics["steps"].max())) if len(metrics.get("steps", ())) else latest


def _chapters(run: SavedRun, metrics: Columns, facts: Standing) -> list[Chapter]:
    """The milestones of the seed that the page follows, and the end if it was evaluated."""
    own = [m for m in run.milestones if m.seed_index == run.seed_index]
    # Milestones that were reached together share a policy, and so a film.
    together = itertools.groupby(own, key=lambda m: m.update)
    is_tuned = run.experiment.init_from is not None
    chapters = [_chapter(list(group), metrics, is_tuned) for _, group in together]
    if run.evaluation is None:
        return chapters
    steps, seconds = facts.num_transitions[run.seed_index], facts.steady_seconds
    reached = run.evaluation["deterministic"]["per_seed"][run.seed_index]
    when = f"after {steps:,} steps, {duration(seconds)}"
    return [*chapters, Chapter(None, "the trained policy", steps, reached, True, when)]


def _chapter(milestones: Sequence[Milestone], metrics: Columns, is_tuned: bool) -> Chapter:
    m = milestones[-1]
    ends = (milestones[0].name, m.name)
    name = ", and ".join(dict.fromkeys(title(name, is_tuned) for name in ends))
    when = "before any learning here" if is_tuned else "before any learning"
    if m.steps:
        when = f"after {m.steps:,} steps, {duration(_seconds_at(m, metrics))}"
    return Chapter(m.update, name, m.steps, m.episode_return, is_mean(m.name), when)


def _seconds_at(m: Milestone, metrics: Columns) -> float:
    """Seconds of training by a milestone, without those of compiling."""
    rows = np.flatnonzero(metrics["update"] == m.update) if "update" in metrics else np.zeros(0)
    return float(learning_seconds(metrics)[rows[0]]) if len(rows) else m.seconds


def _reached(milestones: Sequence[Milestone], experiment: Experiment) -> list[tuple[str, str, str]]:
    rows, seeds, is_tuned = [], experiment.seeds, experiment.init_from is not None
    for name in dict.fromkeys(m.name for m in milestones):
        steps = [m.steps for m in milestones if m.name == name]
        rows.append((title(name, is_tuned), f"{len(steps)} of {seeds}", f"{np.median(steps):,.0f}"))
    return rows


def _results(evaluation: dict[str, Any] | None) -> list[Result]:
    if evaluation is None:
        return []
    names = {"deterministic": "The most probable action", "stochastic": "Sampled actions"}
    rows = []
    for kind, name in names.items():
        e = evaluation[kind]
        low, high = e["ci95"]
        interval = f"{number(low)} to {number(high)}"
        rows.append(Result(name, number(e["mean"]), number(e["iqm"]), interval))
    return rows


def _per_seed(
    experiment: Experiment, evaluation: dict[str, Any] | None, threshold: float | None
) -> list[tuple[int, str, str, str]]:
    """Seed, its mean return by either kind of action, and whether that is solved."""
    if evaluation is None:
        return []
    kinds = (evaluation["deterministic"]["per_seed"], evaluation["stochastic"]["per_seed"])
    rows = []
    for seed, best, sampled in zip(experiment.all_seeds, *kinds, strict=True):
        solved = "–" if threshold is None else "yes" if best >= threshold else "no"
        rows.append((seed, number(best), number(sampled), solved))
    return rows


def _diagnoses(metrics: Columns, facts: Standing) -> list[Diagnosis]:
    found = []
    for d in (*DIAGNOSTICS, *filter(None, map(own, metrics))):
        curves = curves_of(metrics, d.column)
        if not curves:
            continue
        most = largest_entropy(facts.action_kind) if d.column == "policy/entropy" else None
        says = d.says(course(curves[-1].y, np.stack([c.y for c in curves]), most))
        # Without a band: these are for a glance, and a few lines say as much.
        plain = [Line(c.x, c.y, c.look, marks=c.marks) for c in curves]
        title, span = f"{d.title} against steps", (0.0, max(1.0, float(curves[-1].x[-1])))
        chart = line_chart(title, plain, x_range=span, num_ticks=3, is_share=d.is_share)
        found.append(Diagnosis(d.title, d.meaning, says, chart))
    return found


def _facts(experiment: Experiment, facts: Standing, metrics: Columns) -> list[tuple[str, str]]:
    """The numbers at the head of the page. Those of training add up: all steps, over the seconds
    of training, are the steps a second; compiling stands apart."""
    each, trained = list(facts.num_transitions), facts.steady_seconds
    if len(metrics.get("time/seconds", ())):  # which may be ahead of the checkpoint
        each = max(each, _latest_steps(metrics), key=sum)
        trained = max(trained, float(learning_seconds(metrics).max()))
    total = sum(each)
    several = [("Steps, all seeds", f"{total:,}")] if experiment.seeds > 1 else []
    return [
        ("Environment", experiment.env),
        ("Algorithm", experiment.algo),
        ("Seeds", str(experiment.seeds)),
        ("Steps, each seed", span(each)),
        *several,
        ("Training", _exact(trained)),
        ("Steps a second", f"{total / trained:,.0f}"),
        ("Compiling, apart", duration(facts.compile_seconds)),
        *([("Machines", f"{len(facts.moved) + 1}, one after the other")] if facts.moved else []),
    ]


def _exact(seconds: float) -> str:
    """What is counted with needs two digits."""
    return duration(seconds) if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _latest_steps(metrics: Columns) -> list[int]:
    """Each seed's steps by its last row."""
    seeds = np.unique(metrics["seed"])
    return [int(metrics["steps"][metrics["seed"] == seed].max()) for seed in seeds]


def shown_settings(experiment: Experiment) -> list[tuple[str, str]]:
    """Every setting, but what the page shows beside them."""
    settings = encode(experiment).items()
    document = {name: x for name, x in settings if name not in OF_THE_PROCESS}
    return [row for row in dotted(document) if row[0] != "algorithm.name"]


def dotted(document: Any, path: str = "") -> list[tuple[str, str]]:
    """Settings as (dotted path, text), in their order; a part's type stands at its own path."""
    if not isinstance(document, dict):
        return [(path, _text(document))]
    rows = [(path, document["$type"])] if path and "$type" in document else []
    for key, value in document.items():
        if key != "$type":
            rows += dotted(value, f"{path}.{key}" if path else key)
    return rows or [(path, "none")]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return str(value)
