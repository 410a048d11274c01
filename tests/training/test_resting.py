"""A seed of which no more is wanted rests, and the others learn what they would have."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from small_runs import small_ppo
from uphill.envs.make import choose
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer


def test_a_seed_that_rests_stays_and_the_others_learn_the_same() -> None:
    trainer = Trainer(choose("CartPole-v1"), small_ppo(), (0, 1, 2), 320)
    whole, _ = trainer.advance(trainer.start(), 4)
    half, _ = trainer.advance(trainer.start(), 2)
    after, rows = trainer.advance(replace(half, resting=frozenset({1})), 2)
    assert after.num_transitions == tuple(
        (half if s == 1 else whole).num_transitions[s] for s in range(3)
    )
    assert rows["updated"].tolist() == [[1, 0, 1], [1, 0, 1]]
    for found, expected, before in zip(*map(numbers, (after, whole, half)), strict=True):
        np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
        np.testing.assert_array_equal(found[1], before[1])
    assert not trainer.is_done(after)
    assert trainer.is_done(replace(after, resting=frozenset({0, 1, 2})))
    trainer.close()


def numbers(state: TrainState) -> list[np.ndarray]:
    def plain(x: Any) -> np.ndarray:
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    return [plain(x) for x in jax.tree.leaves((state.learners, state.lanes))]
