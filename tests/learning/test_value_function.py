"""Fitting V and Q, and the memory of transitions, against NumPy and a deque."""

from collections import deque
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import ACTIONS, ENCODING, LINEAR
from uphill.learning.value_function import (
    Memory,
    empty_memory,
    fit,
    fit_action_value,
    fit_from_memory,
    with_transitions,
)

from uphill.batch import Batch
from uphill.learning.learner import initial_state
from uphill.parts import SGD, ActionValue, Adam, Replay, ValueFunction
from uphill.policies.policy import Critic, make_action_critic, make_critic

RATE = 0.1


def samples_of(generator: np.random.Generator) -> Batch:
    """Two blocks of six; the second is not all valid, a third not filled."""
    shape = (3, 6)
    numbers = [jnp.asarray(generator.normal(size=shape), jnp.float32) for _ in range(4)]
    features = jnp.asarray(generator.normal(size=(*shape, 3)), jnp.float32)
    action = jnp.asarray(generator.integers(0, 2, shape))
    mask = jnp.asarray(np.arange(18).reshape(shape) < 10)
    old_log_prob, advantage, target, q_target = numbers
    rows = (features, action, old_log_prob, advantage, target, mask, q_target)
    return Batch(*rows, num_blocks=jnp.int32(2))


def valid(batch: Batch, x: Any) -> np.ndarray:
    return np.asarray(x)[:2][np.asarray(batch.mask)[:2]]


def critic_of() -> Critic:
    critic = make_critic(LINEAR, ENCODING, np.random.default_rng(0))
    return jax.tree.map(jnp.asarray, critic)


def test_v_descends_the_mean_squared_error_of_the_batch() -> None:
    batch = samples_of(np.random.default_rng(0))
    critic = critic_of()
    w, b = np.asarray(critic.head.weight[0]), np.asarray(critic.head.bias[0])
    x, target = valid(batch, batch.features), valid(batch, batch.target)
    for _ in range(3):
        error = x @ w + b - target
        w, b = w - RATE * (error @ x) / len(x), b - RATE * error.mean()
    settings = ValueFunction(network=LINEAR, optimizer=SGD(RATE), num_steps=3)
    state = initial_state(settings.optimizer, critic)
    after, _ = fit(settings, critic, state, batch)
    np.testing.assert_allclose(after.head.weight[0], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.head.bias[0], b, rtol=1e-4, atol=1e-6)


def test_q_descends_the_mean_squared_error_of_the_actions_that_were_taken() -> None:
    batch = samples_of(np.random.default_rng(1))
    settings = ActionValue(network=LINEAR, optimizer=SGD(RATE), num_steps=2)
    made = make_action_critic(LINEAR, ENCODING, ACTIONS, np.random.default_rng(0))
    action_critic = jax.tree.map(jnp.asarray, made)
    head = action_critic.network.head
    w, b = np.array(head.weight), np.array(head.bias)
    x, action = valid(batch, batch.features), valid(batch, batch.action)
    target = valid(batch, batch.action_target)
    for _ in range(2):
        error = (x @ w.T + b)[np.arange(len(x)), action] - target
        for a in (0, 1):
            chosen = action == a
            w[a] -= RATE * (error[chosen] @ x[chosen]) / len(x)
            b[a] -= RATE * error[chosen].sum() / len(x)
    state = initial_state(settings.optimizer, action_critic)
    after, _ = fit_action_value(settings, action_critic, state, batch)
    np.testing.assert_allclose(after.network.head.weight, w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.network.head.bias, b, rtol=1e-4, atol=1e-6)


