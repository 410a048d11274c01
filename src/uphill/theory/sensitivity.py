"""How much an algorithm depends on tuning: hyperparameter sensitivity and effective dimension.

Reference: Adkins, Bowling, White (2024), A Method for Evaluating Hyperparameter Sensitivity in
Reinforcement Learning, https://arxiv.org/abs/2412.07165
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

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
    reached: tuple[float, ...]
    """the score with 0, 1, 2, … settings tuned for each environment, those that are worth most"""
    to_tune: tuple[int, ...]
    """the settings that the effective dimension counts, by their index"""


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
    high with few seeds, `tuned` the more so, and with it Φ. Means over resampled seeds are noisier
    still, which lifts maxima and p₉₅, so an interval may lie to one side of its number.

    Raises:
        ValueError: if an environment tells no values apart.
    """
    generator = np.random.default_rng(0)
    means = [x.mean(-1)[None] for x in scores]
    drawn = [_resampled(x, generator) for x in scores]
    if not spread_in(means).all():
        raise ValueError("In one of the environments all values have the same score.")
    is_spread = spread_in(drawn).all(-1)  # some resamples may not
    normalised = zip(_normalised(means), _normalised([x[is_spread] for x in drawn]), strict=True)
    return [_of_one(*gammas, each) for gammas, each in zip(normalised, levels, strict=True)]


def normalised_score(
    fresh: Float[np.ndarray, "E S"], scores: Sequence[Float[np.ndarray, "E _H _T"]]
) -> Estimate:
    """The normalised score of one setting, averaged over environments, on seeds that are in none of
    `scores`, which say what the percentiles are. The interval is over these fresh seeds."""
    low, high = _percentiles([x.mean(-1)[None] for x in scores])[:, 0]
    normalised = (fresh - low[:, None]) / (high - low)[:, None]
    drawn = _resampled(normalised[:, None], np.random.default_rng(0))[:, :, 0].mean(1)
    left, right = middle_95(drawn)
    return Estimate(float(normalised.mean()), (float(left), float(right)))


def spread_in(means: Sequence[Float[np.ndarray, "R E _H"]]) -> Bool[np.ndarray, "R E"]:
    """Whether an environment tells values apart: whether its 5th and 95th percentiles differ."""
    low, high = _percentiles(means)
    return high > low


def _percentiles(means: Sequence[Float[np.ndarray, "R E _H"]]) -> Float[np.ndarray, "2 R E"]:
    return np.percentile(np.concatenate(means, -1), (5, 95), axis=-1)


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
    low, high = _percentiles(means)[..., None]
    return [(x - low) / (high - low) for x in means]


def _of_one(
    gamma: Float[np.ndarray, "1 E H"],
    resampled: Float[np.ndarray, "R E H"],
    levels: Int[np.ndarray, "H D"],
) -> Sensitivity:
    best = gamma.mean(1).argmax(-1)
    reached, sets = _reached(gamma, levels, best)
    drawn, _ = _reached(resampled, levels, resampled.mean(1).argmax(-1))
    estimates = [
        Estimate(float(value[0]), (float(low), float(high)))
        for value, draws in zip(_measures(reached), _measures(drawn), strict=True)
        for low, high in [middle_95(draws)]
    ]
    tuned, shared, phi, dimension = estimates
    score = tuple(float(x) for x in reached[0])
    to_tune = sets[round(dimension.value)]
    return Sensitivity(tuned, shared, phi, dimension, int(best[0]), score, to_tune)


def _measures(reached: Float[np.ndarray, "R _"]) -> tuple[Float[np.ndarray, " R"], ...]:
    """Tuned, shared, Φ and effective dimension of the scores with 0, 1, … settings tuned."""
    shared, tuned = reached[:, 0], reached[:, -1]
    enough = tuned - (1 - SHARE) * np.abs(tuned)  # also where all of it is below the 5th percentile
    dimension = (reached >= enough[:, None]).argmax(-1).astype(np.float64)
    return tuned, shared, tuned - shared, dimension


def _reached(
    gamma: Float[np.ndarray, "R E H"], levels: Int[np.ndarray, "H D"], best: Int[np.ndarray, " R"]
) -> tuple[Float[np.ndarray, "R _"], list[tuple[int, ...]]]:
    """The score with 0 to D settings tuned in each environment, the others at what is best for all;
    and which ones these are in the first resample."""
    is_same = levels[None] == levels[best][:, None]  # [R, H, D]
    scores, sets = [], []
    for size in range(levels.shape[1] + 1):
        candidates = list(itertools.combinations(range(levels.shape[1]), size))
        each = []
        for tuned in candidates:
            is_open = np.delete(is_same, tuned, axis=-1).all(-1)
            each.append(np.where(is_open[:, None], gamma, -np.inf).max(-1).mean(-1))
        scores.append(np.max(each, 0))
        sets.append(candidates[int(np.argmax([x[0] for x in each]))])
    return np.stack(scores, -1), sets
