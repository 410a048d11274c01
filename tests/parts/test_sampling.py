"""Samplings, and those of a user's own."""

from typing import Any

import equinox as eqx
import numpy as np
import pytest

from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.parts import Adam, PolicySettings
from uphill.parts.algorithms import reinforce
from uphill.parts.sampling import Sampling, WholeEpisodes, Windows, num_blocks
from uphill.training.trainer import Trainer
from uphill.trajectory import BLOCK


class Budget(Windows):
    """As many steps as fit a budget."""

    num_envs: int = eqx.field(static=True, default=4)
    budget: int = eqx.field(static=True, default=48)

    @property
    def num_steps(self) -> int:
        return self.budget // self.num_envs


class Several(WholeEpisodes):
    """So many episodes in all."""

    num_envs: int = eqx.field(static=True, default=2)
    total: int = eqx.field(static=True, default=4)

    @property
    def per_env(self) -> int:
        return self.total // self.num_envs


@pytest.mark.parametrize("backend", ["compiled", "envpool", "gymnasium"])
def test_a_sampling_of_ones_own_is_collected_wherever_environments_are(backend: Any) -> None:
    for sampling in (Budget(), Several()):
        algorithm = reinforce(
            policy=PolicySettings(hidden=(8,)),
            sampling=sampling,
            mean_over="steps",
            optimizer=Adam(1e-2),
        )
        trainer = Trainer(choose("CartPole-v1", backend), algorithm, (0,), 10**6)
        state, rows = trainer.advance(trainer.start(), 2)
        trainer.close()
        assert state.num_updates == 2
        if sampling.has_whole_episodes:
            np.testing.assert_array_equal(rows["num_episodes"], 4)
            np.testing.assert_array_equal(rows["length_sum"], rows["num_transitions"])
        else:
            assert (rows["num_transitions"] <= 48).all()
            assert (rows["num_transitions"] > 40).all()


class Neither(Sampling):
    num_envs: int = eqx.field(static=True, default=4)

    def num_rows(self, max_episode_steps: int | None) -> int:
        return 3

    def most_transitions(self, max_episode_steps: int | None) -> int:
        return 12


def test_what_no_collector_knows_is_refused() -> None:
    with pytest.raises(UphillError, match="Neither is a sampling that no collector knows: derive"):
        Neither()


class Traced(Windows):
    num_envs: int = 4
    num_steps: int = eqx.field(static=True, default=8)


def test_sizes_are_static() -> None:
    with pytest.raises(UphillError, match=r"num_envs of Traced .* equinox.field\(static=True\)"):
        Traced()


@pytest.mark.parametrize("per_env", [1, 2, 5])
@pytest.mark.parametrize("limit", [1, 15, 31, 32, 500])
def test_blocks_hold_every_quota_and_not_a_block_more(per_env: int, limit: int) -> None:
    rows = num_blocks(per_env, limit) * BLOCK
    longest = per_env * (limit + 1)
    assert longest <= rows < longest + BLOCK
