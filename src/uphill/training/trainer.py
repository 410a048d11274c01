"""Training: compiled chunks inside, Python outside.

A `Trainer` turns a state into the next one, some updates later. What is learned never depends on
where chunks end: the key of an update is its number folded into the seed's key.
"""

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

from uphill.collecting.compiled import (
    Keys,
    Lanes,
    collect_episodes,
    collect_on_host,
    collect_steps,
    num_blocks,
    start_lanes,
    statistics,
)
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.base import CompiledEnvironment
from uphill.envs.make import EnvironmentChoice, make_env
from uphill.errors import UphillError
from uphill.learning.diagnostics import measure, measures
from uphill.learning.learner import Learner, make_learner, networks_of, stack
from uphill.learning.update import update
from uphill.parts import Algorithm
from uphill.policies.actions import action_kind_of
from uphill.policies.actor import Actor
from uphill.policies.encodings import encoding_of
from uphill.policies.own_network import NetworkFactory
from uphill.training.process import is_short_of_devices, use_cores
from uphill.training.rows import PackedRows, Rows, concatenate, pack, row_of, unpack
from uphill.training.seeds import over_seeds, seed_keys
from uphill.trajectory import BLOCK, Array, EpisodeStatistics, Trajectory

CAPACITY = 64
"""The most updates in one chunk."""

Before = tuple[Learner, Trajectory]
"""What an update begins with."""


@dataclass(frozen=True)
class TrainState:
    """All that the rest of a training depends on; immutable."""

    learners: Learner
    lanes: Lanes | None
    num_updates: int = 0
    num_transitions: tuple[int, ...] = (0,)


