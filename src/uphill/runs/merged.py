"""Merges runs whose seeds were trained separately into the run directory of one run with all seeds.

In compiled worlds its tensors, rows and evaluation are bit-identical to that run's. Only times
differ: the parts ran in parallel, so the merged run's time is that of the slowest part.
"""

import csv
import io
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from uphill.errors import UphillError
from uphill.learning.learner import make_learner, stack_learners
from uphill.policies.own_network import NetworkFactory
from uphill.runs.checkpoint import (
    Manifest,
    Standing,
    read_manifest,
    read_tensors,
    write_checkpoint,
)
from uphill.runs.experiment import Experiment, read_experiment, write_experiment
from uphill.runs.files import (
    METRICS_FILE,
    NOT_FINITE_FOLDER,
    Tensors,
    make_inner,
    named_leaves,
    write_file,
)
from uphill.runs.kept_policies import copy_policy, write_milestones
from uphill.runs.metrics import MetricsFile
from uphill.runs.milestones import AT_FIRST, UNTRAINED, Milestone
from uphill.runs.own_parts import NOTHING_OWN, OwnParts

CsvRow = dict[str, str]
_UNTRAINED = "untrained."


@dataclass(frozen=True)
class PartialRun:
    """A run directory with some of the seeds, and which of all its first one is."""

    path: Path
    first: int
    latest: Manifest

    @cached_property
    def best(self) -> Manifest:
        return read_manifest(self.path, "best", _number(self.latest.facts))

    def tensors(self, manifest: Manifest) -> Tensors:
        return read_tensors(self.path, manifest)

    @cached_property
    def points(self) -> dict[int, list[CsvRow]]:
        """The rows of each logging point, by its update; none if all its seeds stopped at once."""
        length = self.latest.facts.metrics_offset
        text = (self.path / METRICS_FILE).read_bytes()[:length] if length else b""
        found: dict[int, list[CsvRow]] = {}
        for row in csv.DictReader(io.StringIO(text.decode(), newline="")):
            found.setdefault(int(row["update"]), []).append(row)
        return found


def merge_runs(
    paths: Sequence[Path],
    experiment: Experiment,
    out: Path,
    network: NetworkFactory | None = None,
    own: OwnParts = NOTHING_OWN,
) -> None:
    """Write the run directory of all parts, in the order of their seeds, into the folder `out`: all
    but its evaluation. `network` and the parts that are the user's `own` are those of training.

    Raises:
        UphillError: if a part is damaged, or was trained in other spaces than the first.
    """
    parts = _parts(paths, experiment)
    experiment = replace(experiment, platform=read_experiment(paths[0], own).platform)
    write_experiment(out, experiment)
    points = _points(parts)
    metrics = MetricsFile(out)
    for rows in _table(parts, points, experiment.all_seeds):
        metrics.append(rows)
    metrics.sync()
    milestones = tuple(copy_policy(part.path, out, *m) for part, m in _milestones(parts, points))
    if milestones:
        write_milestones(out, milestones)
    best = _joined([part.best.facts for part in parts])
    latest = _joined([part.latest.facts for part in parts])
    latest = replace(latest, milestones=milestones, metrics_offset=metrics.offset)
    write_checkpoint(out, "best", _tensors([(x, x.best) for x in parts]), best)
    tensors = _tensors([(x, x.latest) for x in parts])
    if any(name.startswith(_UNTRAINED) for name in tensors):
        tensors |= _untrained(experiment, latest, network)
    write_checkpoint(out, "latest", tensors, latest)
    _copy_batches(parts, out)


def _parts(paths: Sequence[Path], experiment: Experiment) -> list[PartialRun]:
    """Raises:
    UphillError: if one is damaged, they have not as many seeds as the experiment, or were trained
        in different spaces.
    """
    manifests = [read_manifest(path, "latest") for path in paths]
    firsts = [*accumulate((_number(x.facts) for x in manifests), initial=0)]
    if firsts.pop() != experiment.seeds:
        raise UphillError(f"The parts of a run of {experiment.seeds} seeds have another number.")
    parts = [PartialRun(*part) for part in zip(paths, firsts, manifests, strict=True)]
    spaces = [(x.latest.facts.encoding, x.latest.facts.action_kind) for x in parts]
    for part, found in zip(parts, spaces, strict=True):
        if found != spaces[0]:
            raise UphillError(
                f"The environment has other spaces for seed {experiment.seed + part.first} than "
                f"for seed {experiment.seed}, so their runs can't be one: train them as several."
            )
    return parts


# --- metrics.csv ---------------------------------------------------------------------------------


def _points(parts: Iterable[PartialRun]) -> list[int]:
    """The updates at which all seeds together are logged: a part that ended before the others has
    its last row where the others come to their next one."""
    return sorted(max(parts, key=lambda part: part.latest.facts.num_updates).points)


def _point_of(update: int, points: Sequence[int]) -> int:
    return points[min(bisect_left(points, update), len(points) - 1)]


