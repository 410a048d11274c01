"""Detects learning that diverged although its numbers are finite: weights that grew too large.

A network whose weights have grown a thousandfold gives the same output for everything, or flips
between two, and gradients no longer change it. For the value function, whose weights grow with the
returns, the limit is a millionfold growth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import PyTree

from uphill.learning.learner import Learner
from uphill.parts import Algorithm
from uphill.words import number, option

GROWTH = {"policy": 1e3, "value function": 1e6, "action-value function": 1e6}
"""By how much the largest weight of each may grow; one that begins below 1 counts as 1."""

Weights = tuple[tuple[float, ...], ...]
"""The largest weights: of the policies of all seeds, of their value functions, and of what the
estimator learns, if that has networks."""


@dataclass(frozen=True)
class Divergence:
    """What was seen of one seed, at a logging point."""

    network: str
    largest: float
    """its largest weight, in absolute value"""
    at_first: float
    """and what that was when training began"""
    steps: int
    """the seed's transitions by then"""


def largest_weights(algorithm: Algorithm, learners: Learner, num_seeds: int) -> Weights:
    """Of all seeds' networks; 0 where there is none."""
    of_baseline = algorithm.baseline.networks(learners.parts.baseline)
    of_estimator = algorithm.estimator.networks(learners.parts.estimator)
    trees = [learners.actor.policy, of_baseline]
    if jax.tree.leaves(of_estimator):
        trees.append(of_estimator)
    return tuple(_largest(tree, num_seeds) for tree in trees)


def divergence_of(
    seed_index: int, at_first: Weights, now: Weights, steps: int
) -> Divergence | None:
    """What has diverged of a seed, if anything has."""
    for k, (weights, (network, growth)) in enumerate(zip(now, GROWTH.items(), strict=False)):
        before = at_first[k][seed_index] if k < len(at_first) else 1.0
        largest = weights[seed_index]
        if largest > growth * max(1.0, before):
            return Divergence(network, largest, before, steps)
    return None


def told_divergence(divergences: Sequence[Divergence | None], seeds: Sequence[int]) -> str:
    """In words; empty if nothing has diverged."""
    pairs = zip(seeds, divergences, strict=False)
    found = [(seed, divergence) for seed, divergence in pairs if divergence is not None]
    if not found:
        return ""
    seed, first = min(found, key=lambda pair: pair[1].steps)
    who = f"seed {seed}" if len(found) == 1 else f"{len(found)} of {len(seeds)} seeds, seed {seed}"
    return (
        f"Learning diverged ({who} by {first.steps:,} steps): the largest weight of the "
        f"{first.network} grew from {number(first.at_first)} to {number(first.largest)}, and more "
        f"than {number(GROWTH[first.network])} times is of no use. Lower "
        f"{option('optimizer.learning_rate')}."
    )


def _largest(tree: PyTree, num_seeds: int) -> tuple[float, ...]:
    leaves = [np.asarray(x) for x in jax.tree.leaves(jax.device_get(tree))]
    sizes = [np.abs(x.reshape(num_seeds, -1)).max(1) for x in leaves if x.dtype.kind == "f"]
    return tuple(np.max(sizes, axis=0).tolist()) if sizes else (0.0,) * num_seeds