class Trainer:
    """The environments and the compiled functions of one training.

    `diagnostics.py` measures every `measure_every`-th update. To do so ends a call of the compiled
    program and takes another, so more of them in between are faster. `network` makes the networks'
    hidden layers, in place of the algorithm's settings.

    Raises:
        UphillError: for a space, a sampling or a number that does not fit the environment.
    """

    def __init__(
        self,
        choice: EnvironmentChoice,
        algorithm: Algorithm,
        seeds: tuple[int, ...],
        num_steps: int,
        resumed_at: int = 0,
        measure_every: int = 1,
        network: NetworkFactory | None = None,
    ) -> None:
        config: Any = jax.config
        if config.jax_enable_x64:
            raise UphillError(
                "JAX_ENABLE_X64 is on, and training uses 32-bit numbers: switch it off (or train "
                "inside `with jax.enable_x64(False):`)."
            )
        if not 1 <= num_steps < 2**32:
            raise UphillError(f"steps is {num_steps}: use a number from 1 to {2**32 - 1}.")
        is_python = choice.backend == "gymnasium"
        use_cores(len(seeds), is_python)
        self.choice, self.algorithm, self.seeds = choice, algorithm, seeds
        self.num_steps, self.measure_every, self.network = num_steps, measure_every, network
        num_envs = algorithm.sampling.num_envs
        self.env, self.notice = make_env(choice, num_envs, seeds, resumed_at)
        if self.notice is None and is_short_of_devices(len(seeds), is_python):
            self.notice = (
                f"JAX had started before training, with {len(jax.devices())} device: seeds take "
                "turns on it. JAX_NUM_CPU_DEVICES=N in the environment gives it one for each core."
            )
        self.encoding = encoding_of(self.env.observation_space)
        self.action_kind = action_kind_of(self.env.action_space, algorithm.policy.distribution)
        self.compile_seconds = 0.0
        self._keys = seed_keys(seeds)
        self._compiled: dict[str, Any] = {}
        if algorithm.sampling.has_whole_episodes and self.env.max_episode_steps is None:
            raise UphillError(
                f"{choice.name} has no time limit, so whole episodes may never end: use Steps as "
                "the sampling, or register the environment with max_episode_steps."
            )

    def start(self) -> TrainState:
        """The state before the first update.

        The environments of a compiled world are part of it; others are started here, so a run that
        goes on begins new episodes with them.
        """
        learners = [
            make_learner(self.algorithm, self.encoding, self.action_kind, seed, self.network)
            for seed in self.seeds
        ]
        if self.algorithm.sampling.has_whole_episodes:
            lanes = None  # every update starts its own
        elif isinstance(self.env, CompiledEnvironment):
            # Only their shape: the first update resets them, which saves compiling a program.
            shapes = jax.eval_shape(jax.vmap(self._fresh_lanes), self._keys)
            lanes = jax.tree.map(_zeros, shapes)
        else:
            lanes = self._reset_lanes()
        return TrainState(stack(learners), lanes, 0, (0,) * len(self.seeds))

    def advance(self, state: TrainState, num_updates: int) -> tuple[TrainState, Rows]:
        """The state `num_updates` (at most `CAPACITY`) updates later, and a row for each.

        A seed that has its steps waits for the others: nothing of it changes, and `updated` is 0.
        """
        rows, left = None, num_updates
        while left:
            # Only the last update of a program's call can be measured.
            count = min(left, self.measure_every - state.num_updates % self.measure_every)
            state, new = self._advance(state, count)
            rows, left = concatenate(rows, new), left - count
        assert rows is not None
        return state, rows

    def _advance(self, state: TrainState, num_updates: int) -> tuple[TrainState, Rows]:
        """`advance`, without a measurement before the last update."""
        is_compiled = isinstance(self.env, CompiledEnvironment)
        advance = self._advance_inside if is_compiled else self._advance_outside
        learners, lanes, rows, last = advance(state, num_updates)
        taken = rows["num_transitions"].sum(0)
        transitions = tuple(int(a + b) for a, b in zip(state.num_transitions, taken, strict=True))
        total = state.num_updates + int(rows["updated"].sum(0).max())
        is_due = total % self.measure_every == 0 and rows["updated"][-1].any()
        measured = self._measured(last, learners) if is_due else {}
        for name in measures(self.algorithm, self.action_kind):
            rows[name] = np.full(rows["updated"].shape, np.nan, np.float32)
            if is_due:
                rows[name][-1] = np.where(rows["updated"][-1], measured[name], np.nan)
        return TrainState(learners, lanes, total, transitions), rows

    def _measured(self, last: Before, learners: Learner) -> Rows:
        """What the diagnostics say of the last update, for each seed."""
        before, trajectory = last

        def one(shared: tuple, before: Learner, trajectory: Trajectory, after: Any) -> PackedRows:
            algorithm = _now(shared, before.num_transitions)
            return pack(measure(algorithm, before, trajectory, after))

        def of_seeds(shared: tuple, before: Learner, trajectory: Trajectory, after: Any) -> Any:
            if not isinstance(self.env, CompiledEnvironment):
                trajectory = split_lanes(trajectory, len(self.seeds))
            return over_seeds(one, len(self.seeds))(shared, before, trajectory, after)

        after = learners.actor.policy
        return unpack(self._call("measure", of_seeds, self._shared(), before, trajectory, after))

    def episodes(self, actor: Actor, key: Keys) -> Trajectory:
        """Whole episodes of one actor, for a sampling by `Episodes`; `key` is not that of a seed,
        but of these episodes. Of a compiled world this may be part of a compiled program."""
        if isinstance(self.env, CompiledEnvironment):
            key_environment, key_act = jax.random.split(key)
            return self._collect(actor.act, self._fresh_lanes(key_environment), key_act)[1]
        jax.block_until_ready(actor)
        actors = jax.tree.map(lambda x: jnp.asarray(x)[None], actor)
        counters = (jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.uint32))
        is_python = isinstance(self.env, HostEnvironment)
        collect = self._collect_from_python if is_python else self._collect_from_pool
        return collect(actors, counters, self._reset_lanes(), key[None])[1]

    def is_done(self, state: TrainState) -> bool:
        """Whether every seed has its steps."""
        return min(state.num_transitions) >= self.num_steps

    def close(self) -> None:
        """Stop the environments."""
        if not isinstance(self.env, CompiledEnvironment):
            self.env.close()

    # --- one compiled program: the environment is part of it ------------------------------------

    def _advance_inside(self, state: TrainState, num_updates: int) -> tuple:
        learners, lanes, packed, last = self._call(
            "chunk",
            over_seeds(self._chunk, len(self.seeds)),
            self._shared(np.int32(num_updates)),
            state.learners,
            state.lanes,
            self._keys,
        )
        rows = {name: x[:, :num_updates].T for name, x in unpack(packed).items()}
        return learners, lanes, rows, last

    def _chunk(self, shared: tuple, learner: Learner, lanes: Lanes | None, key: Keys) -> tuple:
        *rest, num_updates = shared
        shared = tuple(rest)

        @jax.jit  # traced once, though its shape is asked for before it is used
        def one(learner: Learner, lanes: Lanes | None) -> tuple:
            before = learner
            key_environment, key_act, key_update = _keys_of(key, learner)
            algorithm = _now(shared, learner.num_transitions)
            act = functools.partial(learner.actor.act, uniform=algorithm.uniform)
            if algorithm.sampling.has_whole_episodes:
                start = self._fresh_lanes(key_environment)
                _, trajectory, finished = self._collect(act, start, key_act)
            else:
                fresh = functools.partial(self._fresh_lanes, key_environment)
                start = lax.cond(learner.num_updates == 0, fresh, lambda: lanes)
                lanes, trajectory, finished = self._collect(act, start, key_act)
            learner, row = _learn(shared, before, trajectory, statistics(finished), key_update)
            return learner, lanes, (before, trajectory), row

        def body(i: Array, carry: tuple) -> tuple:
            *now, rows = carry
            is_unfinished = _is_unfinished(shared, now[0])
            *now, row = lax.cond(is_unfinished, lambda *now: one(*now[:2]), idle, *now)
            rows = jax.tree.map(
                lambda rows, x: lax.dynamic_update_index_in_dim(rows, x, i, 0), rows, row
            )
            return *now, rows

        *_, (_, trajectory), row = jax.eval_shape(one, learner, lanes)
        idle, last = _idle(row), (learner, jax.tree.map(_zeros, trajectory))
        rows = jax.tree.map(lambda x: jnp.zeros((CAPACITY, *x.shape), x.dtype), row)
        carry = (learner, lanes, last, rows)
        learner, lanes, last, rows = lax.fori_loop(0, num_updates, body, carry)
        return learner, lanes, rows, last

    def _fresh_lanes(self, key: Keys) -> Lanes:
        assert isinstance(self.env, CompiledEnvironment)
        env_state, observation = self.env.reset(key)
        return start_lanes(env_state, observation, self.env.milestones(env_state))

    def _collect(self, act: Any, lanes: Lanes, key: Keys) -> tuple:
        """A trajectory by the algorithm's sampling. `key` may have an axis for the seeds."""
        sampling = self.algorithm.sampling
        assert not isinstance(self.env, HostEnvironment)
        if sampling.window is not None:
            return collect_steps(self.env, act, lanes, _split(key, (sampling.window,)))
        assert sampling.quota is not None
        assert self.env.max_episode_steps is not None
        blocks = num_blocks(sampling.quota, self.env.max_episode_steps)
        return collect_episodes(self.env, act, lanes, _split(key, (blocks, BLOCK)), sampling.quota)

    # --- environments outside: collect, then update --------------------------------------------

    def _advance_outside(self, state: TrainState, num_updates: int) -> tuple:
        learners, lanes, rows, last = state.learners, state.lanes, [], None
        is_python = isinstance(self.env, HostEnvironment)
        collect = self._collect_from_python if is_python else self._collect_from_pool
        for _ in range(num_updates):
            if self.algorithm.sampling.has_whole_episodes:
                # A pool must not be reset while the program that steps it is still running.
                jax.block_until_ready(lanes)
                lanes = self._reset_lanes()
            # Seeds learn on devices of their own, but their environments are one pool.
            actors, *counters = _gathered(
                (learners.actor, learners.num_updates, learners.num_transitions)
            )
            assert lanes is not None
            collected = collect(actors, counters, lanes, self._keys)
            lanes, trajectory, finished = _gathered(collected)
            last = (learners, trajectory)
            learners, row = self._call(
                "update",
                self._update_seeds,
                self._shared(),
                learners,
                trajectory,
                finished,
                self._keys,
            )
            rows.append(row)
        if self.algorithm.sampling.has_whole_episodes:
            lanes = None
        unpacked = [unpack(row) for row in rows]
        stacked = {name: np.stack([row[name] for row in unpacked]) for name in unpacked[0]}
        return learners, lanes, stacked, last

    def _update_seeds(
        self, shared: tuple, learners: Learner, trajectory: Trajectory, finished: Any, keys: Keys
    ) -> tuple:
        num_seeds = len(self.seeds)
        by_seed = split_lanes(trajectory, num_seeds)
        totals = jax.vmap(statistics)(_lanes_by_seed(finished, num_seeds, axis=0))

        def one(shared: tuple, learner: Learner, trajectory: Any, totals: Any, key: Keys) -> tuple:
            @jax.jit
            def learn(learner: Learner) -> tuple:
                key_update = _keys_of(key, learner)[2]
                return _learn(shared, learner, trajectory, totals, key_update)

            idle = _idle(jax.eval_shape(learn, learner)[-1])
            return lax.cond(_is_unfinished(shared, learner), learn, idle, learner)

        return over_seeds(one, num_seeds)(shared, learners, by_seed, totals, keys)

    def _collect_from_pool(self, actors: Any, counters: Any, lanes: Lanes, keys: Keys) -> tuple:
        def collect(shared: tuple, actors: Any, counters: Any, lanes: Lanes, keys: Keys) -> tuple:
            num_updates, num_transitions = counters
            act = self._act_by_seed(actors, _uniform_by_seed(shared, num_transitions))
            return self._collect(act, lanes, _acting_keys(keys, num_updates))

        return self._call("collect", collect, self._shared(), actors, counters, lanes, keys)

    def _collect_from_python(self, actors: Any, counters: Any, lanes: Lanes, keys: Keys) -> tuple:
        sampling = self.algorithm.sampling
        limit, per_env = sampling.window, sampling.quota
        if limit is None:
            assert per_env is not None
            assert self.env.max_episode_steps is not None
            limit = num_blocks(per_env, self.env.max_episode_steps) * BLOCK

        def before(shared: tuple, counters: Any, keys: Keys) -> tuple:
            num_updates, num_transitions = counters
            keys = _split(_acting_keys(keys, num_updates), (limit,))
            return keys, _uniform_by_seed(shared, num_transitions)

        def act(actors: Any, uniform: Any, observation: PyTree, keys: Keys, t: Array) -> tuple:
            return self._act_by_seed(actors, uniform)(observation, keys[t])

        actors = jax.tree.map(jnp.asarray, actors)  # once, and not at every step
        keys, uniform = self._call("before", before, self._shared(), counters, keys)
        first = (actors, uniform, lanes.observation, keys, np.int32(0))
        policy = self._fast("act", act, *first)

        def act_on_host(observation: PyTree, t: int) -> tuple:
            return tuple(map(np.asarray, policy(actors, uniform, observation, keys, np.int32(t))))

        assert isinstance(self.env, HostEnvironment)
        return collect_on_host(self.env, act_on_host, lanes, limit, per_env)

    def _act_by_seed(self, actors: Any, uniform: Array | None) -> Any:
        """One policy for each seed's lanes, over flat lanes."""
        num_seeds = len(self.seeds)

        def act(observation: PyTree, keys: Keys) -> tuple:
            by_seed = jax.tree.map(lambda x: x.reshape(num_seeds, -1, *x.shape[1:]), observation)
            out = jax.vmap(lambda actor, *rest: actor.act(*rest))(actors, by_seed, keys, uniform)
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)

        return act

    def _reset_lanes(self) -> Lanes:
        if isinstance(self.env, HostEnvironment):
            observation = jax.tree.map(np.copy, self.env.reset())
            return start_lanes((), observation)
        assert not isinstance(self.env, CompiledEnvironment)
        return start_lanes(*self.env.reset())

    # --- compiling ------------------------------------------------------------------------------

    def _shared(self, *more: Any) -> tuple:
        """What is the same for all seeds, and may change without a new program."""
        return (self.algorithm, np.uint32(self.num_steps), *more)

    def _call(self, name: str, function: Any, *arguments: Any) -> Any:
        """Call a function that is compiled once; the time that takes is counted apart."""
        if name not in self._compiled:
            start = time.perf_counter()
            self._compiled[name] = jax.jit(function).lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[name](*arguments)

    def _fast(self, name: str, function: Any, *arguments: Any) -> Any:
        """A compiled function that is called at every step: `jit` finds its program faster than
        Python could."""
        if name not in self._compiled:
            start = time.perf_counter()
            self._compiled[name] = jax.jit(function)
            jax.block_until_ready(self._compiled[name](*arguments))
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[name]


