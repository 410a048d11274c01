"""How much an algorithm depends on tuning: hyperparameter sensitivity and effective dimension.

Reference: Adkins, Bowling, White (2024), A Method for Evaluating Hyperparameter Sensitivity in
Reinforcement Learning, https://arxiv.org/abs/2412.07165
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from uphill.theory.statistics import RESAMPLES, middle_95

SHARE = 0.95
"""The share of the score of tuning all settings that counts as all of it."""


class Estimate(NamedTuple):
    """A number, and its 95 % interval."""

    value: float
    interval: tuple[float, float]


class Sensitivity(NamedTuple):
    """How much one algorithm depends on tuning, over several environments."""

    tuned: Estimate
    """the normalised score with the best values for each environment, averaged over these"""
    shared: Estimate
    """the normalised score of those values that are best for all environments together"""
    phi: Estimate
    """what tuning for each environment is worth: tuned − shared"""
    dimension: Estimate
    """how many settings must be tuned for each environment to have 95 % of `tuned`"""
    best: int
    """which values are best for all environments together, by their index"""


def sensitivities(
    scores: Sequence[Float[np.ndarray, "E _H S"]], levels: Sequence[Int[np.ndarray, "_H _D"]]
) -> list[Sensitivity]:
    """The sensitivity of each algorithm, of which `scores` has every environment's scores by the
    combination h of values and the seed, and `levels` which value each of its settings has in h.

    With p(ω, e, h) the mean over seeds, and its 5th and 95th percentiles in e over all algorithms ω
    and all their h, the normalised score is

        Γ(ω, e, h) = (p(ω, e, h) − p₅(e)) / (p₉₅(e) − p₅(e)),

    and the sensitivity

        Φ(ω) = 1/|E| Σ_e max_h Γ(ω, e, h) − max_h 1/|E| Σ_e Γ(ω, e, h).

    The effective dimension is the size of the smallest set of settings for which it is enough to be
    tuned in each environment, while the others keep the values that are best for all:

        d(ω) = min |s| with Σ_e max_{h ≡ h* outside of s} Γ(ω, e, h) ≥ 0.95 Σ_e max_h Γ(ω, e, h).

    Intervals are 95 % percentile-bootstrap intervals over the seeds of each cell, percentiles and
    choices included. The best of many noisy means looks better than it is, so both maxima are too
    high with few seeds, `tuned` the more so, and with it Φ; the bootstrap adds as much again.

    Raises:
        ValueError: if an environment tells no values apart.
    """
    generator = np.random.default_rng(0)
    means = [x.mean(-1)[None] for x in scores]
    drawn = [_resampled(x, generator) for x in scores]
    values = _measures(_normalised(means), levels)
    resampled = _measures(_normalised(drawn), levels)
    found = []
    for value, draws in zip(values, resampled, strict=True):
        estimates = (
            Estimate(float(x[0]), (float(low), float(high)))
            for x, (low, high) in zip(value[:4], map(middle_95, draws[:4]), strict=True)
        )
        found.append(Sensitivity(*estimates, best=int(value[4][0])))
    return found


def _resampled(
    scores: Float[np.ndarray, "E H S"], generator: np.random.Generator
) -> Float[np.ndarray, "R E H"]:
    """Means over as many seeds, drawn with replacement in each cell."""
    num_seeds = scores.shape[-1]
    counts = generator.multinomial(
        num_seeds, np.full(num_seeds, 1 / num_seeds), (RESAMPLES, *scores.shape[:-1])
    )
    return np.einsum("rehs,ehs->reh", counts, scores) / num_seeds


def _normalised(means: Sequence[Float[np.ndarray, "R E _H"]]) -> list[Float[np.ndarray, "R E _H"]]:
    low, high = np.percentile(np.concatenate(means, -1), (5, 95), axis=-1)[..., None]
    if not (high > low).all():
        raise ValueError("In one of the environments all values have the same score.")
    return [(x - low) / (high - low) for x in means]


def _measures(
    normalised: Sequence[Float[np.ndarray, "R E _H"]], levels: Sequence[Int[np.ndarray, "_H _D"]]
) -> list[tuple[np.ndarray, ...]]:
    found = []
    for gamma, each in zip(normalised, levels, strict=True):
        over_all = gamma.mean(1)
        best = over_all.argmax(-1)
        tuned, shared = gamma.max(-1).mean(-1), over_all.max(-1)
        dimension = _dimensions(gamma, each, best)
        found.append((tuned, shared, tuned - shared, dimension, best))
    return found


def _dimensions(
    gamma: Float[np.ndarray, "R E H"], levels: Int[np.ndarray, "H D"], best: Int[np.ndarray, " R"]
) -> Int[np.ndarray, " R"]:
    """The effective dimension of each resample."""
    num_settings = levels.shape[1]
    enough = SHARE * gamma.max(-1).mean(-1)
    found = np.full(len(gamma), num_settings)
    is_same = levels[None] == levels[best][:, None]  # [R, H, D]
    for size in reversed(range(num_settings)):
        for tuned in itertools.combinations(range(num_settings), size):
            is_open = np.delete(is_same, tuned, axis=-1).all(-1)
            reached = np.where(is_open[:, None], gamma, -np.inf).max(-1).mean(-1)
            found = np.where(reached >= enough, size, found)
    return found
