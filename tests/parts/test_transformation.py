"""Optax's transformations as they are, in the place of an optimiser."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from trajectories import LINEAR_POLICY, WINDOW, learner_of, trajectory_of

from uphill.learning.update import update
from uphill.parts import SGD, Adam, NoBaseline, Optax, Transformation
from uphill.parts.algorithms import reinforce

jitted = jax.jit(update)


def policies(optimizer: Any, num_updates: int = 3) -> list:
    """The policy before and after each update, always on the same trajectory."""
    algorithm = reinforce(
        policy=LINEAR_POLICY,
        sampling=WINDOW,
        mean_over="steps",
        baseline=NoBaseline(),
        optimizer=optimizer,
    )
    learner = learner_of(algorithm)
    trajectory, found = trajectory_of(learner), [learner.actor.policy]
    for _ in range(num_updates):
        learner, _ = jitted(algorithm, learner, trajectory, jax.random.key(0))
        found.append(learner.actor.policy)
    return found


def same(a: Any, b: Any) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_it_learns_what_our_own_of_the_same_name_learn() -> None:
    found = policies(optax.adam(0.05))
    same(found, policies(Adam(0.05, max_grad_norm=None, eps=1e-8)))
    same(found, policies(Optax("adam", 0.05, max_grad_norm=None)))
    assert not eqx.tree_equal(found[0], found[-1])


def test_it_is_taken_as_it_is() -> None:
    transformation = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))
    assert reinforce(optimizer=transformation).optimizer == Transformation(transformation)
    same(policies(transformation), policies(SGD(1.0, max_grad_norm=0.1)))


def test_a_schedule_of_optaxs_own_counts_its_steps() -> None:
    found = policies(optax.sgd(optax.linear_schedule(0.4, 0.0, 2)))
    whole = policies(SGD(0.4), 1)
    same(found[:2], whole)
    first, second, third = found[1:]
    same(policies(optax.sgd(optax.piecewise_constant_schedule(0.4, {1: 0.5})), 2)[2], second)
    assert not eqx.tree_equal(first, second)
    assert eqx.tree_equal(second, third)
