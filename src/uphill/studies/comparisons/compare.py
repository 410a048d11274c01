"""Runs of one environment compared by their seeds: `uphill.compare`."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from uphill.envs.ids import plain
from uphill.errors import UphillError
from uphill.run import Run, limit_of
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import whole
from uphill.runs.own_code import other_versions
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.studies.comparisons import ERROR, MAX_SEEDS
from uphill.studies.comparisons.further import check_repeatable, with_seeds
from uphill.studies.comparisons.samples import RunSample, check_evaluations, sample_of
from uphill.theory.sequential import FIRST_LOOK, Decision, decide, looks, next_look
from uphill.theory.statistics import (
    confidence_interval,
    difference_of_iqms,
    few_seeds,
    interquartile_mean,
)
from uphill.training.process import use_cores
from uphill.views.labels import env_of, names_of
from uphill.views.scores import Scores, improvements
from uphill.words import count, listed, option

Pair = tuple[int, int]


def compare(
    *runs: str | PathLike[str],
    until_decided: bool = False,
    max_seeds: int = MAX_SEEDS,
    error: float = ERROR,
    quiet: bool = False,
) -> dict[str, Any]:
    """Runs of one environment compared by the final policies of their seeds: the interquartile mean
    of each, and of each pair the difference and P(X > Y), with 95 % intervals.

    With `until_decided`, further seeds are trained until a sequential test has decided each pair,
    or there are `max_seeds` of each: for runs that are alike, the probability of finding a
    difference in any pair is at most `error` (`uphill.theory.sequential.decide`). Further seeds go
    to neighbouring run directories (`runs/a-seeds-5-7`), and count whenever the run is compared
    again. Pass a run with a custom environment, networks or parts as `uphill.load(run, env=…)`.

    Raises:
        UphillError: if runs can't be compared, or further seeds can't be trained.
        Interrupted: on Ctrl-C, after a checkpoint was written; the same call goes on.
    """
    if not isinstance(until_decided, bool):
        raise UphillError(f"until_decided is {until_decided!r}: use True or False.")
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    _check_comparable(opened)
    found = [sample_of(run) for run in opened]
    samples, plan = [sample for sample, _ in found], None
    decisions: dict[Pair, Decision] = {}
    if until_decided:
        plan = _plan(opened, max_seeds, error)
        is_python = all(run.experiment.backend == "gymnasium" for run in opened)
        devices = max(run.experiment.devices for run in opened)
        use_cores(plan.max_seeds, is_python, devices)
        say = Progress(0, quiet).say
        try:
            samples, decisions = _decided(samples, plan, say, quiet)
        except KeyboardInterrupt:
            advice = "What was trained is saved, and the same command goes on."
            raise Interrupted(advice) from None
    else:
        _check_unasked(max_seeds, error)
        _check_seeds(samples)
    unfinished = [] if until_decided else [path for _, path in found if path is not None]
    result = _result(samples, decisions, plan)
    remarks = [
        f"{path} is not evaluated yet, and its seeds are not counted." for path in unfinished
    ]
    return result | {"remarks": [*_remarks(samples, decisions), *remarks]}


# --- what can be compared -----------------------------------------------------------------------


def _check_comparable(runs: Sequence[Run]) -> None:
    """Raises:
    UphillError: unless they are several, of one environment, evaluated alike.
    """
    if len(runs) < 2:
        raise UphillError("compare needs at least two runs: give another one.")
    paths = [run.path.resolve() for run in runs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UphillError(f"{twice} is given twice: give different runs.")
    for run in runs:
        run.check_final("compare")
    first, *others = runs
    for other in others:
        for what, ours, theirs in _tasks(first, other):
            if ours != theirs:
                raise UphillError(
                    f"{first.path} and {other.path} can't be compared, since their {what} differ "
                    f"({ours} and {theirs}): give runs of the same task."
                )
        check_evaluations(first, other)


def _tasks(run: Run, other: Run) -> Iterator[tuple[str, Any, Any]]:
    """What two runs were to do, by what may differ."""
    ours, theirs = run.experiment, other.experiment
    yield "environments", plain(ours.env), plain(theirs.env)
    for name in ("env_kwargs", "reset_options"):
        yield name, getattr(ours, name), getattr(theirs, name)
    if ours.max_episode_steps != theirs.max_episode_steps:  # one may be the environment's own
        yield "time limits", limit_of(run.choice()), limit_of(other.choice())


def _check_seeds(samples: Sequence[RunSample]) -> None:
    for sample in samples:
        if len(sample.seeds) < 2:
            raise UphillError(
                f"{sample.run.path} has one seed, but a comparison needs at least 2: train it with "
                f"{option('seeds', 5)}, or add {option('until_decided', True)}."
            )


# --- until it is decided ------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedPlan:
    """When how many seeds of each are looked at, and which error is allowed."""

    looks: tuple[int, ...]
    max_seeds: int
    error: float

    def told(self) -> dict[str, Any]:
        """What a reader needs to know of it."""
        following = next_look(self.looks[-1])
        return {"error": self.error, "max_seeds": self.max_seeds, "next_look": following}


def _check_unasked(max_seeds: int, error: float) -> None:
    """Refuse options of `until_decided` if that is off."""
    for name, value, usual in (("max_seeds", max_seeds, MAX_SEEDS), ("error", error, ERROR)):
        if value != usual:
            raise UphillError(
                f"{option(name, value)} is for further seeds, but none are trained: give "
                f"{option('until_decided', True)}, too."
            )


def _plan(runs: Sequence[Run], max_seeds: int, error: float) -> SeedPlan:
    """The looks, which depend on the runs alone, so that the same ones are taken again.

    Raises:
        UphillError: if an option makes no sense, or a run can't have further seeds.
    """
    most: int = decode(int, whole(encode(max_seeds)), "max_seeds")
    error = decode(float, encode(error), "error")
    if not 0 < error < 1:
        raise UphillError(f"error is {error}: use a probability, such as 0.05.")
    first = max(FIRST_LOOK, *(run.experiment.seeds for run in runs))
    if most < first:
        raise UphillError(f"max_seeds is {most}: use at least {first}, which are looked at first.")
    for run in runs:
        check_repeatable(run)
    return SeedPlan(tuple(looks(first, most)), most, error)


def _decided(
    samples: Sequence[RunSample], plan: SeedPlan, say: Callable[[str], None], quiet: bool
) -> tuple[list[RunSample], dict[Pair, Decision]]:
    """The samples with the seeds that it took, and what was decided of each pair."""
    samples = list(samples)
    pairs = list(itertools.combinations(range(len(samples)), 2))
    decisions: dict[Pair, Decision] = {}
    for k, seeds in enumerate(plan.looks):
        left = [pair for pair in pairs if pair not in decisions]
        for i in sorted(set(itertools.chain.from_iterable(left))):
            samples[i] = with_seeds(samples[i], seeds, quiet)
        for i, j in left:
            x, y = samples[i].scores, samples[j].scores
            # Each pair has its share of the error: together they have no more (Bonferroni).
            decision = decide(x, y, plan.looks[: k + 1], plan.error / len(pairs))
            if decision is not None:
                decisions[i, j] = decision
        done = f"{len(decisions)} of {count(len(pairs), 'pair')}"
        say(f"With {seeds} seeds of each: {done} decided.")
        if len(decisions) == len(pairs):
            break
    return samples, decisions


# --- what is said -------------------------------------------------------------------------------


def _result(
    samples: Sequence[RunSample], decisions: dict[Pair, Decision], plan: SeedPlan | None
) -> dict[str, Any]:
    runs = [sample.run for sample in samples]
    names = names_of(runs)
    evaluation = runs[0].evaluation
    assert evaluation is not None
    return {
        "env": env_of(runs[0].experiment),
        "episodes": evaluation["episodes"],
        "runs": [_row(sample, name) for sample, name in zip(samples, names, strict=True)],
        "pairs": list(_pairs(samples, names, decisions)),
        "until_decided": plan and plan.told(),
    }


def _row(sample: RunSample, name: str) -> dict[str, Any]:
    scores, experiment = sample.scores, sample.run.experiment
    return {
        "run": str(sample.run.path),
        "further": [str(run.path) for run in sample.further],
        "name": name,
        "algo": experiment.algo,
        "steps": [steps for run in (sample.run, *sample.further) for steps in run.steps],
        "mean": float(scores.mean()),
        "iqm": float(interquartile_mean(scores)),
        "ci95": list(confidence_interval(scores)),
        "per_seed": dict(zip(map(str, sample.seeds), map(float, scores), strict=True)),
    }


def _pairs(
    samples: Sequence[RunSample], names: Sequence[str], decisions: dict[Pair, Decision]
) -> Iterator[dict[str, Any]]:
    scores = [Scores(k, name, samples[k].scores) for k, name in enumerate(names)]
    pairs = itertools.combinations(range(len(samples)), 2)
    for (i, j), row in zip(pairs, improvements(scores), strict=True):
        difference, interval = difference_of_iqms(scores[i].values, scores[j].values)
        decision = decisions.get((i, j))
        better = decision and names[i if decision.is_first else j]
        yield {
            "x": names[i],
            "y": names[j],
            "difference": {"iqm": difference, "ci95": list(interval)},
            "improvement": {"probability": row["probability"], "ci95": row["ci95"]},
            "seeds": min(len(samples[i].seeds), len(samples[j].seeds)),
            "decided": decision and {"better": better, "seeds": decision.seeds},
        }


def _remarks(samples: Sequence[RunSample], decisions: dict[Pair, Decision]) -> Iterator[str]:
    if few := few_seeds(min(len(sample.seeds) for sample in samples)):
        yield few
    for sample in samples:
        if sample.further:
            folders = listed([str(run.path) for run in sample.further])
            yield f"Of the seeds of {sample.run.path} some are in {folders}."
        begun = sample.run.experiment.versions
        for run in sample.further:
            if differ := other_versions(begun, run.experiment.versions):
                yield f"{run.path} was trained with other versions: {differ}."
    wrapped = {sample.run.path: sample.run.experiment.wrappers for sample in samples}
    if len(set(wrapped.values())) > 1:
        each = listed([f"{path} ({', '.join(w) or 'none'})" for path, w in wrapped.items()])
        yield f"Returns are those of wrapped environments, and the wrappers differ: {each}."
    if decisions:
        yield (
            "What was decided early looks larger than it is, and its intervals are too narrow "
            "(docs/comparing.md)."
        )
