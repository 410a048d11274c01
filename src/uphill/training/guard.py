"""Where numbers are not finite: such a seed stops in its last finite state (`stopping.py`).

This is checked on the host, from the metrics that updates return anyway: no program computes more
for it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

import jax
import numpy as np
from jaxtyping import Bool

from uphill.learning.counting import Count, count_of
from uphill.learning.learner import Learner, with_steps
from uphill.training.rows import PackedRows, Rows
from uphill.trajectory import Trajectory

LOSSES = ("policy/surrogate", "value/loss", "gradient/norm")
"""Metrics that are finite in every update, where an algorithm has them."""
NETWORKS = "networks"


@dataclass(frozen=True)
class NotFinite:
    """Why a seed stopped."""

    update: int
    """number of the update, from 1; the seed has learned from those before it"""
    steps: int
    """the seed's transitions before it"""
    quantity: str
    """`reward`, `observation`, one of `LOSSES`, or `networks`: the first, in this order, that was
    not finite"""
    step: int | None = None
    """of the batch, that of such a reward or observation"""


@dataclass(frozen=True)
class Stop:
    """A seed that stopped, and the batch that it could not learn from; None after a resume."""

    why: NotFinite
    batch: Trajectory | None = None


Stops = Mapping[int, Stop]
"""By seed index"""


def faults(rows: Rows, learners: Learner) -> Bool[np.ndarray, "U S"]:
    """Where an update has a number that is not finite; `learners` are those before the first."""
    bad, lost = _bad(rows), _lost(rows)
    if lost.any():
        # The very first batch may only fill the scales: nothing is learned from it.
        lost[0] &= np.asarray(jax.device_get(learners.num_updates)) > 0
    return (bad | lost) & (rows["updated"] > 0)


def has_fault(rows: PackedRows) -> bool:
    """Whether updates may have such a number, by their rows alone. That is asked all the time, so
    the bits are looked at as they are packed."""
    updated, steps, networks, losses = _places(rows.columns)
    words = np.asarray(rows.words)
    bad = (words[..., steps] < _NONE).any(-1) | (words[..., networks] != 0)
    bad |= (words[..., losses] & _EXPONENT == _EXPONENT).any(-1)
    return bool((bad & (words[..., updated] > 0)).any())


_NONE = np.uint32(2**31)
"""Where whole numbers below 0 begin, as bits"""
_EXPONENT = np.uint32(0x7F800000)
"""What is all ones in floats that are not finite"""


@cache
def _places(columns: tuple[tuple[str, str], ...]) -> tuple[int, list[int], int, list[int]]:
    """Where in a packed row it says whether it counts, where a step was bad, whether the networks
    are, and what the losses are."""
    place = {name: k for k, (name, _) in enumerate(columns)}
    steps = [place["bad_reward"], place["bad_observation"]]
    losses = [place[name] for name in LOSSES if name in place]
    return place["updated"], steps, place["bad_learner"], losses


def first_fault(rows: Rows, learners: Learner) -> int | None:
    """The first update with such a number, if there is any."""
    found = faults(rows, learners).any(1)
    return int(found.argmax()) if found.any() else None


def _bad(rows: Rows) -> np.ndarray:
    return (rows["bad_reward"] >= 0) | (rows["bad_observation"] >= 0) | rows["bad_learner"]


def _lost(rows: Rows) -> np.ndarray:
    lost = np.zeros(rows["updated"].shape, bool)
    for name in LOSSES:
        if name in rows:
            lost |= ~np.isfinite(rows[name])
    return lost


def why(rows: Rows, k: int, seed_index: int, update: int, steps: int) -> NotFinite:
    """What was not finite in the k-th of these updates."""
    row = {name: values[k, seed_index] for name, values in rows.items()}
    for quantity in ("reward", "observation"):
        if (step := int(row[f"bad_{quantity}"])) >= 0:
            return NotFinite(update, steps, quantity, step)
    lost = (name for name in LOSSES if not np.isfinite(row.get(name, 0.0)))
    return NotFinite(update, steps, next(lost, NETWORKS))


def without(rows: Rows, k: int, seed_index: int) -> Rows:
    """The rows, of which those from the k-th on count for nothing of a seed: only `bad_…` tells of
    the k-th."""
    kept = {name: values.copy() for name, values in rows.items()}
    for name, values in kept.items():
        values[k + name.startswith("bad_") :, seed_index] = 0
    return kept


def at_rest(learners: Learner, idle: Collection[int], num_steps: int) -> Learner:
    """The learners as programs get them: one that is idle seems to have its steps, and waits."""
    return _with_steps_of(learners, idle, count_of(num_steps))


def awake(learners: Learner, before: Learner, idle: Collection[int]) -> Learner:
    """The learners as a program returned them, with the true counters of those that are idle."""
    return _with_steps_of(learners, idle, before.steps)


def _with_steps_of(learners: Learner, idle: Collection[int], steps: Count) -> Learner:
    if not idle:
        return learners
    is_idle = np.isin(np.arange(len(np.asarray(learners.num_updates))), list(idle))
    high, low = (
        np.where(is_idle, np.asarray(new), np.asarray(old))
        for new, old in zip(steps, learners.steps, strict=True)
    )
    return with_steps(learners, Count(high, low))
