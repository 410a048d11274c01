"""The sequential test: its error, its power, and one look against Mann and Whitney's exact test."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from uphill.theory.sequential import decide, looks, next_look

FEW = 1_999
"""Relabellings: enough, and quick."""
AT = looks(5, 48)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(generator: np.random.Generator, size: int) -> np.ndarray:
    return generator.normal(size=size)


def better(generator: np.random.Generator, size: int) -> np.ndarray:
    """A standard deviation above `normal`."""
    return generator.normal(1, 1, size)


def solved_or_not(generator: np.random.Generator, size: int) -> np.ndarray:
    return 500.0 * (generator.random(size) < 0.7)


def decided(x: Draw, y: Draw) -> list[bool]:
    """For those of 1,000 pairs that were decided, whether X was said to be the better one."""
    generator = np.random.default_rng(0)
    found = [
        decide(x(generator, AT[-1]), y(generator, AT[-1]), AT, relabellings=FEW)
        for _ in range(1_000)
    ]
    return [decision.is_first for decision in found if decision]


@pytest.mark.parametrize("draw", [normal, solved_or_not])
def test_of_a_thousand_equal_pairs_at_most_the_stated_error_is_told_apart(draw: Draw) -> None:
    found = decided(draw, draw)
    assert 20 <= len(found) <= 50  # 5 % of 1,000; and the error that is allowed is made use of
    assert 0.25 < np.mean(found) < 0.75


def test_a_difference_of_one_standard_deviation_is_found() -> None:
    found = decided(better, normal)
    assert len(found) >= 900
    assert all(found)


@pytest.mark.parametrize("shift", [0.0, 0.8, 1.6])
def test_one_look_is_mann_and_whitneys_exact_test(shift: float) -> None:
    generator, seeds, error = np.random.default_rng(1), 8, 0.15
    outcomes = []
    for _ in range(40):
        x, y = generator.normal(shift, 1, seeds), generator.normal(0, 1, seeds)
        p = mannwhitneyu(x, y, method="exact").pvalue
        allowed = error * seeds / (seeds + 16)
        if 0.8 < p / allowed < 1.25:
            continue  # relabellings are drawn: so near to the bound they may say either
        decision = decide(x, y, [seeds], error)
        assert (decision is not None) == (p < allowed)
        assert decision is None or decision.is_first == (np.median(x) > np.median(y))
        outcomes.append(decision is not None)
    assert outcomes.count(False) >= 3
    assert any(outcomes) or not shift


def test_what_is_called_x_and_the_order_of_seeds_do_not_matter() -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        x, y = better(generator, 8).round(1), normal(generator, 8).round(1)
        decision, turned = decide(x, y, [5, 8], 0.3, FEW), decide(y, x, [5, 8], 0.3, FEW)
        assert (decision is None) == (turned is None)
        if decision and turned:
            assert decision.seeds == turned.seeds
            assert decision.is_first is not turned.is_first
        shuffled = np.r_[generator.permutation(x[:5]), generator.permutation(x[5:])]
        assert decide(shuffled, y, [5, 8], 0.3, FEW) == decision


def test_further_looks_leave_earlier_decisions_as_they_are() -> None:
    generator = np.random.default_rng(3)
    kept = 0
    for _ in range(40):
        x, y = better(generator, AT[-1]), normal(generator, AT[-1])
        early = decide(x, y, AT[:3], relabellings=FEW)
        if early is not None:
            assert decide(x, y, AT, relabellings=FEW) == early
            kept += 1
    assert kept > 5


def test_scores_that_are_all_alike_are_never_told_apart() -> None:
    same = np.full(AT[-1], 500.0)
    assert decide(same, same, AT, 0.9) is None
    # Five against five, all above: one of 126 labellings, and fewer may be rejected by then.
    assert decide(np.arange(5.0) + 9, np.arange(5.0), [5], 0.02, FEW) is None
    decision = decide(np.arange(5.0) + 9, np.arange(5.0), [5], 0.05, FEW)
    assert decision is not None
    assert decision.is_first


def test_looks_grow_by_half() -> None:
    assert AT == [5, 8, 12, 18, 27, 41]
    assert next_look(41) == 62
    assert looks(30, 30) == [30]
    with pytest.raises(ValueError, match=r"at is \[5, 8\]: there are 7 scores of each"):
        decide(np.zeros(7), np.zeros(9), [5, 8])