def test_an_optimisers_state_goes_on() -> None:
    batch = samples_of(np.random.default_rng(2))
    settings = ValueFunction(network=LINEAR, optimizer=Adam(RATE), num_steps=2)
    critic = critic_of()
    state = initial_state(settings.optimizer, critic)
    for _ in range(2):
        critic, state = fit(settings, critic, state, batch)
    once = ValueFunction(network=LINEAR, optimizer=Adam(RATE), num_steps=4)
    at_once, _ = fit(once, critic_of(), initial_state(once.optimizer, critic_of()), batch)
    np.testing.assert_allclose(critic.head.weight, at_once.head.weight, rtol=1e-5)


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("capacity", "num_steps"), [(7, 2), (7, 12), (50, 3), (1, 4)])
def test_a_memory_is_a_ring_of_the_last_transitions(capacity: int, num_steps: int) -> None:
    """Against a deque; also with more transitions at once than there is room for."""
    generator = np.random.default_rng(capacity)
    memory, expected, seen = empty_memory(capacity, 2), deque(maxlen=capacity), 0
    add = jax.jit(with_transitions)
    for _ in range(4):
        observation, following = generator.normal(size=(2, num_steps, 3, 2)).astype(np.float32)
        reward, to_go = generator.normal(size=(2, num_steps, 3)).astype(np.float32)
        terminated = generator.random((num_steps, 3)) < 0.3
        mask = generator.random((num_steps, 3)) < 0.7
        rows = (observation, following, reward, terminated, to_go)
        memory = add(memory, rows, mask)
        expected.extend(zip(*(x[mask] for x in rows), strict=True))
        seen += int(mask.sum())
    assert memory.count == seen
    found = (memory.observation, memory.next_observation, memory.reward, memory.terminated)
    found = (*found, memory.reward_to_go)
    for k, transition in enumerate(expected):
        slot = (seen - len(expected) + k) % capacity
        for array, value in zip(found, transition, strict=True):
            np.testing.assert_array_equal(array[slot], value)


def memory_of(num_filled: int, capacity: int) -> Memory:
    """What is not filled holds NaN."""
    generator = np.random.default_rng(3)

    def numbers(*shape: int) -> jax.Array:
        x = generator.normal(size=(capacity, *shape)).astype(np.float32)
        return jnp.asarray(x).at[num_filled:].set(jnp.nan)

    terminated = jnp.asarray(generator.random(capacity) < 0.4)
    rows = (numbers(3), numbers(3), numbers(), terminated, numbers())
    return Memory(*rows, count=jnp.uint32(num_filled))


@pytest.mark.parametrize("targets", ["td", "monte-carlo"])
@pytest.mark.parametrize("num_filled", [4, 10])
def test_v_learns_from_filled_slots_with_a_target_of_its_own(targets: str, num_filled: int) -> None:
    """Against NumPy, for the slots that are drawn; a termination has no value after it."""
    gamma, key = 0.9, jax.random.key(5)
    settings = ValueFunction(
        network=LINEAR, targets=targets, optimizer=SGD(RATE), num_steps=3, replay=Replay(10, 16)
    )
    memory, critic = memory_of(num_filled, 10), critic_of()
    w, b = np.asarray(critic.head.weight[0]), np.asarray(critic.head.bias[0])
    for step in range(3):
        i = np.asarray(jax.random.randint(jax.random.fold_in(key, step), (16,), 0, num_filled))
        x, following = (
            2.0 * np.asarray(y)[i] for y in (memory.observation, memory.next_observation)
        )
        ahead = np.where(np.asarray(memory.terminated)[i], 0.0, following @ w + b)
        target = np.asarray(memory.reward)[i] + gamma * ahead
        if targets == "monte-carlo":
            target = np.asarray(memory.reward_to_go)[i]
        error = x @ w + b - target
        w, b = w - RATE * (error @ x) / 16, b - RATE * error.mean()
    state = initial_state(settings.optimizer, critic)
    after, _ = fit_from_memory(settings, critic, state, memory, lambda x: 2.0 * x, gamma, key)
    np.testing.assert_allclose(after.head.weight[0], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.head.bias[0], b, rtol=1e-4, atol=1e-6)


def test_nothing_beyond_what_is_filled_is_ever_drawn() -> None:
    settings = ValueFunction(
        network=LINEAR, targets="td", optimizer=SGD(RATE), num_steps=50, replay=Replay(100, 64)
    )
    critic = critic_of()
    state = initial_state(settings.optimizer, critic)
    memory = memory_of(1, 100)
    after, _ = fit_from_memory(settings, critic, state, memory, lambda x: x, 0.9, jax.random.key(0))
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(after))
    assert not eqx.tree_equal(after, critic)
