"""How often `uphill compare --until-decided` is wrong, and how many seeds it needs."""

from collections.abc import Callable

import numpy as np

from uphill.studies.comparisons import ERROR, MAX_SEEDS
from uphill.theory.sequential import FIRST_LOOK, decide, looks

PAIRS = 1_000
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _normal(mean: float, deviation: float = 1.0) -> Draw:
    return lambda generator, size: generator.normal(mean, deviation, size)


def _exponential(generator: np.random.Generator, size: int) -> np.ndarray:
    return generator.exponential(size=size)


def _solved_or_not(share: float) -> Draw:
    """Seeds that end at 500, or far below it."""
    return lambda generator, size: np.where(
        generator.random(size) < share, 500.0, generator.normal(100, 20, size)
    )


CASES: dict[str, tuple[Draw, Draw]] = {
    "alike: normal": (_normal(0), _normal(0)),
    "alike: exponential": (_exponential, _exponential),
    "alike: 7 of 10 seeds solve it": (_solved_or_not(0.7), _solved_or_not(0.7)),
    "equal means, Y with five times the standard deviation": (_normal(0), _normal(0, 5)),
    "half a standard deviation apart": (_normal(0.5), _normal(0)),
    "three quarters": (_normal(0.75), _normal(0)),
    "one": (_normal(1), _normal(0)),
    "one and a half": (_normal(1.5), _normal(0)),
    "two": (_normal(2), _normal(0)),
    "95 against 60 of 100 seeds solve it": (_solved_or_not(0.95), _solved_or_not(0.6)),
}


def sequential() -> None:
    """How many of 1,000 simulated pairs of each kind are told apart, and with how many seeds."""
    at = looks(FIRST_LOOK, MAX_SEEDS)
    print("| scores of X and Y | told apart | said Y is better | seeds of each, mean |")
    print("|---|---|---|---|")
    for name, (x, y) in CASES.items():
        generator = np.random.default_rng(0)
        found = [
            decide(x(generator, at[-1]), y(generator, at[-1]), at, ERROR) for _ in range(PAIRS)
        ]
        decided = [decision for decision in found if decision]
        apart, wrong = len(decided) / PAIRS, sum(not d.is_first for d in decided) / PAIRS
        seeds = np.mean([decision.seeds if decision else at[-1] for decision in found])
        print(f"| {name} | {apart:.1%} | {wrong:.1%} | {seeds:.0f} |")
