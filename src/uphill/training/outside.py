"""Training in environments outside the program, pools and Python ones: collect, then update."""

from abc import ABC, abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

from uphill.collecting.border import AsSeen
from uphill.collecting.compiled import collect, split_keys
from uphill.collecting.host import collect_on_host
from uphill.collecting.lanes import Keys, Lanes, start_lanes, statistics
from uphill.learning.learner import Learner
from uphill.parts import Algorithm
from uphill.policies.actor import Actor
from uphill.training.keys import acting_keys, keys_of
from uphill.training.programs import Programs
from uphill.training.rows import PackedRows, pack, stacked_rows
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

Counters = tuple[Any, Any]
"""The updates and the transitions of every seed"""


class Outside(ABC):
    """Updates one by one. Seeds learn on devices of their own; their environments are one pool."""

    env: Any

    def __init__(self, seeds: Population, programs: Programs, foresee: Foresee) -> None:
        self.seeds, self._programs, self._foresee = seeds, programs, foresee

    @abstractmethod
    def reset(self) -> Lanes:
        """All seeds' environments, started afresh."""

    @abstractmethod
    def collect(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        """Lanes, a trajectory and the finished episodes, of all seeds' lanes side by side."""

    def start_lanes(self) -> Lanes | None:
        """What the first update starts from."""
        return None if self.seeds.algorithms.sampling.has_whole_episodes else self.reset()

    def advance(self, learners: Learner, lanes: Lanes | None, num_updates: int) -> Chunk:
        """Learners and lanes so many updates later, a row of each, and what the last began with."""
        has_whole_episodes = self.seeds.algorithms.sampling.has_whole_episodes
        rows: list[PackedRows] = []
        before: Any = None
        for _ in range(num_updates):
            if has_whole_episodes:
                # A pool must not be reset while the program that steps it is still running.
                jax.block_until_ready(lanes)
                lanes = self.reset()
            actors, *counters = gathered(
                (learners.actor, learners.num_updates, learners.num_transitions)
            )
            assert lanes is not None
            collected = self.collect(actors, tuple(counters), lanes, self.seeds.keys)
            lanes, trajectory, finished = gathered(collected)
            before = (learners, trajectory)
            learners, row = self._learn(learners, trajectory, finished)
            rows.append(row)
        return Chunk(learners, None if has_whole_episodes else lanes, stacked_rows(rows), before)

    def by_seed(self, trajectory: Trajectory) -> Trajectory:
        """A trajectory with a leading axis for the seeds."""
        return split_lanes(trajectory, self.seeds.num_seeds)

    def episodes(self, actor: Actor, key: Keys) -> Trajectory:
        """Whole episodes of one actor, or whatever the sampling asks for."""
        jax.block_until_ready(actor)
        actors = jax.tree.map(lambda x: jnp.asarray(x)[None], actor)
        counters = (jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.uint32))
        return self.collect(actors, counters, self.reset(), key[None])[1]

    def close(self) -> None:
        """Stop the environments."""
        self.env.close()

    def _learn(self, learners: Learner, trajectory: Trajectory, finished: Any) -> tuple:
        """Every seed's update, in one program."""
        seeds = self.seeds

        def one(
            num_steps: Array,
            algorithm: Algorithm,
            learner: Learner,
            trajectory: Trajectory,
            episodes: Any,
            key: Keys,
        ) -> tuple:
            @jax.jit
            def update(learner: Learner) -> tuple:
                now = algorithm_now(algorithm, num_steps, learner.num_transitions)
                key_update = keys_of(key, learner.num_updates)[2]
                after, numbers = learn(now, learner, trajectory, episodes, key_update)
                return after, pack(numbers)

            idle = idle_like(jax.eval_shape(update, learner)[-1])
            return lax.cond(learner.num_transitions < num_steps, update, idle, learner)

        def all_seeds(
            num_steps: Array,
            algorithms: Algorithm,
            learners: Learner,
            trajectory: Trajectory,
            finished: Any,
            keys: Keys,
        ) -> tuple:
            episodes = jax.vmap(statistics)(lanes_by_seed(finished, seeds.num_seeds, axis=0))
            own = (algorithms, learners, self.by_seed(trajectory), episodes, keys)
            return over_seeds(one, seeds.num_seeds)(num_steps, *own)

        own = (seeds.algorithms, learners, trajectory, finished, seeds.keys)
        program = ("update", all_seeds, seeds.num_steps, *own)
        if "update" not in self._programs:
            after, _ = self._programs.begin(*program)
            self._foresee((learners, trajectory), after)
        return self._programs.call(*program)


