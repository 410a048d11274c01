"""What parts get to see of a trajectory."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import LINEAR_POLICY, QUOTA, WINDOW, episodes_of, learner_of, trajectory_of

from uphill.learning.advantages import look_at
from uphill.parts.algorithms import reinforce
from uphill.trajectory import BLOCK


def algorithm_of(**changes: Any) -> Any:
    return reinforce(policy=LINEAR_POLICY, mean_over="steps", **changes)


@pytest.mark.parametrize("uniform", [None, 0.3])
def test_the_policy_that_sampled_says_the_log_prob_that_was_stored(uniform: float | None) -> None:
    algorithm = algorithm_of(sampling=WINDOW, uniform_mixture=uniform)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner, uniform=uniform)
    seen = look_at(algorithm, learner, trajectory)
    np.testing.assert_allclose(seen.log_prob, trajectory.log_prob, rtol=1e-5, atol=1e-6)


def test_of_a_trajectory_that_is_partly_filled_only_that_part_is_computed() -> None:
    algorithm = algorithm_of(sampling=QUOTA)
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    found = look_at(algorithm, learner, trajectory).log_prob
    stored = trajectory.log_prob
    np.testing.assert_allclose(found[:BLOCK], stored[:BLOCK], rtol=1e-5, atol=1e-6)
    assert not found[BLOCK:].any()


def test_a_policy_that_has_moved_on_says_its_own() -> None:
    algorithm = algorithm_of(sampling=WINDOW)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    bias = jnp.array([2.0, -1.0])
    moved = eqx.tree_at(lambda x: x.actor.policy.head.bias, learner, bias)
    head, x = moved.actor.policy.head, np.asarray(trajectory.observation)
    logits = x @ np.asarray(head.weight).T + np.asarray(bias)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(log_p, np.asarray(trajectory.action)[..., None], -1)[..., 0]
    found = look_at(algorithm, moved, trajectory).log_prob
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
