"""Surrogates: what they tell of a sample, and what they learn of a batch."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import SETUP

from uphill.parts import ClippedRatio, KLPenalty, Sample
from uphill.theory.distributions import Categorical


def sample_of(log_prob: Any) -> Sample:
    distribution = Categorical(jnp.zeros((len(log_prob), 2)))
    zeros = jnp.zeros(len(log_prob))
    return Sample(log_prob, zeros, zeros, distribution, lambda: distribution)


def test_a_ratio_far_from_one_counts_as_clipped() -> None:
    sample = sample_of(jnp.log(jnp.array([1.0, 1.19, 1.21, 0.79])))
    found = ClippedRatio(epsilon=0.2).metrics(sample)["policy/clip_fraction"]
    np.testing.assert_array_equal(found, [0, 0, 1, 1])


@pytest.mark.parametrize(("kl", "factor"), [(0.0, 0.5), (0.01, 1.0), (0.1, 2.0)])
def test_the_weight_of_a_kl_penalty_adapts(kl: float, factor: float) -> None:
    surrogate = KLPenalty(3.0, target=0.01)
    beta = surrogate.init(SETUP, np.random.default_rng(0))
    assert beta == 3.0
    assert surrogate.learned(beta, lambda: jnp.float32(kl)) == 3.0 * factor
