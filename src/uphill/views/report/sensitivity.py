"""The contents of the page of a sensitivity study, in words."""

from dataclasses import dataclass
from typing import Any

from uphill.runs.files import SENSITIVITY_PICTURE
from uphill.runs.sensitivity import SavedSensitivity
from uphill.views.labels import setting_of, setting_shown
from uphill.views.report.sweeps import picture_in
from uphill.views.sensitivity import (
    Findings,
    Studied,
    fresh_table_of,
    result_of,
    said_of,
    sensitivity_table,
)
from uphill.words import count, listed, number


@dataclass(frozen=True)
class Section:
    """One algorithm."""

    algo: str
    choice: str
    grid: list[tuple[str, str]]
    """which settings varied, and their values"""
    heads: list[str]
    rows: list[list[str]]
    """each environment: the setting that scored highest there, its score, and that of the choice"""
    fresh_heads: list[str]
    fresh_rows: list[list[str]]


def view_of_sensitivity(study: SavedSensitivity) -> dict[str, Any]:
    """What the template `sensitivity.html` shows.

    Raises:
        UphillError: if a file of the study was altered.
    """
    result = result_of(study)
    heads, *rows = sensitivity_table(result.algorithms)
    return {
        "title": " · ".join(study.algos),
        "num_envs": len(study.envs),
        "lead": _lead(result),
        "picture": picture_in(study.path / SENSITIVITY_PICTURE) if rows else "",
        "heads": heads,
        "rows": rows,
        "remarks": result.remarks,
        "sections": [_section(study, one) for one in result.algorithms],
        "seeds": study.asked.get("seeds", 0),
        "fresh_seeds": study.asked.get("fresh_seeds", 0),
        "fixed": _fixed(study),
    }


def _lead(result: Findings) -> str:
    if result.left:
        return f"{result.left:,} of {count(result.total, 'setting')} still train or wait."
    if not result.algorithms:
        return "Fewer than two environments tell settings apart, so there is nothing to compare."
    least = min(result.algorithms, key=lambda one: one.sensitivity.phi.value)
    most = max(result.algorithms, key=lambda one: one.sensitivity.tuned.value)
    if len(result.algorithms) == 1:
        return (
            f"Tuning {least.algo} for each environment is worth "
            f"{least.sensitivity.phi.value:.2f} of a normalised score."
        )
    return (
        f"{most.algo} scores highest where it is tuned for each environment, and tuning is worth "
        f"least to {least.algo}."
    )


def _section(study: SavedSensitivity, one: Studied) -> Section:
    sweep = study.sweep(one.algo, one.envs[0].env)
    grid = [(path, ", ".join(map(setting_shown, sweep.values_of(path)))) for path in sweep.varied]
    heads = ["Environment", "Best there", "Its mean return", "That of the choice"]
    rows = [
        [env.env, setting_of(env.tuned), number(env.tuned_score), number(env.shared_score)]
        for env in one.envs
    ]
    fresh_heads, *fresh_rows = fresh_table_of(one)
    return Section(one.algo, said_of(one), grid, heads, rows, fresh_heads, fresh_rows)


def _fixed(study: SavedSensitivity) -> list[tuple[str, str]]:
    asked = {
        name: value
        for name, value in study.asked.items()
        if name not in ("envs", "algorithms", "grid")
    }
    return [("envs", listed(study.envs)), *((name, str(value)) for name, value in asked.items())]
