"""Fitting V, on the batch and from a memory, against NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import samples_of, served_of, valid
from trajectories import LINEAR, SETUP

from uphill.parts import SGD, Adam, Replay, ValueFunction
from uphill.parts.memory import Memory
from uphill.parts.value_function import ValueState

RATE = 0.1
KEY = jax.random.key(5)


def state_of(settings: ValueFunction) -> ValueState:
    return jax.tree.map(jnp.asarray, settings.init(SETUP, np.random.default_rng(0)))


def test_v_descends_the_mean_squared_error_of_the_batch() -> None:
    batch = samples_of(np.random.default_rng(0))
    settings = ValueFunction(network=LINEAR, optimizer=SGD(RATE), num_steps=3)
    state = state_of(settings)
    critic = state.critic
    w, b = np.asarray(critic.head.weight[0]), np.asarray(critic.head.bias[0])
    x, target = valid(batch, batch.features), valid(batch, batch.target)
    for _ in range(3):
        error = x @ w + b - target
        w, b = w - RATE * (error @ x) / len(x), b - RATE * error.mean()
    after = settings.learned(state, served_of(batch), KEY).critic
    np.testing.assert_allclose(after.head.weight[0], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.head.bias[0], b, rtol=1e-4, atol=1e-6)


def test_an_optimisers_state_goes_on() -> None:
    batch = samples_of(np.random.default_rng(2))
    settings = ValueFunction(network=LINEAR, optimizer=Adam(RATE), num_steps=2)
    state = state_of(settings)
    for _ in range(2):
        state = settings.learned(state, served_of(batch), KEY)
    once = ValueFunction(network=LINEAR, optimizer=Adam(RATE), num_steps=4)
    at_once = once.learned(state_of(once), served_of(batch), KEY)
    expected = at_once.critic.head.weight
    np.testing.assert_allclose(state.critic.head.weight, expected, rtol=1e-5)


# --- memory -------------------------------------------------------------------------------------


def memory_of(num_filled: int, capacity: int) -> Memory:
    """What is not filled holds NaN."""
    generator = np.random.default_rng(3)

    def numbers(*shape: int) -> jax.Array:
        x = generator.normal(size=(capacity, *shape)).astype(np.float32)
        return jnp.asarray(x).at[num_filled:].set(jnp.nan)

    terminated = jnp.asarray(generator.random(capacity) < 0.4)
    rows = (numbers(3), numbers(3), numbers(), terminated, numbers())
    return Memory(*rows, count=jnp.uint32(num_filled))


def from_memory(
    settings: ValueFunction, state: ValueState, memory: Memory, scale: float
) -> ValueState:
    """The state after steps on what this memory holds."""
    state = ValueState(state.critic, state.optimizer, memory)
    batch = samples_of(np.random.default_rng(0))
    after = settings.learned(state, served_of(batch, scale), KEY)
    jax.tree.map(np.testing.assert_array_equal, after.memory, memory)
    return after


@pytest.mark.parametrize("targets", ["td", "monte-carlo"])
@pytest.mark.parametrize("num_filled", [4, 10])
def test_v_learns_from_filled_slots_with_a_target_of_its_own(targets: str, num_filled: int) -> None:
    """Against NumPy, for the slots that are drawn; a termination has no value after it."""
    gamma = 0.9
    settings = ValueFunction(
        network=LINEAR, targets=targets, optimizer=SGD(RATE), num_steps=3, replay=Replay(10, 16)
    )
    memory, state = memory_of(num_filled, 10), state_of(settings)
    critic = state.critic
    w, b = np.asarray(critic.head.weight[0]), np.asarray(critic.head.bias[0])
    for step in range(3):
        i = np.asarray(jax.random.randint(jax.random.fold_in(KEY, step), (16,), 0, num_filled))
        x, following = (
            2.0 * np.asarray(y)[i] for y in (memory.observation, memory.next_observation)
        )
        ahead = np.where(np.asarray(memory.terminated)[i], 0.0, following @ w + b)
        target = np.asarray(memory.reward)[i] + gamma * ahead
        if targets == "monte-carlo":
            target = np.asarray(memory.reward_to_go)[i]
        error = x @ w + b - target
        w, b = w - RATE * (error @ x) / 16, b - RATE * error.mean()
    after = from_memory(settings, state, memory, 2.0).critic
    np.testing.assert_allclose(after.head.weight[0], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.head.bias[0], b, rtol=1e-4, atol=1e-6)


def test_nothing_beyond_what_is_filled_is_ever_drawn() -> None:
    settings = ValueFunction(
        network=LINEAR, targets="td", optimizer=SGD(RATE), num_steps=50, replay=Replay(100, 64)
    )
    state = state_of(settings)
    after = from_memory(settings, state, memory_of(1, 100), 1.0).critic
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(after))
    assert not eqx.tree_equal(after, state.critic)