def iterate(
    trainer: Trainer, state: TrainState | None = None, every: int = CAPACITY, seconds: float = 0.3
) -> Iterator[tuple[TrainState, Rows]]:
    """The loop itself: states and the metrics of the updates that led to each.

    A chunk takes about `seconds` and never passes a multiple of `every` updates, so that whatever
    happens at such multiples sees the state exactly there.
    """
    state = trainer.start() if state is None else state
    chunk = 1
    while not trainer.is_done(state):
        room = every - state.num_updates % every
        num_updates = min(chunk, room, CAPACITY)
        compiled, start = trainer.compile_seconds, time.perf_counter()
        state, rows = trainer.advance(state, num_updates)
        took = time.perf_counter() - start - (trainer.compile_seconds - compiled)
        chunk = max(1, min(CAPACITY, 4 * num_updates, int(num_updates * seconds / max(took, 1e-6))))
        yield state, rows


def _learn(
    shared: Any,
    learner: Learner,
    trajectory: Trajectory,
    episodes: EpisodeStatistics,
    key: Keys,
) -> tuple[Learner, PackedRows]:
    """One update, and its row."""
    algorithm = _now(shared, learner.num_transitions)
    after, metrics = update(algorithm, learner, trajectory, key)
    return after, row_of(metrics, trajectory, episodes, networks_of(algorithm, after))


