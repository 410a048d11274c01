"""The memory of transitions, against a deque and plain loops."""

from collections import deque

import equinox as eqx
import jax
import numpy as np
import pytest
from trajectories import LINEAR, LINEAR_POLICY, QUOTA, episodes_of, learner_of, pieces, served

from uphill.parts import SGD, Replay, RewardToGo, ValueFunction
from uphill.parts.algorithms import vpg
from uphill.parts.memory import empty_memory, with_transitions

GAMMA = 0.9


@pytest.mark.parametrize(
    ("capacity", "num_steps", "seen"),
    [(7, 2, 0), (7, 12, 0), (50, 3, 0), (1, 4, 0), (7, 12, 2**31 - 40), (50, 3, 2**31 - 2)],
)
def test_a_memory_is_a_ring_of_the_last_transitions(
    capacity: int, num_steps: int, seen: int
) -> None:
    """Against a deque; also with more transitions at once than there is room for, and where 32 bits
    would not count them all."""
    generator = np.random.default_rng(capacity)
    memory, expected = empty_memory(capacity, 2), deque(maxlen=capacity)
    memory = eqx.tree_at(lambda x: x.count, memory, np.array(seen, np.uint32))
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
    counted = int(memory.count)
    if seen < 2**31:
        assert counted == seen
    else:
        assert capacity <= counted < 2**31
        assert counted % capacity == seen % capacity
    found = (memory.observation, memory.next_observation, memory.reward, memory.terminated)
    found = (*found, memory.reward_to_go)
    for k, transition in enumerate(expected):
        slot = (seen - len(expected) + k) % capacity
        for array, value in zip(found, transition, strict=True):
            np.testing.assert_array_equal(array[slot], value)


def test_trap_02_a_memory_holds_what_each_transition_led_to() -> None:
    baseline = ValueFunction(network=LINEAR, targets="td", optimizer=SGD(0.1), replay=Replay(100))
    algorithm = vpg(
        policy=LINEAR_POLICY, estimator=RewardToGo(GAMMA), baseline=baseline, sampling=QUOTA
    )
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    memory = served(algorithm, learner, trajectory).parts.baseline.memory
    count = int(trajectory.mask.sum())
    assert memory.count == count
    rows = np.argwhere(np.asarray(trajectory.mask))
    is_last = 0
    for k, (t, n) in enumerate(rows):
        np.testing.assert_array_equal(memory.observation[k], trajectory.observation[t, n])
        is_last += t == 31
        led_to = trajectory.final_observation[n] if t == 31 else trajectory.observation[t + 1, n]
        np.testing.assert_array_equal(memory.next_observation[k], led_to)
        assert memory.terminated[k] == trajectory.terminated[t, n]
        assert memory.reward[k] == trajectory.reward[t, n]
    assert is_last == 1  # the row after it was never filled
    to_go = {
        (t, n): sum(GAMMA**i * r for i, r in enumerate(np.asarray(trajectory.reward)[piece[k:], n]))
        for n, piece in pieces(trajectory)
        for k, t in enumerate(piece)
    }
    expected = [to_go[t, n] for t, n in rows]
    np.testing.assert_allclose(memory.reward_to_go[:count], expected, rtol=1e-4, atol=1e-5)
    assert not memory.reward[count:].any()
