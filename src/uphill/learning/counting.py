"""Integers beyond 2³² in programs with 32-bit numbers: two words each."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt32

from uphill.trajectory import Array

MOST_COUNTED = 2**53
"""Steps, updates, bytes: what 64-bit floats count exactly, in which files of numbers are read."""


class Count(NamedTuple):
    """high · 2³² + low"""

    high: UInt32[Array, "*seeds"]
    low: UInt32[Array, "*seeds"]

    def plus(self, number: UInt32[Array, ""]) -> "Count":
        """A number below 2³² more."""
        low = self.low + number  # which wraps: then it is less than what was added
        return Count(self.high + (low < number).astype(jnp.uint32), low)

    def is_below(self, other: "Count") -> Bool[Array, "*seeds"]:
        is_same = self.high == other.high
        return (self.high < other.high) | (is_same & (self.low < other.low))

    def as_float(self) -> Float[Array, "*seeds"]:
        """To the 24 bits of a float; exactly the low word's where the high one is 0."""
        high, low = (jnp.asarray(word).astype(jnp.float32) for word in self)
        return high * 2.0**32 + low


def count_of(number: Any) -> Count:
    """Of a whole number, or an array of 64-bit ones, on the host."""
    numbers = np.asarray(number, np.uint64)
    return Count((numbers >> np.uint64(32)).astype(np.uint32), numbers.astype(np.uint32))
