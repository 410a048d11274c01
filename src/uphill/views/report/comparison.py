"""A comparison of several runs."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uphill.runs.saved import SavedRun
from uphill.theory.statistics import performance_profile
from uphill.views.curves import RETURN, Against
from uphill.views.labels import names_of, title_of
from uphill.views.report.charts import Chart, Line, line_chart
from uphill.views.report.view import RunView, curves_of, view_of
from uphill.views.scores import Scores, comparable, improvements, said
from uphill.words import listed, number, percent

LOOKS = 6
"""Different lines that the style knows."""


@dataclass(frozen=True)
class ComparedRun:
    """One run in the table of results."""

    name: str
    look: str
    seeds: int
    steps: str
    training: str
    compiling: str
    deterministic: str
    interval: str
    stochastic: str
    solved: str


@dataclass(frozen=True)
class Improvement:
    """Whether one run is better than another."""

    sentence: str
    probability: str
    interval: str


def comparison_of(runs: Sequence[SavedRun]) -> dict[str, Any]:
    """What the template `comparison.html` shows.

    Raises:
        UphillError: if a run is damaged.
    """
    views, names = [view_of(run) for run in runs], names_of(runs)
    scores, left_out = comparable(runs)
    thresholds = {view.threshold for view in views}
    threshold = thresholds.pop() if len(thresholds) == 1 else None
    return {
        "title": title_of(runs),
        "views": views,
        "names": names,
        "looks": [look(k) for k in range(len(runs))],
        "by_steps": _curves(views, threshold, "steps"),
        "by_seconds": _curves(views, threshold, "seconds"),
        "rows": [_row(view, names[k], look(k)) for k, view in enumerate(views)],
        "best": _best(views, names),
        "improvements": [_improvement(row) for row in improvements(scores)],
        "profile": _profile(scores) if scores else None,
        "left_out": left_out,
        "differences": settings_that_differ(views),
    }


def look(k: int) -> str:
    """The CSS class of the k-th run's lines."""
    return f"run-{k % LOOKS}"


def settings_that_differ(views: Sequence[RunView]) -> list[tuple[str, list[str]]]:
    """The settings, and versions, that the runs don't share: (path, each run's value)."""
    tables = [
        dict(view.settings)
        | {f"version of {name}": x for name, x in view.experiment.versions.items()}
        | {"platform": view.experiment.platform or "–"}
        for view in views
    ]
    paths = dict.fromkeys(itertools.chain.from_iterable(tables))
    rows = [(path, [table.get(path, "–") for table in tables]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _curves(views: Sequence[RunView], threshold: float | None, against: Against) -> Chart:
    level = None if threshold is None else (threshold, f"solved from {number(threshold)} on")
    curves = [
        curve
        for k, view in enumerate(views)
        for curve in curves_of(view.metrics, RETURN, look(k), against, each=False)
    ]
    furthest = max((float(curve.x[-1]) for curve in curves), default=1.0)
    what = "steps" if against == "steps" else "seconds of training, compiling left out"
    return line_chart(
        f"Learning curves of {len(views)} runs: return of training episodes against {what}",
        curves,
        level=level,
        x_range=(0.0, furthest or 1.0),
    )


def _row(view: RunView, name: str, look: str) -> ComparedRun:
    facts = dict(view.facts)
    solved = [solved for *_, solved in view.per_seed]
    best, sampled = view.results or (None, None)
    return ComparedRun(
        name=name,
        look=look,
        seeds=view.experiment.seeds,
        steps=facts["Steps, each seed"],
        training=facts["Training"],
        compiling=facts["Compiling, apart"],
        deterministic=best.middle if best else "–",
        interval=best.interval if best else "–",
        stochastic=sampled.middle if sampled else "–",
        solved=f"{solved.count('yes')} of {len(solved)}" if {"yes", "no"} & set(solved) else "–",
    )


def _best(views: Sequence[RunView], names: Sequence[str]) -> str:
    """One sentence on which run's policies collected most."""
    known = [
        (view.run.evaluation["deterministic"]["iqm"], name)
        for view, name in zip(views, names, strict=True)
        if view.run.evaluation is not None
    ]
    if len(known) < 2 or len({view.experiment.env for view in views}) > 1:
        return f"{len(views)} runs side by side."
    most = max(score for score, _ in known)
    best = [name for score, name in known if np.isclose(score, most, rtol=1e-3)]
    if len(best) == len(known):
        every = "Both" if len(known) == 2 else "All"
        return f"{every} ended alike, at a return of {number(most)}."
    return f"{listed(best)} ended highest, at a return of {number(most)}."


def _improvement(row: dict[str, Any]) -> Improvement:
    low, high = row["ci95"]
    interval = f"{percent(low)} to {percent(high)}"
    return Improvement(said(row), percent(row["probability"]), interval)


def _profile(scores: Sequence[Scores]) -> Chart:
    """For each run, the share of seeds that scored above each threshold."""
    values = np.concatenate([each.values for each in scores])
    margin = 0.04 * float(np.ptp(values)) or 1.0
    edges = (float(values.min()) - margin, float(values.max()) + margin)
    curves = []
    for each in scores:
        thresholds = np.unique([*each.values, *edges])
        share, (low, high) = performance_profile(each.values, thresholds)
        x, *heights = (_stairs(part, k) for k, part in enumerate((thresholds, share, low, high)))
        curves.append(Line(x, heights[0], look(each.position), heights[1], heights[2]))
    return line_chart(
        "Performance profile: share of seeds that scored more than so much",
        curves,
        x_range=edges,
        y_range=(0.0, 1.0),
    )


def _stairs(values: np.ndarray, height: int) -> np.ndarray:
    """Points of a line that keeps each value until the next: of places (0), or of heights."""
    twice = np.repeat(values, 2)
    return twice[:-1] if height else twice[1:]
