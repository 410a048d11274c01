"""Whole numbers of two words: exact where 32 bits are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.learning.counting import Count, count_of

NUMBERS = [0, 1, 2**24 + 1, 2**32 - 1, 2**32, 2**32 + 7, 10**10, 2**53 - 1]


def whole(count: Count) -> int:
    return (int(count.high) << 32) + int(count.low)


@pytest.mark.parametrize("number", NUMBERS)
def test_sums_and_comparisons_are_exact(number: int) -> None:
    count = jax.tree.map(jnp.asarray, count_of(number))
    assert whole(count) == number
    for more in (0, 1, 4096, 2**32 - 1):
        assert whole(jax.jit(Count.plus)(count, jnp.uint32(more))) == number + more
    for other in NUMBERS:
        assert bool(count.is_below(count_of(other))) == (number < other)


def test_floats_are_those_of_the_low_word_and_close_beyond() -> None:
    numbers = np.array(NUMBERS, np.uint64)
    found = jax.jit(Count.as_float)(count_of(numbers))
    is_small = numbers < 2**32
    np.testing.assert_array_equal(found[is_small], numbers[is_small].astype(np.float32))
    np.testing.assert_allclose(found, numbers.astype(np.float64), rtol=1.3e-7)
