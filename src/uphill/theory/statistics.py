"""Numbers with intervals.

Reference: Agarwal et al. (2021), https://arxiv.org/abs/2108.13264
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
FEW_SEEDS = 5
"""Below this many seeds, bootstrap intervals hold the truth in less than 90 % of the cases."""
_CURVE_RESAMPLES = 500  # of whole curves: a band is looked at, a number is quoted


def interquartile_mean(values: np.ndarray | Sequence[float], axis: int = -1) -> Any:
    """The mean of the middle half: as robust as a median, and less noisy.

    It is SciPy's `trim_mean(values, 0.25)`, whose import would take longer than a short training.
    """
    along = np.moveaxis(np.asarray(values), axis, -1)
    cut = along.shape[-1] // 4
    last = along.shape[-1] - cut
    return np.partition(along, (cut, last - 1), axis=-1)[..., cut:last].mean(-1)


def confidence_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The 95 % percentile-bootstrap interval of the interquartile mean.

    Always the same for the same values. Of few values it holds the truth less often than that
    (docs/metrics.md).
    """
    generator = np.random.default_rng(0)
    picks = generator.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = middle_95(interquartile_mean(values[picks]))
    return float(low), float(high)


def difference_of_iqms(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]
) -> tuple[float, tuple[float, float]]:
    """IQM(X) − IQM(Y), and its 95 % percentile-bootstrap interval: seeds of X and of Y are drawn
    apart. Of few seeds it is too narrow, as the interval of one IQM is (docs/metrics.md)."""
    generator = np.random.default_rng(0)
    drawn_x, drawn_y = (
        interquartile_mean(values[generator.integers(len(values), size=(RESAMPLES, len(values)))])
        for values in (x, y)
    )
    low, high = middle_95(drawn_x - drawn_y)
    return float(interquartile_mean(x) - interquartile_mean(y)), (float(low), float(high))


def confidence_band(
    curves: Float[np.ndarray, "S G"],
) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
    """The 95 % percentile-bootstrap interval of the interquartile mean of S seeds at each of G
    points: whole curves are drawn, so that each interval is that of its point alone."""
    generator = np.random.default_rng(0)
    picks = generator.integers(len(curves), size=(_CURVE_RESAMPLES, len(curves)))
    return middle_95(interquartile_mean(curves[picks], axis=1))


def performance_profile(
    scores: Float[np.ndarray, " S"], thresholds: Float[np.ndarray, " G"]
) -> tuple[Float[np.ndarray, " G"], tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]]:
    """The share of seeds with a score above each threshold, and its 95 % bootstrap interval.

        F(τ) = 1/S Σ_s 1[x_s > τ]

    Seeds are drawn with replacement; each interval is that of its threshold alone.
    """
    is_above = (scores[:, None] > thresholds).astype(np.float64)
    drawn = draws(len(scores))
    return is_above.mean(0), middle_95(drawn @ is_above / len(scores))


def probability_of_improvement(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]
) -> tuple[float, tuple[float, float]]:
    """The probability that a seed of X scores above one of Y, and its 95 % interval.

        P(X > Y) = 1/(n m) Σ_i Σ_j (1[x_i > y_j] + ½ 1[x_i = y_j])

    This is Mann and Whitney's U over n m. The interval is Wilson's (1927), made of all θ with

        (P − θ)² ≤ z² θ (1 − θ) / min(n, m)

    for θ (1 − θ) / min(n, m) is the most that the variance of P can be, whatever the distributions:
    P is a mean of means over min(n, m) pairs that share no seed (Birnbaum and Klose 1957, "Bounds
    for the variance of the Mann-Whitney statistic"). A bootstrap would have no width where all
    seeds of X are above all of Y.
    """
    probability = float((np.sign(x[:, None] - y) + 1).mean() / 2)
    return probability, _wilson(probability, min(len(x), len(y)))


def mean_probability_of_improvement(
    pairs: Sequence[tuple[Float[np.ndarray, " _n"], Float[np.ndarray, " _m"]]],
) -> tuple[float, tuple[float, float]]:
    """The mean over environments of P(X > Y), of which `pairs` has the seeds of X and of Y in each,
    and its 95 % interval: Wilson's, with E min(n, m) instead of min(n, m), since the mean of
    θ (1 − θ) over environments is at most that of their mean θ.
    """
    probability = float(np.mean([probability_of_improvement(x, y)[0] for x, y in pairs]))
    fewest = min(min(len(x), len(y)) for x, y in pairs)
    return probability, _wilson(probability, len(pairs) * fewest)


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a probability."""
    z2 = NormalDist().inv_cdf(0.975) ** 2 / count
    middle = share + z2 / 2
    half = (z2 * (share * (1 - share) + z2 / 4)) ** 0.5
    return max((middle - half) / (1 + z2), 0.0), min((middle + half) / (1 + z2), 1.0)


def draws(size: int) -> Float[np.ndarray, "R n"]:
    """How often each of `size` values is in each bootstrap sample: always the same ones."""
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
    return drawn.astype(np.float64)


def middle_95(samples: np.ndarray) -> Any:
    """The percentiles that 95 % of the samples lie between, along the first axis."""
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    return low, high


def few_seeds(count: int) -> str:
    """The remark beside an interval over this many seeds; empty from five on."""
    if not 1 < count < FEW_SEEDS:
        return ""
    return f"With {count} seeds a 95 % interval is too narrow (docs/metrics.md)."


def summarize(returns: Float[np.ndarray, "S episodes"]) -> dict[str, object]:
    """Mean, standard deviation, interquartile mean and its interval: over seeds, or, with one seed,
    over its episodes."""
    per_seed = returns.mean(1)
    values = per_seed if len(per_seed) > 1 else returns[0]
    low, high = confidence_interval(values)
    return {
        "mean": float(returns.mean()),
        "std": float(values.std()),
        "iqm": float(interquartile_mean(values)),
        "ci95": [low, high],
        "per_seed": [float(x) for x in per_seed],
    }
