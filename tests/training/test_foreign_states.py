"""States that a trainer has not just returned: of other moments, and of other trainers."""

from typing import Any, ClassVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

import uphill
from small_runs import POLICY, small_ppo, train_small
from uphill.errors import UphillError
from uphill.parts import Episodes, NoBaseline, ScoreFunction, Steps
from uphill.training.trainer import Trainer


class Ten(gymnasium.Env):
    """Every episode has ten steps, and earns 10."""

    observation_space: gymnasium.Space = spaces.Box(0, 10, (1,), np.float32)
    action_space: gymnasium.Space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.t += 1
        return np.array([self.t], np.float32), 1.0, self.t == 10, False, {}


def windows(num_envs: int = 1, **changes: Any) -> Any:
    return uphill.a2c(sampling=Steps(num_envs, 7), policy=POLICY, **changes)


def test_an_environment_that_has_moved_on_begins_new_episodes() -> None:
    with Trainer(Ten, windows(), (0,), 1000) as trainer:
        first = trainer.start()
        second, _ = trainer.advance(first, 1)
        for state in (first, second, first):  # the last of them is where the environment is not
            _, rows = trainer.advance(state, 1)
            assert rows["return_sum"].sum() in (0, 10 * rows["num_episodes"].sum())
        state, _ = trainer.advance(second, 2)
        _, rows = trainer.advance(state, 4)  # goes on where it is
    assert rows["num_episodes"].sum() >= 2
    assert rows["return_sum"].sum() == 10 * rows["num_episodes"].sum()


class Breaks(Ten):
    """Its step fails once, when it is told to."""

    fails: ClassVar[bool] = False

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        if self.t == 5 and Breaks.fails:
            Breaks.fails = False
            raise OSError("the arm is stuck")
        return super().step(action)


def test_after_a_failure_new_episodes_begin() -> None:
    Breaks.fails = False
    with Trainer(Breaks, windows(normalize_rewards=True), (0,), 1000) as trainer:
        state, _ = trainer.advance(trainer.start(), 1)
        Breaks.fails = True
        with pytest.raises(UphillError, match="the arm is stuck"):
            trainer.advance(state, 2)
        state, rows = trainer.advance(state, 5)
    assert rows["num_episodes"].sum() >= 3
    assert rows["return_sum"].sum() == 10 * rows["num_episodes"].sum()


def test_a_state_without_environments_begins_new_episodes() -> None:
    def limited() -> gymnasium.Env:
        return gymnasium.wrappers.TimeLimit(Ten(), 50)

    whole = uphill.a2c(sampling=Episodes(1, 1), policy=POLICY)
    with Trainer(limited, whole, (0,), 1000) as trainer:
        state, _ = trainer.advance(trainer.start(), 1)
    with Trainer(limited, windows(), (0,), 1000) as trainer:
        _, rows = trainer.advance(state, 3)
    assert rows["return_sum"].sum() == 10 * rows["num_episodes"].sum() == 20


def test_a_state_of_another_algorithm_is_refused_unless_only_floats_differ() -> None:
    with Trainer("CartPole-v1", windows(2), (0,), 1000) as trainer:
        state = trainer.start()
    for other in (
        windows(2, normalize_observations=not windows().normalize_observations),
        windows(4),
        windows(2, optimizer=optax.sgd(1e-2)),
        small_ppo(sampling=Steps(2, 7)),
        uphill.reinforce(policy=POLICY, normalize_observations=True),
    ):
        with (
            Trainer("CartPole-v1", other, (0,), 1000) as theirs,
            pytest.raises(UphillError, match="state is that of another trainer, whose algorithm"),
        ):
            theirs.advance(state, 1)
    with Trainer("CartPole-v1", windows(2, entropy=0.5), (3,), 1000) as alike:
        assert alike.advance(state, 1)[0].num_updates == 1


def keeping(what: Any) -> Any:
    """A trainer whose baseline keeps this."""

    class Keeps(NoBaseline):
        def init(self, setup: Any, generator: Any) -> Any:
            return what

    return Trainer("CartPole-v1", uphill.reinforce(baseline=Keeps()), (0,), 100)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"a": np.int64(2**40)}, r"has .*1099511627776.*, which 32 bits don't hold: use smaller"),
        ([np.float64(1e300)], "has .*1e.300.*, which 32 bits don't hold"),
        ({"name": "text"}, "has 'text', which is no number"),
        ({"a.b": 1.0, "a": {"b": 5.0}}, r"has two arrays called baseline\.a\.b: use keys without"),
    ],
)
def test_what_a_part_can_keep_is_said_before_training(what: Any, words: str) -> None:
    with (
        keeping(what) as trainer,
        pytest.raises(UphillError, match=rf"^The state of Keeps {words}"),
    ):
        trainer.start()


def test_random_keys_of_jax_are_refused_in_a_sentence() -> None:
    with (
        keeping(jax.random.key(0)) as trainer,
        pytest.raises(UphillError, match=r"^The state of Keeps has a random key of JAX: keep jax"),
    ):
        trainer.start()


def test_states_of_less_than_32_bits_are_saved_and_resumed(tmp_path: Any) -> None:
    optimizer = optax.adamw(1e-2, mu_dtype=jnp.bfloat16)
    run = train_small(tmp_path / "run", small_ppo(optimizer=optimizer), steps=64, episodes=2)
    again = uphill.load(run.path, parts=[optimizer])
    whole = train_small(tmp_path / "whole", small_ppo(optimizer=optimizer), steps=128, episodes=2)
    resumed = uphill.resume(again, steps=128, quiet=True, episodes=2)
    assert resumed.steps == whole.steps
    assert again.policy.act(np.zeros(4, np.float32)) in (0, 1)


class Mean(ScoreFunction):
    """A surrogate of one's own that returns one number for all samples."""

    def __call__(self, sample: Any) -> Any:
        return super().__call__(sample).mean()


def test_a_surrogate_has_a_number_for_each_sample() -> None:
    with (
        Trainer("CartPole-v1", windows(2, surrogate=Mean()), (0,), 100) as trainer,
        pytest.raises(UphillError, match=r"^Mean returned shape \(\): return a number for each of"),
    ):
        trainer.advance(trainer.start(), 1)


def test_steps_of_several_batches_are_taken_as_optax_writes_them() -> None:
    every = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=2)
    with Trainer("CartPole-v1", windows(2, optimizer=every), (0,), 100) as trainer:
        states = [trainer.advance(trainer.start(), 1)[0]]  # which measured the observations
        for _ in range(2):
            states.append(trainer.advance(states[-1], 1)[0])
    first, second, third = (jax.tree.leaves(x.learners.actor.policy) for x in states)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(second, third, strict=True))
