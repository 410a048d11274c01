"""Training in a compiled world: environment, policy and learner are one program."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from uphill.collecting.compiled import collect
from uphill.collecting.lanes import Keys, Lanes
from uphill.envs.compiled import CompiledEnvironment
from uphill.learning.learner import Learner
from uphill.parts import Algorithm
from uphill.policies.actor import Actor
from uphill.training.guard import first_fault
from uphill.training.programs import Built, Programs
from uphill.training.rows import pack, unpack
from uphill.training.seeds import Population, over_seeds
from uphill.training.state import CAPACITY, Chunk, Foresee, idle_like
from uphill.training.step import collect_and_learn, first_lanes, fresh_lanes, zeros_like
from uphill.trajectory import Array, Trajectory


class Inside:
    """Chunks of updates, each one call of a compiled program."""

    def __init__(
        self, env: CompiledEnvironment, seeds: Population, programs: Programs, foresee: Foresee
    ) -> None:
        self.env, self.seeds, self._programs, self._foresee = env, seeds, programs, foresee

    def start_lanes(self) -> Lanes | None:
        """What the first update starts from."""
        return first_lanes(self.env, self.seeds.algorithms.sampling, self.seeds.keys)

    def advance(self, learners: Learner, lanes: Lanes | None, num_updates: int) -> Chunk:
        """Learners and lanes after some updates, a row for each update, and the input of the last
        one. An update with a non-finite number is a separate chunk: others end before it.
        """
        seeds, start = self.seeds, (learners, lanes)
        shared = (seeds.num_steps, np.int32(num_updates))
        own = (seeds.algorithms, learners, lanes, seeds.keys)
        built = Built(_chunks, (self.env, seeds.num_seeds, seeds.devices))
        program = ("chunk", built, shared, *own)
        if "chunk" not in self._programs:
            after, _, _, before = self._programs.begin(*program)
            self._foresee(before, after)
        learners, lanes, packed, before = self._programs.call(*program)
        rows = {name: x[:, :num_updates].T for name, x in unpack(packed).items()}
        bad = first_fault(rows, start[0])
        if bad is not None and num_updates > 1:
            return self.advance(*start, max(bad, 1))
        return Chunk(learners, lanes, rows, (before,))

    @staticmethod
    def by_seed(trajectory: Trajectory, num_seeds: int) -> Trajectory:
        """A trajectory with a leading axis for the seeds: it has one already."""
        return trajectory

    def episodes(self, actor: Actor, key: Keys) -> Trajectory:
        """Whole episodes of one actor, or whatever the sampling asks for."""
        key_environment, key_act = jax.random.split(key)
        lanes = fresh_lanes(self.env, key_environment)
        sampling = self.seeds.algorithms.sampling
        return collect(self.env, actor.act, sampling, lanes, key_act)[1]

    def close(self) -> None:
        """Nothing runs besides the program."""


def _chunks(env: CompiledEnvironment, num_seeds: int, devices: int) -> Callable[..., Any]:
    """The updates of every seed."""
    return over_seeds(partial(_chunk, env), num_seeds, devices)


def _chunk(
    env: CompiledEnvironment,
    shared: tuple,
    algorithm: Algorithm,
    learner: Learner,
    lanes: Lanes | None,
    key: Keys,
) -> tuple:
    """The updates of one seed; one that has its steps waits for the others."""
    num_steps, num_updates = shared

    @jax.jit  # traced once, though its shape is asked for before it is used
    def one(learner: Learner, lanes: Lanes | None) -> tuple:
        after, new_lanes, trajectory, numbers = collect_and_learn(
            env, algorithm, num_steps, learner, lanes, key
        )
        return after, new_lanes, (learner, trajectory), pack(numbers)

    def body(i: Array, carry: tuple) -> tuple:
        *now, rows = carry
        is_unfinished = now[0].steps.is_below(num_steps)
        *now, row = lax.cond(is_unfinished, lambda *now: one(*now[:2]), idle, *now)
        rows = jax.tree.map(
            lambda rows, x: lax.dynamic_update_index_in_dim(rows, x, i, 0), rows, row
        )
        return *now, rows

    *_, (_, trajectory), row = jax.eval_shape(one, learner, lanes)
    idle, before = idle_like(row), (learner, zeros_like(trajectory))
    rows = jax.tree.map(lambda x: jnp.zeros((CAPACITY, *x.shape), x.dtype), row)
    carry = (learner, lanes, before, rows)
    learner, lanes, before, rows = lax.fori_loop(0, num_updates, body, carry)
    return learner, lanes, rows, before
