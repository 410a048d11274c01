"""Writes docs/defaults.md from the rows of `benchmarks.defaults`."""

from collections.abc import Mapping, Sequence

import numpy as np

from uphill.theory.statistics import RESAMPLES, mean_probability_of_improvement, middle_95

LOWEST = -0.5
"""The lowest score: how far a policy is below random play says little."""
Scores = Mapping[str, np.ndarray]
"""The seeds' normalised scores, for each environment."""


def normalised(returns: Sequence[float], random: float, best: float) -> np.ndarray:
    """0 for random play, 1 for the best known return."""
    return np.maximum((np.asarray(returns) - random) / (best - random), LOWEST)


def suite_mean(scores: Scores) -> tuple[float, tuple[float, float]]:
    """The mean over environments of the mean over seeds, and its 95 % percentile-bootstrap
    interval: seeds are resampled within each environment."""
    drawn = _drawn(scores, np.random.default_rng(0))
    low, high = middle_95(drawn)
    return float(np.mean([x.mean() for x in scores.values()])), (float(low), float(high))


def difference(x: Scores, y: Scores) -> tuple[float, tuple[float, float]]:
    """The suite mean of X minus that of Y, over environments in which both were measured."""
    common = [env for env in x if env in y]
    x, y = ({env: z[env] for env in common} for z in (x, y))
    generator = np.random.default_rng(0)
    low, high = middle_95(_drawn(x, generator) - _drawn(y, generator))
    return suite_mean(x)[0] - suite_mean(y)[0], (float(low), float(high))


def _drawn(scores: Scores, generator: np.random.Generator) -> np.ndarray:
    means = [
        x[generator.integers(len(x), size=(RESAMPLES, len(x)))].mean(-1) for x in scores.values()
    ]
    return np.mean(means, axis=0)


def better(x: Scores, y: Scores) -> str:
    """P(a seed of X scores higher than one of Y), averaged over environments."""
    pairs = [(x[env], y[env]) for env in x if env in y]
    probability, (low, high) = mean_probability_of_improvement(pairs)
    return f"{probability:.2f} ({low:.2f} to {high:.2f})"


def with_interval(found: tuple[float, tuple[float, float]], form: str = "{:.2f}") -> str:
    value, (low, high) = found
    text = f"{form.format(value)} ({form.format(low)} to {form.format(high)})"
    return text.replace("-", "−")


HEAD = """\
# Defaults, and what each choice contributes

`uphill train ENV` starts from the preset of its environment, if it has one, and otherwise from
`uphill.ppo()`, `uphill.a2c()` and so on: one setting for each algorithm, whatever the environment.
This page shows what these defaults reach in {number} environments of many kinds, on the seeds 0 to
4. They were chosen in some of these environments, on the seeds 1000 to 1002: PPO's in 14, A2C's in
six and TRPO's in five; NPG has TRPO's. Environments with a preset are treated as if they had none.

A *score* is the mean return of the final policy over 20 episodes with sampled actions, normalised:
0 is random play, 1 the best known return of the environment, and scores below {lowest} are clipped.
Training is short, as in a first try; the table has the steps. Means are over seeds, then over
environments; brackets contain 95 % percentile-bootstrap intervals over seeds.

`python -m benchmarks.defaults` measures what is missing from this page, and writes it. It may be
stopped at any time. `python -m benchmarks.defaults ppo` measures one algorithm; `--write` only
writes the page. All rows are in `benchmarks/defaults.jsonl`.
"""
"""The beginning of the page; `number` and `lowest` are filled in."""
