"""Compares runs by their final evaluations: a score is a seed's mean deterministic return."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from uphill.runs.saved import SavedRun
from uphill.theory.statistics import probability_of_improvement
from uphill.views.labels import env_of, names_of
from uphill.words import call


class Scores(NamedTuple):
    """The final scores of one of several runs."""

    position: int
    """which of the runs: its line looks as in the picture of the curves"""
    name: str
    values: Float[np.ndarray, " S"]


def comparable(runs: Sequence[SavedRun]) -> tuple[list[Scores], list[str]]:
    """The scores of the runs that can be compared, and a sentence for whatever can't.

    There are none, or at least two.

    Raises:
        UphillError: if an `evaluation.json` was altered.
    """
    envs = list(dict.fromkeys(env_of(run.experiment) for run in runs))
    if len(envs) > 1:
        return [], [
            f"Scores are not compared, since the runs have different environments: "
            f"{', '.join(envs)}."
        ]
    found, left_out = [], []
    for position, (run, name) in enumerate(zip(runs, names_of(runs), strict=True)):
        evaluation = run.evaluation
        if evaluation is None:
            left_out.append(
                f"{run.path} is in the curves alone: it has no evaluation.json, which "
                f"`{call('evaluate', run.path)}` writes."
            )
        elif run.experiment.seeds < 2:
            left_out.append(
                f"{run.path} is in the curves alone: to compare scores takes at least 2 seeds."
            )
        else:
            values = np.array(evaluation["deterministic"]["per_seed"], np.float64)
            found.append(Scores(position, name, values))
    return (found if len(found) > 1 else []), left_out


def said(row: dict[str, Any]) -> str:
    """What the interval of P(X > Y) says of a pair."""
    low, high = row["ci95"]
    if low > 0.5:
        return f"{row['x']} is better than {row['y']}, more often than chance would have it"
    if high < 0.5:
        return f"{row['y']} is better than {row['x']}, more often than chance would have it"
    return f"{row['x']} or {row['y']}: these seeds can't say which is better"


def improvements(scores: Sequence[Scores]) -> list[dict[str, Any]]:
    """P(X > Y) of each pair of runs, in the order in which they are given."""
    rows = []
    for x, y in itertools.combinations(scores, 2):
        probability, interval = probability_of_improvement(x.values, y.values)
        rows.append({"x": x.name, "y": y.name, "probability": probability, "ci95": list(interval)})
    return rows
