"""The pure core: what a trainer repeats, under the transformations of JAX."""

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from uphill import functional
from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError
from uphill.functional import State, stack, start, step
from uphill.parts import GAE, Adam, Algorithm, ClippedRatio, Episodes, PolicySettings, Steps
from uphill.training.trainer import Trainer

LANES = 64
UPDATES = 3


def ppo(learning_rate: Any, gamma: Any, lam: Any, epsilon: Any, entropy: Any) -> Algorithm:
    return uphill.ppo(
        policy=PolicySettings(hidden=(8,)),
        sampling=Steps(num_envs=2, num_steps=16),
        estimator=GAE(gamma=gamma, lam=lam),
        surrogate=ClippedRatio(epsilon),
        optimizer=Adam(learning_rate),
        entropy=entropy,
        num_epochs=2,
        num_minibatches=2,
    )


def floats_of_lanes() -> tuple[np.ndarray, ...]:
    ends = ((1e-4, 1e-2), (0.9, 0.99), (0.5, 1.0), (0.1, 0.3), (0.0, 0.1))
    return tuple(np.linspace(a, b, LANES, dtype=np.float32) for a, b in ends)


def train(floats: tuple, state: State) -> tuple[State, dict[str, jax.Array]]:
    algorithm = ppo(*floats)
    return jax.lax.scan(
        lambda state, _: step("CartPole-v1", algorithm, state), state, length=UPDATES
    )


def test_a_lane_of_many_learns_what_a_trainer_does() -> None:
    """To rounding: in one batch of lanes sums are in another order."""
    floats = floats_of_lanes()
    states = stack([start("CartPole-v1", ppo(0.0, 0.9, 0.9, 0.2, 0.0), s) for s in range(LANES)])
    after, metrics = jax.jit(jax.vmap(train))(floats, states)
    lane = 41
    algorithm = ppo(*(float(x[lane]) for x in floats))
    trainer = Trainer(choose("CartPole-v1"), algorithm, (lane,), 10**6, measure_every=UPDATES)
    state, rows = trainer.advance(trainer.start(), UPDATES)
    tolerance = {"rtol": 1e-3, "atol": 1e-5}
    ours, theirs = (
        jax.tree.leaves(x) for x in (jax.tree.map(lambda x: x[lane], after.learner), state.learners)
    )
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y[0], **tolerance)
    for name, values in metrics.items():
        np.testing.assert_allclose(values[lane], rows[name][:, 0], **tolerance, err_msg=name)
    assert (metrics["num_transitions"] <= 32).all()
    assert (metrics["num_transitions"] > 16).all()
    assert not metrics["bad_learner"].any()


def test_whole_episodes_carry_no_environments() -> None:
    world = WORLDS["CartPole-v1"]
    algorithm = uphill.reinforce(policy=PolicySettings(hidden=(8,)), sampling=Episodes(4))
    state = start(world, algorithm, 3)
    assert state.lanes is None
    after, metrics = jax.jit(lambda state: step(world, algorithm, state))(state)
    assert metrics["num_episodes"] == 4
    assert metrics["length_sum"] == metrics["num_transitions"] == after.learner.num_transitions


def test_schedules_go_by_the_steps_that_are_given() -> None:
    algorithm = uphill.reinforce(
        policy=PolicySettings(hidden=(8,)),
        sampling=Steps(2, 16),
        mean_over="steps",
        optimizer=Adam("linear:1e-2:0"),
    )
    state = start("CartPole-v1", algorithm)
    with pytest.raises(UphillError, match=r"optimizer\.learning_rate of the algorithm changes"):
        step("CartPole-v1", algorithm, state)
    learn = jax.jit(lambda state, num_steps: step("CartPole-v1", algorithm, state, num_steps)[0])
    first, _ = step("CartPole-v1", algorithm, state, 64)
    done = int(first.learner.num_transitions)
    whole = _distance(first, learn(first, jnp.uint32(10**9)))
    assert whole > 0.01
    for num_steps, share in ((2 * done, 0.5), (4 * done, 0.75), (done, 0.0)):
        moved = _distance(first, learn(first, jnp.uint32(num_steps)))
        np.testing.assert_allclose(moved, share * whole, rtol=1e-3, atol=1e-6)


def _distance(first: State, second: State) -> float:
    weights = (x.learner.actor.policy.head.weight for x in (first, second))
    return float(np.abs(np.subtract(*map(np.asarray, weights))).sum())


def test_other_environments_are_no_pure_functions() -> None:
    with pytest.raises(UphillError, match="world is 'LunarLander-v3', and only compiled worlds"):
        start("LunarLander-v3", uphill.ppo())


def test_wrong_arguments_are_one_sentence_each() -> None:
    code = """
import uphill
from uphill.functional import stack, start, step
algorithm = uphill.a2c(optimizer=uphill.parts.Adam(1e-3))
state = start("CartPole-v1", algorithm)
for wrong in (
    lambda: start("CartPole-v1", "a2c"),
    lambda: start("CartPole-v1", uphill.a2c),
    lambda: start(3, algorithm),
    lambda: start("CartPole-v1", algorithm, -1),
    lambda: start("CartPole-v1", algorithm, "1"),
    lambda: step("CartPole-v1", algorithm, 3),
    lambda: step("Pendulum-v1", algorithm, state),
    lambda: stack([]),
    lambda: stack([state, start("Pendulum-v1", algorithm)]),
):
    try:
        wrong()
    except uphill.UphillError as error:
        print(error)
"""
    # In a process without the type checker: users have none.
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [said.partition(":")[0] for said in done.stdout.splitlines()] == [
        "algorithm is 'a2c'",
        "algorithm is a2c",
        "world is 3",
        "seed is -1",
        "seed is '1'",
        "state is 'int'",
        "state is that of another world",
        *["states is empty, or its states have different structures"] * 2,
    ]


@pytest.mark.parametrize("wrong", [0, -5, float("nan"), "64", True, np.array([100, 200])])
def test_schedules_run_over_a_number_of_steps(wrong: Any) -> None:
    check: Any = functional._check_num_steps
    with pytest.raises(UphillError, match=r"^num_steps is .*: use a number of at least 1\.$"):
        check(wrong)
    check(np.int64(1))
    jax.jit(check)(jnp.int32(0))  # what is traced is known later


def test_a_state_of_another_sampling_is_refused() -> None:
    state = start("CartPole-v1", uphill.a2c(sampling=Steps(2, 4)))
    for other in (Steps(3, 4), Episodes(2, 1)):
        with pytest.raises(UphillError, match="state is that of another sampling"):
            step("CartPole-v1", uphill.a2c(sampling=other), state, 64)
