"""Sums and gradients over a batch that is only partly filled."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from steps import descent_direction
from trajectories import SMALL, learner_of, trajectory_of

from uphill.batch import Batch, accumulate, in_blocks
from uphill.learning.advantages import make_batch
from uphill.parts.algorithms import reinforce
from uphill.trajectory import BLOCK, Trajectory


def test_a_partly_filled_buffer_gives_the_gradient_of_its_filled_part() -> None:
    algorithm = reinforce(policy=SMALL)
    learner = learner_of(algorithm)
    full = trajectory_of(learner, num_steps=3 * BLOCK, length=np.full((), 3 * BLOCK, np.int32))
    noise = trajectory_of(learner, num_steps=2 * BLOCK, seed=1)
    longer = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b]),
        (full.observation, full.action, full.log_prob, full.reward),
        (noise.observation, noise.action, noise.log_prob, noise.reward),
    )
    flags = [
        jnp.concatenate([x, y & False])
        for x, y in (
            (full.terminated, noise.terminated),
            (full.truncated, noise.truncated),
            (full.mask, noise.mask),
        )
    ]
    padded = Trajectory(longer[0], full.final_observation, *longer[1:], *flags, length=full.length)
    gradients = []
    for trajectory in (full, padded):
        batch, _ = make_batch(algorithm, learner, trajectory)
        gradients.append(descent_direction(algorithm, (learner.actor.policy, None), batch)[0])
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def batch_of(x: Any, num_blocks: Any) -> Batch:
    rest = [jnp.zeros((3, 5)) for _ in range(4)]
    return Batch(x, *rest, mask=jnp.ones((3, 5), bool), num_blocks=num_blocks)


def test_accumulated_blocks_sum_to_the_whole() -> None:
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(3, 5, 2)), jnp.float32)

    def total(w: Any, samples: Batch) -> tuple:
        return ((samples.features @ w) ** 2).sum(), samples.features.sum()

    w = jnp.array([1.0, -2.0])
    for num_blocks, filled in ((jnp.int32(2), 2), (None, 3)):
        gradient, aux = accumulate(total, w, batch_of(x, num_blocks))
        part = x[:filled]
        expected = jax.grad(lambda w, part=part: ((part @ w) ** 2).sum())(w)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5)
        np.testing.assert_allclose(aux, part.sum(), rtol=1e-5)


def test_blocks_that_are_not_filled_are_not_computed() -> None:
    x = jnp.stack([jnp.ones((5, 2)), jnp.full((5, 2), 2.0), jnp.full((5, 2), jnp.nan)])
    found = in_blocks(lambda x: x.sum(-1), (x,), jnp.int32(2))
    np.testing.assert_array_equal(found[:, 0], [2, 4, 0])