def _now(shared: Any, num_transitions: Array) -> Algorithm:
    """The algorithm with its schedules where they are after so many transitions."""
    algorithm, num_steps = shared
    return algorithm.at(
        jnp.divide(num_transitions.astype(jnp.float32), num_steps.astype(jnp.float32))
    )


def _is_unfinished(shared: Any, learner: Learner) -> Array:
    _, num_steps = shared
    return learner.num_transitions < num_steps


def _uniform_by_seed(shared: Any, num_transitions: Array) -> Array | None:
    def one(num_transitions: Array) -> Array | None:
        uniform = _now(shared, num_transitions).uniform
        return None if uniform is None else jnp.asarray(uniform, jnp.float32)

    return jax.vmap(one)(num_transitions)


def _gathered(tree: PyTree) -> PyTree:
    """The same numbers, on no particular device; as they are where there is only one."""
    return jax.device_get(tree) if len(jax.devices()) > 1 else tree


def _idle(row: PackedRows) -> Any:
    """A function that returns its arguments as they are, and a row of zeros like `row`."""

    def idle(*arguments: Any) -> tuple:
        return (*arguments, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), row))

    return idle


def _zeros(x: jax.ShapeDtypeStruct) -> Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jax.eval_shape(jax.random.key_data, x)
        return jax.random.wrap_key_data(jnp.asarray(np.zeros(data.shape, data.dtype)))
    return np.zeros(x.shape, x.dtype)


