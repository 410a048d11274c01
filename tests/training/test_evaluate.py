"""Evaluation: whole episodes, so many of each environment, fixed before they run."""

from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import uphill
from small_runs import small_ppo, train_small
from uphill.envs.make import EnvironmentChoice, choose
from uphill.envs.worlds import WORLDS
from uphill.envs.worlds.cartpole import CartPole
from uphill.errors import UphillError
from uphill.learning.learner import make_learner, stack_learners, take
from uphill.policies.actions import action_kind_of
from uphill.policies.actor import Actor
from uphill.policies.encodings import encoding_of
from uphill.training import evaluate
from uphill.training.evaluate import Evaluator, evaluate_actors, evaluation_of


def actors_for(choice: EnvironmentChoice, num_seeds: int) -> Actor:
    """Untrained policies, but far from uniform."""
    env = gymnasium.make(choice.env) if isinstance(choice.env, str) else choice.env()
    encoding, kind = encoding_of(env.observation_space), action_kind_of(env.action_space)
    learners = [make_learner(small_ppo(), encoding, kind, s) for s in range(num_seeds)]
    actors = stack_learners(learners).actor
    head = jax.tree.map(lambda x: 400 * x, actors.policy.head)
    return eqx.tree_at(lambda a: a.policy.head, actors, head)


@pytest.mark.parametrize("backend", ["compiled", "envpool", "gymnasium"])
def test_deterministic_returns_are_those_of_gymnasiums_cartpole(backend: Any) -> None:
    choice = choose("CartPole-v1", backend)
    actors = actors_for(choice, 2)
    returns = evaluate_actors(choice, actors, range(2), 12)
    assert returns.shape == (2, 2, 12)
    # An independent evaluation, by hand, of the same policies in Gymnasium's own environment.
    env = gymnasium.make("CartPole-v1")
    for s in range(2):
        actor = jax.tree.map(jnp.asarray, take(actors, s))
        mode = jax.jit(lambda o, actor=actor: actor(o).mode())
        totals = []
        for episode in range(12):
            observation, _ = env.reset(seed=episode)
            total, over = 0.0, False
            while not over:
                observation, reward, terminated, truncated, _ = env.step(int(mode(observation)))
                total, over = total + float(reward), terminated or truncated
            totals.append(total)
        spread = np.hypot(np.std(totals), np.std(returns[0, s])) / np.sqrt(12) + 0.1
        assert abs(returns[0, s].mean() - np.mean(totals)) < 5 * spread


def test_evaluation_repeats_itself() -> None:
    choice = choose("CartPole-v1")
    actors = actors_for(choice, 1)
    evaluator = Evaluator(choice, range(1), 5)
    np.testing.assert_array_equal(evaluator.returns(actors), evaluator.returns(actors))
    np.testing.assert_array_equal(
        evaluate_actors(choice, actors, range(1), 5), evaluator.returns(actors)
    )


@pytest.mark.parametrize("backend", ["compiled", "gymnasium"])
def test_a_seed_is_evaluated_alike_whichever_others_are_beside_it(backend: Any) -> None:
    choice = choose("CartPole-v1", backend)
    actors = actors_for(choice, 2)
    both = evaluate_actors(choice, actors, (7, 8), 4)
    alone = evaluate_actors(choice, jax.tree.map(lambda x: x[1:], actors), (8,), 4)
    np.testing.assert_array_equal(both[:, 1:], alone)
    other = evaluate_actors(choice, jax.tree.map(lambda x: x[1:], actors), (9,), 4)
    assert (other != alone).any()


def test_compiling_apart_changes_nothing_and_serves_every_evaluation() -> None:
    choice = choose("CartPole-v1")
    first, second = actors_for(choice, 2), jax.tree.map(lambda x: -x, actors_for(choice, 2))
    evaluator = Evaluator(choice, range(2), 5)
    evaluator.compile(first)
    took = evaluator.compile_seconds
    assert took > 0
    for actors in (first, second, jax.device_put(first, jax.devices()[-1])):
        expected = evaluate_actors(choice, actors, range(2), 5)
        np.testing.assert_array_equal(evaluator.returns(actors), expected)
    assert evaluator.compile_seconds == took


class Alternating(gymnasium.Env):
    """Each environment's episodes last 1, 30, 1, 30, … steps, and return their number."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    num_episodes = 0
    spec = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.num_episodes += 1
        self.elapsed = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.elapsed += 1
        length = 1 if self.num_episodes % 2 else 30
        ended = self.elapsed == length
        return np.zeros(2, np.float32), float(self.num_episodes) * ended, ended, False, {}


def test_quotas_are_fixed_so_long_episodes_count_as_much_as_short_ones() -> None:
    choice = choose(Alternating)
    returns = evaluate_actors(choice, actors_for(choice, 1), range(1), 25)
    # 25 episodes of 10 environments: five of them run three episodes, five run two.
    for kind in returns[:, 0]:
        assert sorted(kind) == sorted([1.0, 2.0] * 10 + [3.0] * 5)


class Counting(gymnasium.Env):
    """Pays the number of the step, counted since it was made, in episodes that don't end."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    ends_at: int | None = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.elapsed = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.elapsed += 1
        return np.zeros(2, np.float32), float(self.elapsed), self.elapsed == self.ends_at, False, {}


