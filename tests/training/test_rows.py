"""Rows of numbers, packed inside a program and unpacked outside."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from trajectories import LINEAR_POLICY, WINDOW, learner_of, trajectory_of

from uphill.learning.learner import networks_of
from uphill.parts.algorithms import reinforce
from uphill.policies.encodings import encoding_of
from uphill.training.rows import concatenate, numbers_of, pack, unpack
from uphill.trajectory import EpisodeStatistics

ROW = {
    "whole": jnp.int32(-1),
    "large": jnp.int32(2**31 - 1),
    "count": jnp.uint32(2**32 - 1),
    "real": jnp.float32(-0.1),
    "nothing": jnp.float32(jnp.nan),
    "yes": jnp.array(True),
    "no": jnp.array(False),
}


def nothing_ended(reached: dict[str, jax.Array]) -> EpisodeStatistics:
    none, zero = jnp.int32(0), jnp.float32(0)
    return EpisodeStatistics(none, zero, none, zero, reached)


def test_what_is_packed_comes_out_to_the_bit() -> None:
    rows = unpack(jax.jit(pack)(ROW))
    for name, value in ROW.items():
        assert rows[name].dtype == value.dtype
        np.testing.assert_array_equal(rows[name], value, err_msg=name)


def test_packed_rows_keep_their_axes() -> None:
    table = unpack(jax.vmap(jax.vmap(lambda x: pack({"x": x, "y": x > 2})))(jnp.eye(3) * 3))
    np.testing.assert_array_equal(table["x"], np.eye(3) * 3)
    np.testing.assert_array_equal(table["y"], np.eye(3) > 0)


def test_rows_of_several_chunks_are_those_of_one() -> None:
    rows = {"a": np.arange(3), "b": np.arange(6.0).reshape(3, 2)}
    whole = None
    for i in range(3):
        whole = concatenate(whole, {name: column[i : i + 1] for name, column in rows.items()})
    assert whole is not None
    for name, column in rows.items():
        np.testing.assert_array_equal(whole[name], column)


def test_a_row_names_the_first_step_that_is_not_finite() -> None:
    algorithm = reinforce(policy=LINEAR_POLICY, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    fine = trajectory_of(learner)
    mask = fine.mask.at[1, 0].set(False)
    episodes = nothing_ended({"lap": jnp.int32(2)})

    def row(reward: jax.Array, observation: jax.Array) -> dict[str, np.ndarray]:
        parts = (reward, observation, mask)
        trajectory = eqx.tree_at(lambda t: (t.reward, t.observation, t.mask), fine, parts)
        return unpack(pack(numbers_of({}, trajectory, episodes, networks_of(algorithm, learner))))

    good = row(fine.reward, fine.observation)
    assert (good["bad_reward"], good["bad_observation"], good["bad_learner"]) == (-1, -1, False)
    assert good["num_transitions"] == mask.sum()
    assert good["reached:lap"] == 2
    # A reward that is masked out does not count: row 1 of lane 0 is a reset.
    bad = row(fine.reward.at[1, 0].set(jnp.nan).at[3, 1].set(jnp.inf), fine.observation)
    assert bad["bad_reward"] == 3
    # Row k is what step k − 1 returned.
    assert row(fine.reward, fine.observation.at[4, 0, 0].set(jnp.nan))["bad_observation"] == 3


def test_a_row_names_the_first_step_with_what_is_no_category() -> None:
    algorithm = reinforce(policy=LINEAR_POLICY, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    fine = trajectory_of(learner)
    networks, encoding = (
        networks_of(algorithm, learner),
        encoding_of(spaces.Box(0, 255, (3, 3, 3), np.uint8), 3),
    )
    steps, lanes = fine.mask.shape
    images = jnp.full((steps, lanes, 3, 3, 3), 2, jnp.uint8)

    def first_bad(observation: jax.Array, final: jax.Array) -> int:
        parts = (observation, final)
        trajectory = eqx.tree_at(lambda t: (t.observation, t.final_observation), fine, parts)
        nothing = nothing_ended({})
        return int(numbers_of({}, trajectory, nothing, networks, encoding)["bad_observation"])

    assert first_bad(images, images[0]) == -1
    assert first_bad(images.at[4, 0, 1, 1, 0].set(3), images[0]) == 3
    assert first_bad(images, images[0].at[1, 2, 2, 2].set(9)) == steps - 1


def test_a_network_with_a_nan_is_seen() -> None:
    algorithm = reinforce(policy=LINEAR_POLICY, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    episodes = nothing_ended({})
    head = learner.actor.policy.head
    for name in ("weight", "bias"):
        broken = jnp.full_like(getattr(head, name), jnp.nan)
        after = eqx.tree_at(lambda x, n=name: getattr(x.actor.policy.head, n), learner, broken)
        networks = networks_of(algorithm, after)
        assert unpack(pack(numbers_of({}, trajectory, episodes, networks)))["bad_learner"]


def test_a_metric_without_a_group_is_logged_all_the_same() -> None:
    algorithm = reinforce(policy=LINEAR_POLICY, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    metrics = {"mine": jnp.float32(2), "a/b": jnp.float32(3)}
    networks, fine = networks_of(algorithm, learner), trajectory_of(learner)
    numbers = numbers_of(metrics, fine, nothing_ended({}), networks)
    assert (numbers["own/mine"], numbers["a/b"]) == (2, 3)
    assert "mine" not in numbers