def _table(
    parts: Sequence[PartialRun], points: Sequence[int], seeds: Sequence[int]
) -> Iterable[list[CsvRow]]:
    """The rows of each logging point. A seed that has its steps, or has stopped, does nothing."""
    found = [{_point_of(u, points): rows for u, rows in part.points.items()} for part in parts]
    names = next((list(rows[0]) for each in found for rows in each.values()), [])
    at_first = [dict.fromkeys(names, "") | _NOTHING_DONE | {"seed": str(x)} for x in seeds]
    last = [at_first[part.first :][: _number(part.latest.facts)] for part in parts]
    for point in points:
        for k, own in enumerate(found):
            last[k] = own.get(point) or [_idle(row) for row in last[k]]
        shared = {"update": str(point)} | _times(last)
        yield [row | shared for rows in last for row in rows]


_NOTHING_DONE = {"steps": "0", "time/seconds": "0.0", "time/steps_per_second": "0.0"}


def _idle(row: CsvRow) -> CsvRow:
    kept = {name: x for name, x in row.items() if name in ("seed", "steps") or "time/" in name}
    return dict.fromkeys(row, "") | kept | {"rollout/num_episodes": "0"}


def _times(last: Sequence[Sequence[CsvRow]]) -> CsvRow:
    """Those of the slowest part, and the speed of all together."""
    steps = [sum(int(row["steps"]) for row in rows) for rows in last]
    speeds = [float(rows[0]["time/steps_per_second"]) for rows in last]
    slowest = max(n / max(v, 1e-9) for n, v in zip(steps, speeds, strict=True))
    return {
        "time/seconds": str(max(float(rows[0]["time/seconds"]) for rows in last)),
        "time/steps_per_second": str(round(sum(steps) / max(slowest, 1e-9), 1)),
    }


# --- what the checkpoints hold -------------------------------------------------------------------


def _tensors(parts: Iterable[tuple[PartialRun, Manifest]]) -> Tensors:
    """Seed after seed; what not all parts have any more is what one still has."""
    each = [part.tensors(manifest) for part, manifest in parts]
    names = dict.fromkeys(name for tensors in each for name in tensors)
    return {name: np.concatenate([x[name] for x in each if name in x]) for name in names}


def _untrained(experiment: Experiment, facts: Standing, network: NetworkFactory | None) -> Tensors:
    """The policies of all seeds before training: they are kept while one has still to show how it
    played with its own."""
    learners = [
        make_learner(experiment.composition, facts.encoding, facts.action_kind, seed, network)
        for seed in experiment.all_seeds
    ]
    return {
        _UNTRAINED + name: np.asarray(x) for name, x in named_leaves(stack_learners(learners).actor)
    }


def _joined(each: Sequence[Standing]) -> Standing:
    """Where all parts stand together."""

    def of_seeds(name: str) -> tuple[Any, ...]:
        found = [getattr(facts, name) for facts in each]
        if not any(found):
            return ()
        padded = zip(found, each, strict=True)
        return tuple(x for own, facts in padded for x in own or (None,) * _number(facts))

    names = ("num_transitions", "recent", "tracked", "diverged", "not_finite")
    moments = ("best_scores", "best_steps", "best_seconds")
    first = each[0]
    return replace(
        first,
        **{name: of_seeds(name) for name in (*names, *moments)},
        weights_at_first=tuple(
            sum(own, start=())
            for own in zip(*(facts.weights_at_first for facts in each), strict=True)
        ),
        seconds=max(facts.seconds for facts in each),
        compile_seconds=max(facts.compile_seconds for facts in each),
        num_updates=max(facts.num_updates for facts in each),
        moved=tuple({str(x): x for facts in each for x in facts.moved}.values()),
        stopped=any(facts.stopped for facts in each),
    )


def _number(facts: Standing) -> int:
    return len(facts.num_transitions)


def _milestones(
    parts: Sequence[PartialRun], points: Sequence[int]
) -> list[tuple[PartialRun, tuple[Milestone, Milestone]]]:
    """Each with the part that it is from: as it was there and as it is in the whole, in the order
    in which all seeds together come to them."""
    found = []
    for part in parts:
        for old in part.latest.facts.milestones:
            seen = old.update
            if old.name == UNTRAINED:
                seen = _shown_at(part, old.seed_index)
            seen, index = _point_of(seen, points), part.first + old.seed_index
            update = 0 if old.name == UNTRAINED else seen
            found.append(
                ((seen, index), part, (old, replace(old, seed_index=index, update=update)))
            )
    return [(part, both) for _, part, both in sorted(found, key=lambda x: x[0])]


def _shown_at(part: PartialRun, index: int) -> int:
    """The update at whose logging point a seed had shown how it played at first."""
    episodes = 0
    for update, rows in part.points.items():
        episodes += int(rows[index]["rollout/num_episodes"])
        if episodes >= AT_FIRST:
            return update
    return max(part.points)


def _copy_batches(parts: Iterable[PartialRun], out: Path) -> None:
    """What is kept of seeds that stopped; its files are called by the seed."""
    for part in parts:
        folder = part.path / NOT_FINITE_FOLDER
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            write_file(make_inner(out, NOT_FINITE_FOLDER) / file.name, file.read_bytes())