class CountingTo9(Counting):
    ends_at = 9


def test_episodes_without_an_end_are_cut_off_each_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "LONGEST", 4)
    choice = choose(Counting)
    returns = evaluate_actors(choice, actors_for(choice, 1), range(1), 20)
    # Each of ten environments fills two slots: steps 1 to 4, and as it goes on 5 to 8.
    for kind in returns[:, 0]:
        assert sorted(kind) == [10.0] * 10 + [26.0] * 10
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "40 of 40 episodes of the evaluation were cut off after 4 steps" in told
    assert "Counting has no time limit, and max_episode_steps gives it one" in told
    # Where an end comes after the cut, what is left until then is an episode, too.
    choice = choose(CountingTo9)
    returns = evaluate_actors(choice, actors_for(choice, 1), range(1), 40)
    for kind in returns[:, 0]:
        assert sorted(kind) == [9.0] * 10 + [10.0] * 20 + [26.0] * 10
    assert "60 of 80 episodes" in capsys.readouterr().err


def test_cutting_off_is_the_same_in_the_pool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = choose("CartPole-v1", "envpool")
    actors = actors_for(choice, 1)
    whole = evaluate_actors(choice, actors, range(1), 8)
    assert capsys.readouterr().err == ""
    assert whole.min() > 5
    monkeypatch.setattr(evaluate, "_longest", lambda _: 5)
    told: list[str] = []
    cut = evaluate_actors(choice, actors, range(1), 8, told.append)
    np.testing.assert_array_equal(cut, np.full((2, 1, 8), 5.0))
    assert len(told) == 1
    assert "16 of 16 episodes" in told[0]


def test_a_pool_is_not_reset_while_the_episodes_of_another_seed_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []

    class Running:
        """What JAX returns before it is computed: asking for the numbers waits for them."""

        is_over = False

        def __init__(self, *shape: int) -> None:
            self.shape = shape
            started.append(self)

        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            self.is_over = True
            return np.zeros(self.shape, np.float32)

    def in_pool(most: int) -> Any:
        def one(env: Any, actor: Actor, key: Any, *shared: Any) -> tuple:
            assert all(result.is_over for result in started)
            lanes = len(shared[0])
            return Running(lanes, most), Running(lanes), Running(lanes)

        return one

    monkeypatch.setattr(evaluate, "_episodes_in_pool", in_pool)
    choice = choose("CartPole-v1", "envpool")
    evaluate_actors(choice, actors_for(choice, 3), range(3), 2)
    assert len(started) == 9


class Graded(gymnasium.Env):
    """One step; pays the action, so the return says which action it was."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.ones(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return np.ones(2, np.float32), float(action), True, False, {}


def test_deterministic_takes_the_mode_and_stochastic_samples() -> None:
    choice = choose(Graded)
    env = Graded()
    kind = action_kind_of(env.action_space)
    learner = make_learner(small_ppo(), encoding_of(env.observation_space), kind, 0)
    actors = stack_learners([learner]).actor
    returns = evaluate_actors(choice, actors, range(1), 40)
    probabilities = np.asarray(jax.nn.softmax(learner.actor.policy(jnp.ones(2)).logits))
    assert set(returns[0, 0]) == {float(probabilities.argmax())}
    assert len(set(returns[1, 0])) >= 4  # nearly uniform: all but surely


def test_report_says_what_the_interval_is_over() -> None:
    returns = np.arange(12.0).reshape(2, 1, 6)
    one, several = evaluation_of(returns), evaluation_of(returns.reshape(2, 2, 3))
    assert (one["episodes"], one["interval_over"]) == (6, "episodes")
    assert (several["episodes"], several["interval_over"]) == (3, "seeds")
    assert several["deterministic"]["per_seed"] == [1.0, 4.0]
    assert several["stochastic"]["per_seed"] == [7.0, 10.0]


def test_world_that_breaks_in_an_evaluation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(CartPole):
        def reward(self, state: Any, action: Any, next_state: Any) -> Any:
            return jnp.nan * next_state.position

    monkeypatch.setitem(WORLDS, "CartPole-v1", Broken(500, 475.0))
    choice = choose("CartPole-v1")
    with pytest.raises(UphillError, match=r"a reward or an observation .*index 0,"):
        evaluate_actors(choice, actors_for(choice, 1), range(1), 2)


def test_run_of_the_pool_is_trained_and_evaluated(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", seeds=2, backend="envpool", steps=100)
    assert run.summary()["backend"] == "envpool"
    result = uphill.evaluate(run.path, episodes=3)
    assert len(result["deterministic"]["per_seed"]) == 2
    assert 8 <= result["stochastic"]["mean"] <= 100
