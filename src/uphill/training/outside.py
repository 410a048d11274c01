"""Training in environments outside the compiled program, EnvPool's and Python's: collect, then
update."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

from uphill.collecting.border import AsSeen
from uphill.collecting.compiled import collect, split_keys
from uphill.collecting.host import collect_on_host, shapes_on_host
from uphill.collecting.lanes import Keys, Lanes, start_lanes, statistics
from uphill.learning.counting import Count, count_of
from uphill.learning.learner import Learner
from uphill.parts import Algorithm
from uphill.policies.actor import Actor
from uphill.training.guard import has_fault
from uphill.training.keys import acting_keys, keys_of
from uphill.training.programs import Built, Programs
from uphill.training.rows import PackedRows, pack, stacked, unpack
from uphill.training.seeds import (
    Population,
    act_by_seed,
    gathered,
    lanes_by_seed,
    over_seeds,
    split_lanes,
)
from uphill.training.state import Chunk, Foresee, idle_like
from uphill.training.step import algorithm_now, learn
from uphill.trajectory import Array, Trajectory

LARGEST_KEPT = 2**26
"""Bytes of what updates began with that are kept until those are looked at."""
Counters = tuple[Any, Count]
"""The updates and the transitions of every seed"""


class Outside(ABC):
    """Updates one by one. Seeds learn on separate devices; their environments are one pool."""

    env: Any
    most_ahead: ClassVar[int]
    """Updates that may be begun before what one said of itself is looked at"""

    def __init__(self, seeds: Population, programs: Programs, foresee: Foresee) -> None:
        self.seeds, self._programs, self._foresee = seeds, programs, foresee
        self._latest: Lanes | None = None
        """where the environments were last seen"""
        self._is_there = False
        """whether they still are there"""

    @abstractmethod
    def reset(self) -> Lanes:
        """All seeds' environments, started afresh."""

    @abstractmethod
    def shapes(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        """The shapes of what `collect` returns, known before it is called the first time."""

    @abstractmethod
    def collect(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        """Lanes, a trajectory and the finished episodes, of all seeds' lanes side by side."""

    def start_lanes(self) -> Lanes | None:
        """What the first update starts from."""
        if self.seeds.algorithms.sampling.has_whole_episodes:
            return None
        lanes, self._is_there = self._started_anew(), True
        return lanes

    def advance(self, learners: Learner, lanes: Lanes | None, num_updates: int) -> Chunk:
        """Learners and lanes after some updates, a row for each update, and the input of the last
        one; fewer updates if one has a non-finite number.

        Rows are looked at in groups, each while the next one runs: to wait for an update, and be
        woken, may take a tenth of the time of a small one.

        The environments are where the last call left them. From the state of another moment, or of
        another trainer, learning goes on in new episodes."""
        has_whole_episodes = self.seeds.algorithms.sampling.has_whole_episodes
        if not (has_whole_episodes or (self._is_there and _is_same(lanes, self._latest))):
            lanes = self._started_anew()
            learners = eqx.tree_at(lambda x: x.scales, learners, learners.scales.at_a_reset())
        rows: list[PackedRows] = []
        looked, group, befores = 0, 1, deque[tuple[Learner, Trajectory]]()
        for _ in range(num_updates):
            if has_whole_episodes:
                lanes = self._started_anew()
            actors, *counters = gathered((learners.actor, learners.num_updates, learners.steps))
            assert lanes is not None
            collecting = (actors, tuple(counters), lanes, self.seeds.keys)
            if "update" not in self._programs:  # compiled while the first batch is collected
                _, trajectory, finished = self.shapes(*collecting)
                after, _ = self._programs.begin(*self._program(learners, trajectory, finished))
                self._foresee((learners, trajectory), after)
            self._is_there = False  # until it is done: it may be interrupted
            collected = self.collect(*collecting)
            lanes, trajectory, finished = gathered(collected)
            self._latest, self._is_there = lanes, True
            befores.append((learners, trajectory))
            if not rows and self.most_ahead:
                group = max(1, min(self.most_ahead, LARGEST_KEPT // (2 * _size(befores[0]))))
            learners, row = self._programs.call(*self._program(learners, trajectory, finished))
            rows.append(row)
            if len(rows) - looked < group + min(group, self.most_ahead):
                continue
            if has_fault(stacked(rows[looked : looked + group])):
                break
            looked += group
            while len(befores) > max(1, len(rows) - looked):
                befores.popleft()
        lanes = None if has_whole_episodes else lanes
        return Chunk(learners, lanes, unpack(stacked(rows)), tuple(befores))

    @staticmethod
    def by_seed(trajectory: Trajectory, num_seeds: int) -> Trajectory:
        """A trajectory with a leading axis for the seeds."""
        return split_lanes(trajectory, num_seeds)

    def episodes(self, actor: Actor, key: Keys) -> Trajectory:
        """Whole episodes of one actor, or whatever the sampling asks for."""
        jax.block_until_ready(actor)
        self._is_there = False
        actors = jax.tree.map(lambda x: jnp.asarray(x)[None], actor)
        counters = (jnp.zeros(1, jnp.int32), count_of([0]))
        collected = self.collect(actors, counters, self._started_anew(), key[None])
        self._latest, trajectory, _ = collected
        return trajectory

    def close(self) -> None:
        """Stop the environments."""
        self.env.close()

    def _started_anew(self) -> Lanes:
        # A pool must not be reset while the program that steps it is still running.
        jax.block_until_ready(self._latest)
        self._latest = self.reset()
        return self._latest

    def _program(self, learners: Learner, trajectory: Trajectory, finished: Any) -> tuple:
        """Every seed's update: its name, the function, and what it is called with."""
        seeds = self.seeds
        own = (seeds.algorithms, learners, trajectory, finished, seeds.keys)
        return "update", Built(_updates, (seeds.num_seeds,)), seeds.num_steps, *own


class Pool(Outside):
    """Environments of EnvPool, which a compiled program steps."""

    most_ahead = 8  # so that the next programs are begun while this one runs

    def __init__(self, env: Any, seeds: Population, programs: Programs, foresee: Foresee) -> None:
        super().__init__(seeds, programs, foresee)
        self.env = env

    def reset(self) -> Lanes:
        return start_lanes(*self.env.reset())

    def shapes(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        return self._programs.begin(*self._collecting(actors, counters, lanes, keys))

    def collect(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        return self._programs.call(*self._collecting(actors, counters, lanes, keys))

    def _collecting(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        num_seeds = self.seeds.num_seeds

        def run(
            num_steps: Count,
            algorithms: Algorithm,
            actors: Actor,
            counters: Counters,
            lanes: Lanes,
            keys: Keys,
        ) -> tuple:
            num_updates, done = counters
            uniform = _uniform_by_seed(algorithms, num_steps, done)
            act = act_by_seed(actors, uniform, num_seeds)
            key = acting_keys(keys, num_updates)
            return collect(self.env, act, algorithms.sampling, lanes, key)

        seeds = (self.seeds.num_steps, self.seeds.algorithms)
        return "collect", run, *seeds, actors, counters, lanes, keys


class Host(Outside):
    """Environments of Python's: one call of a compiled policy for each step of all of them."""

    most_ahead = 0  # so that they get no action that is not finite

    def __init__(
        self, env: AsSeen, seeds: Population, programs: Programs, foresee: Foresee
    ) -> None:
        super().__init__(seeds, programs, foresee)
        self.env = env

    def reset(self) -> Lanes:
        return start_lanes((), jax.tree.map(np.copy, self.env.reset()))

    def shapes(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        drawn = self._programs.begin(*self._before(counters, keys), is_quick=True)
        known, structure = jax.tree.flatten((actors, drawn[1]))
        act = _acts(self.seeds.num_seeds, structure)
        acted = jax.eval_shape(act, known, lanes.observation, drawn[0], 0)
        whole = self.seeds.algorithms.sampling.has_whole_episodes
        return shapes_on_host(lanes, acted, self._num_rows, whole)

    def collect(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        kind, quota = actors.policy.action_kind, self.seeds.algorithms.sampling.quota
        keys, uniform = self._programs.call(*self._before(counters, keys), is_quick=True)
        # Made arrays, and flattened, once and not at every step.
        known, structure = jax.tree.flatten((jax.tree.map(jnp.asarray, actors), uniform))
        act = Built(_acts, (self.seeds.num_seeds, structure))
        policy = self._programs.fast("act", act, known, lanes.observation, keys, np.int32(0))

        def act_on_host(observation: PyTree, t: int) -> tuple:
            acted = policy(known, observation, keys, np.int32(t))
            action, log_prob = map(np.asarray, acted[:2])
            env_action = jax.tree.map(np.asarray, acted[2])
            return action, log_prob, kind.on_host(action, env_action)

        return collect_on_host(self.env, act_on_host, lanes, self._num_rows, quota)

    @property
    def _num_rows(self) -> int:
        return self.seeds.algorithms.sampling.num_rows(self.env.max_episode_steps)

    def _before(self, counters: Counters, keys: Keys) -> tuple:
        """What is known before the first step: its name, the function, and its arguments."""
        about = (self._num_rows,)
        own = (self.seeds.num_steps, self.seeds.algorithms, counters, keys)
        return "before", Built(_before, about), *own


def _updates(num_seeds: int) -> Callable[..., Any]:
    """The update of every seed."""

    def one(
        num_steps: Count,
        algorithm: Algorithm,
        learner: Learner,
        trajectory: Trajectory,
        episodes: Any,
        key: Keys,
    ) -> tuple:
        @jax.jit
        def update(learner: Learner) -> tuple:
            now = algorithm_now(algorithm, num_steps, learner.steps)
            key_update = keys_of(key, learner.num_updates)[2]
            after, numbers = learn(now, learner, trajectory, episodes, key_update)
            return after, pack(numbers)

        idle = idle_like(jax.eval_shape(update, learner)[-1])
        return lax.cond(learner.steps.is_below(num_steps), update, idle, learner)

    def all_seeds(
        num_steps: Count,
        algorithms: Algorithm,
        learners: Learner,
        trajectory: Trajectory,
        finished: Any,
        keys: Keys,
    ) -> tuple:
        episodes = jax.vmap(statistics)(lanes_by_seed(finished, num_seeds, axis=0))
        own = (algorithms, learners, split_lanes(trajectory, num_seeds), episodes, keys)
        return over_seeds(one, num_seeds)(num_steps, *own)

    return all_seeds


def _before(num_rows: int) -> Callable[..., Any]:
    """What of a batch is known before its first step: keys, and how often to act at random."""

    def before(num_steps: Count, algorithms: Algorithm, counters: Counters, keys: Keys) -> tuple:
        num_updates, done = counters
        keys = split_keys(acting_keys(keys, num_updates), (num_rows,))
        return keys, _uniform_by_seed(algorithms, num_steps, done)

    return before


def _acts(num_seeds: int, structure: Any) -> Callable[..., Any]:
    """One step of every seed's policy; `structure` is that of the actors, and of how often they act
    at random, whose arrays are `known`."""

    def act(known: list[Array], observation: PyTree, keys: Keys, t: Array) -> tuple:
        actors, uniform = jax.tree.unflatten(structure, known)
        return act_by_seed(actors, uniform, num_seeds)(observation, keys[t])

    return act


def _uniform_by_seed(algorithms: Algorithm, num_steps: Count, done: Count) -> Array | None:
    """The probability with which each seed acts at random, if its algorithm asks for that."""

    def one(algorithm: Algorithm, done: Count) -> Array | None:
        uniform = algorithm_now(algorithm, num_steps, done).uniform
        return None if uniform is None else jnp.asarray(uniform, jnp.float32)

    return jax.vmap(one)(algorithms, done)


def _is_same(lanes: Lanes | None, others: Lanes | None) -> bool:
    """Whether they hold the very same arrays."""
    one, other = jax.tree.leaves(lanes), jax.tree.leaves(others)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _size(tree: PyTree) -> int:
    """In bytes."""
    return sum(x.nbytes for x in jax.tree.leaves(tree))