class Pool(Outside):
    """Environments of EnvPool, which a compiled program steps."""

    def __init__(self, env: Any, seeds: Population, programs: Programs, foresee: Foresee) -> None:
        super().__init__(seeds, programs, foresee)
        self.env = env

    def reset(self) -> Lanes:
        return start_lanes(*self.env.reset())

    def collect(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        num_seeds = self.seeds.num_seeds

        def run(
            num_steps: Array,
            algorithms: Algorithm,
            actors: Actor,
            counters: Counters,
            lanes: Lanes,
            keys: Keys,
        ) -> tuple:
            num_updates, num_transitions = counters
            uniform = _uniform_by_seed(algorithms, num_steps, num_transitions)
            act = act_by_seed(actors, uniform, num_seeds)
            key = acting_keys(keys, num_updates)
            return collect(self.env, act, algorithms.sampling, lanes, key)

        seeds = (self.seeds.num_steps, self.seeds.algorithms)
        return self._programs.call("collect", run, *seeds, actors, counters, lanes, keys)


class Host(Outside):
    """Environments of Python's: one call of a compiled policy for each step of all of them."""

    def __init__(
        self, env: AsSeen, seeds: Population, programs: Programs, foresee: Foresee
    ) -> None:
        super().__init__(seeds, programs, foresee)
        self.env = env

    def reset(self) -> Lanes:
        return start_lanes((), jax.tree.map(np.copy, self.env.reset()))

    def collect(self, actors: Actor, counters: Counters, lanes: Lanes, keys: Keys) -> tuple:
        sampling, num_seeds = self.seeds.algorithms.sampling, self.seeds.num_seeds
        num_rows = sampling.num_rows(self.env.max_episode_steps)
        kind = actors.policy.action_kind

        def before(
            num_steps: Array, algorithms: Algorithm, counters: Counters, keys: Keys
        ) -> tuple:
            num_updates, num_transitions = counters
            keys = split_keys(acting_keys(keys, num_updates), (num_rows,))
            return keys, _uniform_by_seed(algorithms, num_steps, num_transitions)

        def act(actors: Any, uniform: Any, observation: PyTree, keys: Keys, t: Array) -> tuple:
            return act_by_seed(actors, uniform, num_seeds)(observation, keys[t])

        seeds = (self.seeds.num_steps, self.seeds.algorithms)
        actors = jax.tree.map(jnp.asarray, actors)  # once, and not at every step
        program = ("before", before, *seeds, counters, keys)
        keys, uniform = self._programs.call(*program, is_quick=True)
        first = (actors, uniform, lanes.observation, keys, np.int32(0))
        policy = self._programs.fast("act", act, *first)

        def act_on_host(observation: PyTree, t: int) -> tuple:
            acted = policy(actors, uniform, observation, keys, np.int32(t))
            action, log_prob = map(np.asarray, acted[:2])
            env_action = jax.tree.map(np.asarray, acted[2])
            return action, log_prob, kind.on_host(action, env_action)

        return collect_on_host(self.env, act_on_host, lanes, num_rows, sampling.quota)


def _uniform_by_seed(
    algorithms: Algorithm, num_steps: Array, num_transitions: Array
) -> Array | None:
    """The probability with which each seed acts at random, if its algorithm asks for that."""

    def one(algorithm: Algorithm, num_transitions: Array) -> Array | None:
        uniform = algorithm_now(algorithm, num_steps, num_transitions).uniform
        return None if uniform is None else jnp.asarray(uniform, jnp.float32)

    return jax.vmap(one)(algorithms, num_transitions)
