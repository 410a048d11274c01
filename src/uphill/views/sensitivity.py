"""A sensitivity study as numbers: the results of its sweeps and of the fresh seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from uphill.runs.sensitivity import CHOICE, SavedSensitivity
from uphill.runs.sweeps import DEFAULT, SavedSweep
from uphill.theory.sensitivity import (
    Estimate,
    Sensitivity,
    normalised_score,
    sensitivities,
    spread_in,
)
from uphill.theory.statistics import (
    few_seeds,
    mean_probability_of_improvement,
    probability_of_improvement,
)
from uphill.views.labels import setting_names, setting_of
from uphill.views.sweeps import SettingRow, rows_of
from uphill.words import count, listed, number

RowsByTask = dict[tuple[str, str], list[SettingRow]]
"""A row for each setting of each algorithm in each environment."""
Probability = tuple[float, tuple[float, float]]


@dataclass(frozen=True)
class InEnv:
    """The results of one algorithm in one environment; scores are means over seeds."""

    env: str
    tuned: dict[str, Any]
    """the setting that scored highest there"""
    tuned_score: float
    shared_score: float
    """of the choice for all environments"""
    choice: SettingRow | None = None
    """that choice on fresh seeds"""
    default: SettingRow | None = None
    """the default there; None where it is the choice"""
    p_better: Probability | None = None
    """the probability that a seed of the choice ends above one of the default"""


@dataclass(frozen=True)
class Studied:
    """The results of one algorithm."""

    algo: str
    settings: int
    failed: int
    """settings that failed in some environment"""
    sensitivity: Sensitivity
    choice: dict[str, Any]
    """the setting that is best for all environments together"""
    to_tune: tuple[str, ...]
    """the settings that the effective dimension counts, by their paths"""
    envs: tuple[InEnv, ...]
    is_default: bool = False
    """whether the choice is the default, which then has no separate rows"""
    fresh: Estimate | None = None
    """the normalised score of the choice on fresh seeds"""
    fresh_default: Estimate | None = None
    p_better: Probability | None = None
    """averaged over environments"""

    def summary(self) -> dict[str, Any]:
        """All of it as plain data."""
        whole = asdict(self)
        for name in ("tuned", "shared", "phi", "dimension"):
            whole[name] = _plain(getattr(self.sensitivity, name))
        whole["reached"] = self.sensitivity.reached
        del whole["sensitivity"]
        return whole | {
            "fresh": self.fresh and _plain(self.fresh),
            "fresh_default": self.fresh_default and _plain(self.fresh_default),
        }


@dataclass(frozen=True)
class Findings:
    """The results of a study, as far as it is done."""

    algorithms: tuple[Studied, ...] = ()
    """none, while settings are left"""
    left: int = 0
    """settings that still train or wait"""
    total: int = 0
    remarks: tuple[str, ...] = ()


def result_of(study: SavedSensitivity) -> Findings:
    """The results of a study."""
    rows = {
        (pair.algo, pair.env): rows_of(SavedSweep(study.path / pair.sweep)) for pair in study.pairs
    }
    each = [row for own in rows.values() for row in own]
    left = sum(not row.is_known and not row.fault for row in each)
    if left:
        return Findings(left=left, total=len(each))
    scores, envs, lost = _scores(study, rows)
    if len(envs) < 2:
        return Findings(total=len(each), remarks=tuple(lost))
    levels = [_levels(study.sweep(algo, envs[0])) for algo in study.algos]
    found = sensitivities(scores, levels)
    studied = [
        _studied(study, algo, rows, scores, envs, one)
        for algo, one in zip(study.algos, found, strict=True)
    ]
    remarks = [*lost, *_remarks(study, studied)]
    return Findings(tuple(studied), total=len(each), remarks=tuple(remarks))


def _scores(
    study: SavedSensitivity, rows: RowsByTask
) -> tuple[list[Float[np.ndarray, "E _H S"]], list[str], list[str]]:
    """The scores of each algorithm by environment, setting and seed; which environments these are;
    and what is to be said of those that are left out."""
    kept, lost, found = [], [], []
    num_seeds = study.asked["seeds"]
    for env in study.envs:
        own = [row.per_seed for algo in study.algos for row in rows[algo, env] if row.per_seed]
        if not own:
            lost.append(f"{env} is left out: all of its settings failed.")
            continue
        worst = (min(np.mean(x) for x in own),) * num_seeds  # what failed is as good as the worst
        scores = [
            np.array([row.per_seed or worst for row in rows[algo, env]]) for algo in study.algos
        ]
        if not spread_in([x.mean(-1)[None, None] for x in scores]).all():
            lost.append(f"{env} is left out: nearly all of its settings came to the same score.")
            continue
        kept.append(env)
        found.append(scores)
    return [np.stack(each) for each in zip(*found, strict=True)], kept, lost


def _levels(sweep: SavedSweep) -> Int[np.ndarray, "H D"]:
    """Which of its values each field that varies has in each setting."""
    values = {path: sweep.values_of(path) for path in sweep.varied}
    return np.array([[x.index(run.setting[p]) for p, x in values.items()] for run in sweep.runs])


def _studied(
    study: SavedSensitivity,
    algo: str,
    rows: RowsByTask,
    scores: Sequence[Float[np.ndarray, "E _H S"]],
    envs: Sequence[str],
    one: Sensitivity,
) -> Studied:
    first, own = study.sweep(algo, envs[0]), scores[study.algos.index(algo)]
    fresh = [study.fresh(algo, env) for env in envs]
    in_envs = []
    for env, means, again in zip(envs, own.mean(-1), fresh, strict=True):
        run, shared = rows[algo, env][int(means.argmax())], float(means[one.best])
        in_envs.append(InEnv(env, run.setting, float(means.max()), shared, *_fresh(again)))
    failed = {row.run for env in envs for row in rows[algo, env] if row.fault}
    found = Studied(
        algo,
        len(first.runs),
        len(failed),
        one,
        first.runs[one.best].setting,
        tuple(first.varied[k] for k in one.to_tune),
        tuple(in_envs),
        is_default=any(sweep is not None and len(sweep.runs) == 1 for sweep in fresh),
    )
    return _with_fresh(found, scores)


def _fresh(
    sweep: SavedSweep | None,
) -> tuple[SettingRow | None, SettingRow | None, Probability | None]:
    """The choice and the default on fresh seeds, as far as they are known."""
    rows = {} if sweep is None else {row.run: row for row in rows_of(sweep) if row.is_known}
    choice, default = rows.get(CHOICE), rows.get(DEFAULT)
    if choice is None or default is None:
        return choice, default, None
    return choice, default, probability_of_improvement(*map(_seeds, (choice, default)))


def _seeds(row: SettingRow) -> Float[np.ndarray, " S"]:
    return np.array(row.per_seed, np.float64)


def _with_fresh(found: Studied, scores: Sequence[Float[np.ndarray, "E _H S"]]) -> Studied:
    """With what fresh seeds say of all environments together, once they do of each."""
    choices = [_seeds(env.choice) for env in found.envs if env.choice]
    defaults = [_seeds(env.default) for env in found.envs if env.default]
    if len(choices) < len(found.envs):
        return found
    found = replace(found, fresh=normalised_score(np.stack(choices), scores))
    if len(defaults) < len(found.envs):
        return found
    return replace(
        found,
        fresh_default=normalised_score(np.stack(defaults), scores),
        p_better=mean_probability_of_improvement(list(zip(choices, defaults, strict=True))),
    )


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "ci95": list(estimate.interval)}


def _remarks(study: SavedSensitivity, studied: Sequence[Studied]) -> Iterator[str]:
    for one in studied:
        if one.failed:
            yield (
                f"Of {one.algo} {count(one.failed, 'setting')} failed, and count as the worst of "
                "their environment."
            )
    if few := few_seeds(study.asked["seeds"]):
        yield few
    yield (
        "The best of many settings looks better than it is with few seeds: tuned, and with it Φ, "
        "are too high."
    )


# --- as tables ----------------------------------------------------------------------------------


def sensitivity_table(studied: Sequence[Studied]) -> list[list[str]]:
    """A row for each algorithm, heads first."""
    table = [["", "tuned", "shared", "Φ", "effective dimension"]]
    for one in studied:
        found = one.sensitivity
        tuned, shared, phi = (_shown(x) for x in (found.tuned, found.shared, found.phi))
        low, high = found.dimension.interval
        names = setting_names(one.to_tune)
        which = f": {listed(list(names.values()))}" if names else ""
        dimension = f"{found.dimension.value:.0f} ({low:.0f} to {high:.0f}){which}"
        table.append([one.algo, tuned, shared, phi, dimension])
    return table


def fresh_table_of(one: Studied) -> list[list[str]]:
    """The results of an algorithm's chosen setting on fresh seeds, beside its default, header
    first."""
    table = [["", "choice", "default", "P(choice > default)"]]
    for env in one.envs:
        rows = [_row_shown(env.choice), _row_shown(env.default)]
        table.append([env.env, *rows, _probability(env.p_better)])
    whole = [_shown(x) if x else "–" for x in (one.fresh, one.fresh_default)]
    table.append(["all, normalised", *whole, _probability(one.p_better)])
    return [row[:2] for row in table] if one.is_default else table


def said_of(one: Studied) -> str:
    """What was chosen, in a sentence."""
    seeds = max((len(env.choice.per_seed) for env in one.envs if env.choice), default=0)
    what = ", the default," if one.is_default else ""
    return (
        f"Of {count(one.settings, 'setting')} {setting_of(one.choice)}{what} is best for all "
        f"environments together; on {count(seeds, 'fresh seed')}:"
    )


def _shown(estimate: Estimate) -> str:
    value, low, high = (f"{x:.2f}" for x in (estimate.value, *estimate.interval))
    return f"{value} ({low} to {high})".replace("-", "−")


def _row_shown(row: SettingRow | None) -> str:
    if row is None or row.iqm is None or row.ci95 is None:
        return "–"
    low, high = map(number, row.ci95)
    return f"{number(row.iqm)} ({low} to {high})"


def _probability(found: Probability | None) -> str:
    if found is None:
        return "–"
    probability, (low, high) = found
    return f"{probability:.2f} ({low:.2f} to {high:.2f})"