def _keys_of(key: Keys, learner: Learner) -> tuple[Keys, Keys, Keys]:
    return _keys_at(key, learner.num_updates)


def _keys_at(key: Keys, num_updates: Array | int) -> tuple[Keys, Keys, Keys]:
    """The keys of one update: for the environment, for acting, for the update itself."""
    key_environment, key_act, key_update = jax.random.split(jax.random.fold_in(key, num_updates), 3)
    return key_environment, key_act, key_update


def _acting_keys(keys: Keys, num_updates: Array) -> Keys:
    """The key with which each seed acts in its update."""
    return jax.vmap(lambda key, n: _keys_at(key, n)[1])(keys, num_updates)


def _split(key: Keys, shape: tuple[int, ...]) -> Keys:
    """Keys for every step: `shape`, then the axis for the seeds if `key` has one."""
    if key.ndim == 0:
        return jax.random.split(key, shape)
    return jnp.moveaxis(jax.vmap(lambda k: jax.random.split(k, shape))(key), 0, -1)


def split_lanes(trajectory: Trajectory, num_seeds: int) -> Trajectory:
    """A trajectory of `S · N` flat lanes as one with a leading axis for the seeds."""
    t = trajectory
    rows = (t.observation, t.action, t.log_prob, t.reward, t.terminated, t.truncated, t.mask)

    def one_seed(rows: tuple, final: PyTree) -> Trajectory:
        observation, *columns = rows
        return Trajectory(observation, final, *columns, length=t.length)

    final = _lanes_by_seed(t.final_observation, num_seeds, axis=0)
    return jax.vmap(one_seed)(_lanes_by_seed(rows, num_seeds, axis=1), final)


def _lanes_by_seed(tree: PyTree, num_seeds: int, axis: int) -> PyTree:
    """Flat lanes `[…, S·N, …]` to one leading axis for the seeds `[S, …, N, …]`."""

    def split(x: Array) -> Array:
        by_seed = x.reshape(*x.shape[:axis], num_seeds, -1, *x.shape[axis + 1 :])
        return jnp.moveaxis(by_seed, axis, 0)

    return jax.tree.map(split, tree)
