"""Minibatches take every sample once, in an order that chance alone decides."""

from collections import Counter
from itertools import permutations

import jax
import numpy as np
import pytest

from uphill.learning.update import shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000, 2**16, 2**16 + 1])
def test_every_number_comes_once(count: int) -> None:
    order = np.asarray(shuffled(jax.random.key(3), count))
    assert np.array_equal(np.sort(order), np.arange(count))


def test_every_order_is_as_likely_as_any_other() -> None:
    keys = jax.random.split(jax.random.key(0), 24_000)
    orders = np.asarray(jax.vmap(lambda key: shuffled(key, 4))(keys))
    counts = Counter(map(tuple, orders.tolist()))
    # χ² with 23 degrees of freedom is above 55 once in 5,000 times; the key is fixed
    expected = len(keys) / 24
    assert set(counts) == set(permutations(range(4)))
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 55


def test_a_second_round_mixes_what_the_first_left_in_order() -> None:
    """With 2¹⁷ numbers, 15 bits are left for chance: four numbers share each word's upper bits."""
    order = np.asarray(shuffled(jax.random.key(1), 2**17)).astype(np.int64)
    rises = np.mean(np.diff(order) > 0)
    assert abs(rises - 0.5) < 5 * np.sqrt(1 / 12 / len(order))
