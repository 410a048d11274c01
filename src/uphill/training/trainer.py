"""Training: makes the environments, and advances a training state by some updates at a time.

`inside.py` does that for compiled worlds, `outside.py` for all others.
"""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from copy import copy
from typing import Any

import jax
import numpy as np

from uphill.collecting.border import AsSeen
from uphill.collecting.lanes import Keys, Lanes
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.base import World
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import EnvironmentChoice, choose, make_env
from uphill.errors import UphillError
from uphill.learning.learner import (
    Learner,
    form_of,
    make_learner,
    policy_of,
    stack_learners,
    take,
)
from uphill.parts import Algorithm
from uphill.parts.checks import check_count
from uphill.policies.actor import Actor
from uphill.policies.encodings import Encoding
from uphill.policies.own_network import NetworkFactory
from uphill.policies.trained import TrainedPolicy
from uphill.training.checks import (
    check_devices,
    check_episodes,
    check_numbers,
    check_policy,
    check_state,
    check_updates,
)
from uphill.training.evaluate import evaluate_actors, evaluation_of
from uphill.training.guard import at_rest
from uphill.training.inside import Inside
from uphill.training.measuring import FEW_MEASURED, Meter
from uphill.training.outside import Host, Pool
from uphill.training.process import (
    give_back_memory,
    turns_notice,
    use_compile_cache,
    use_cores,
)
from uphill.training.programs import Programs, is_ours
from uphill.training.rows import Rows, concatenate
from uphill.training.seeds import one_for_each, population_of
from uphill.training.spaces import action_kind_for, encoding_for
from uphill.training.state import CAPACITY, TrainState
from uphill.training.stopping import without_faults
from uphill.trajectory import Trajectory
from uphill.words import count


def iterate(
    trainer: "Trainer", state: TrainState | None = None, every: int = CAPACITY, seconds: float = 0.3
) -> Iterator[tuple[TrainState, Rows]]:
    """The training loop: yields states, each with the metrics of the updates that led to it.

    Starts from `state`, by default a fresh one. A chunk of updates takes about `seconds` (0.3 s
    unless given), at most 64 updates, and never passes a multiple of `every` updates (64 unless
    given). So whatever happens at multiples of `every` sees the state exactly there.
    """
    if not isinstance(trainer, Trainer):
        raise UphillError(f"trainer is {trainer!r}: give an uphill.Trainer.")
    check_count(every=every)
    if not seconds >= 0:
        raise UphillError(f"seconds is {seconds}: use 0 or more.")
    state = trainer.start() if state is None else state
    chunk = 1
    while not trainer.is_done(state):
        room = every - state.num_updates % every
        num_updates = min(chunk, room, CAPACITY)
        compiled, start = trainer.compile_seconds, time.perf_counter()
        state, rows = trainer.advance(state, num_updates)
        took = time.perf_counter() - start - (trainer.compile_seconds - compiled)
        fitting = num_updates * min(seconds, 1e6) / max(took, 1e-6)
        chunk = max(1, min(CAPACITY, 4 * num_updates, int(fitting)))
        yield state, rows


class Trainer:
    """The environments and the compiled functions of one training run. A `with` statement closes
    it at its end.

    Arguments:
        env: an environment ID, a callable that makes an environment, a compiled world, or the
            result of `choose`.
        algorithm: the algorithm of all seeds, or a list with one for each seed; these may differ
            only in floats.
        seeds: the seeds; one agent is trained for each, all at once.
        num_steps: transitions that each seed learns from. Training ends with the first update that
            reaches them, and schedules run over them.
        resumed_at: the number of updates that were done before, if the training is resumed; 0 for
            a new one. It is hashed into the seeds of EnvPool's and Python environments, so that
            they begin new episodes and don't repeat the old ones.
        measure_every: measure the diagnostics of `learning/diagnostics.py` in every n-th update;
            None for never. Each measurement ends a call of the compiled program and runs another
            program, which may cost as much as the updates in between.
        network: makes the networks' hidden layers, instead of the algorithm's settings.
        encoding: the encoding of the observations, if the training is resumed. It holds the offsets
            that were subtracted from the observations of Python environments, and whether images
            were taken for brightness, categories or plain numbers.
        num_runs: how many runs these seeds are of, if several are trained together.
        devices: how many devices share each seed's environments and batches, in a compiled world.

    Raises:
        UphillError: for a space, a sampling or a number that does not fit the environment.
    """

    def __init__(
        self,
        env: EnvironmentChoice | str | Callable[..., Any] | World,
        algorithm: Algorithm | Sequence[Algorithm],
        seeds: tuple[int, ...],
        num_steps: int,
        resumed_at: int = 0,
        measure_every: int | None = None,
        network: NetworkFactory | None = None,
        encoding: Encoding | None = None,
        num_runs: int = 1,
        *,
        devices: int = 1,
    ) -> None:
        check_numbers(num_steps, seeds, measure_every, devices)
        choice = env if isinstance(env, EnvironmentChoice) else choose(env)
        algorithms = one_for_each(algorithm, seeds)
        is_python = choice.backend == "gymnasium"
        use_cores(len(seeds), is_python, devices)
        use_compile_cache()
        self.choice, self.algorithms, self.seeds = choice, algorithms, seeds
        self.num_steps, self.measure_every, self.network = num_steps, measure_every, network
        self.num_runs, self.devices = num_runs, devices
        sampling = algorithms[0].sampling
        check_devices(devices, choice.name, choice.backend, sampling)
        self.env, notice = make_env(choice, sampling.num_envs, seeds, resumed_at)
        self.notice = notice or (turns_notice(len(seeds), is_python) if devices == 1 else None)
        check_episodes(choice.name, sampling, self.env.max_episode_steps)
        check_updates(num_steps // sampling.most_transitions(self.env.max_episode_steps), sampling)
        if encoding is None and not resumed_at:  # older runs may have what says nothing
            check_policy(choice.name, self.env.action_space, algorithms[0].policy)
        dropped = choice.alterations.drop_observations
        self.encoding = encoding_for(self.env, algorithms[0], dropped, encoding)
        self.action_kind = action_kind_for(self.env, algorithms[0])
        self._forms: set[Hashable] = set()
        """of the learners that it has started"""
        self.seconds = 0.0
        """seconds that updates took up to now, compiling included"""
        self._programs = Programs(self._like())
        self._lead_on()

    def start(self) -> TrainState:
        """The state before the first update.

        The environments of a compiled world are part of it; others are started here, so a run that
        goes on begins new episodes with them.
        """
        lanes, learners = self._way.start_lanes(), self.fresh_learners()
        self._forms.add(self._form(learners, lanes))
        return TrainState(learners, lanes, 0, (0,) * len(self.seeds))

    def fresh_learners(self) -> Learner:
        """The learners before the first update."""
        learners = [
            make_learner(algorithm, self.encoding, self.action_kind, seed, self.network)
            for algorithm, seed in zip(self.algorithms, self.seeds, strict=True)
        ]
        return stack_learners(learners)

    def advance(self, state: TrainState, num_updates: int) -> tuple[TrainState, Rows]:
        """The state `num_updates` updates later, and a row for each.

        A seed that has its steps waits for the others: nothing of it changes, and `updated` is 0.
        So does one in whose update a number is not finite, as it was before: `state.stops`; and
        `state.resting`. Where no other is left, there are fewer rows.
        """
        check_count(num_updates=num_updates)
        self.check_state(state)
        check_updates(state.num_updates + num_updates, self.algorithms[0].sampling)
        started, every = time.perf_counter(), self.measure_every
        rows, left = None, num_updates
        while left:
            count = min(left, CAPACITY)
            if every is not None:  # only the last update of a program's call can be measured
                count = min(count, every - state.num_updates % every)
            learners = at_rest(state.learners, state.idle, self.num_steps)
            chunk = self._way.advance(learners, state.lanes, count)
            left -= len(chunk.rows["updated"])
            chunk, stops = without_faults(chunk, state, self._split, self._is_compiled)
            state, new = state.after(chunk, stops), chunk.rows
            if every is not None:
                new |= self._meter.rows(chunk, state.num_updates % every == 0)
            rows = concatenate(rows, new)
            if len(state.idle) == len(self.seeds):
                break
        assert rows is not None
        self.seconds += time.perf_counter() - started
        return state, rows

    def check_state(self, state: TrainState) -> None:
        """Raises:
        UphillError: if it is no state, or that of a trainer for other spaces or seeds, or for an
            algorithm that differs in more than floats.
        """
        check_state(state, len(self.seeds), self.encoding, self.action_kind)
        form = self._form(state.learners, state.lanes)
        if form not in self._forms:
            lanes = self._way.start_lanes() if self._is_compiled else None
            self._forms.add(self._form(self.fresh_learners(), lanes))
        if form not in self._forms:
            raise UphillError(
                "state is that of another trainer, whose algorithm differs in more than floats: "
                "give one that this trainer started."
            )

    def _form(self, learners: Learner, lanes: Lanes | None) -> Hashable:
        """That of a state; where it has no environments, those of others are started anew."""
        return form_of((learners, lanes if self._is_compiled else None))

    def is_done(self, state: TrainState) -> bool:
        """Whether every seed has its steps, or is idle."""
        return state.steps >= self.num_steps or len(state.idle) == len(self.seeds)

    def _like(self) -> Hashable | None:
        """What programs depend on besides their numeric arguments; None if there is a custom
        part."""
        own = [self.algorithms[0], *([self.network] if self.network else [])]
        own += [self.env.world] if isinstance(self.env, CompiledEnvironment) else []
        return jax.tree.structure(self.algorithms[0]) if is_ours(own) else None

    def _lead_on(self) -> None:
        """Build the stepper and the diagnostics for these algorithms and seeds."""
        programs, every = self._programs, self.measure_every
        population = population_of(self.algorithms, self.seeds, self.num_steps, self.devices)
        if isinstance(self.env, CompiledEnvironment):
            self._way = Inside(self.env, population, programs, self._foresee)
        elif isinstance(self.env, HostEnvironment):
            if len(self.seeds) > 1:
                self.env.let_through()
            seen = AsSeen(self.env, self.encoding)
            self._way = Host(seen, population, programs, self._foresee)
        else:
            self._way = Pool(self.env, population, programs, self._foresee)
        measured = 0 if every is None else self.num_runs * self.num_steps // every
        is_quick = measured <= FEW_MEASURED
        self._meter = Meter(population, self.action_kind, self._way.by_seed, programs, is_quick)

    def again(self, algorithms: Sequence[Algorithm], seeds: tuple[int, ...]) -> "Trainer":
        """A trainer for other algorithms and seeds in the same compiled world: as many as here, and
        different only in floats and seeds, so that no program is compiled again.

        Raises:
            UphillError: if they differ in more.
        """
        algorithms = one_for_each(algorithms, seeds)
        kinds = {jax.tree.structure(x) for x in (algorithms[0], self.algorithms[0])}
        if not (self._is_compiled and len(kinds) == 1 and len(seeds) == len(self.seeds)):
            raise UphillError(
                "algorithms differ from those of the trainer in more than floats and seeds, or "
                "its environment is not a compiled world: make another Trainer."
            )
        other = copy(self)
        other.algorithms, other.seeds, other.seconds = algorithms, seeds, 0.0
        other._lead_on()
        return other

    @property
    def _is_compiled(self) -> bool:
        return isinstance(self.env, CompiledEnvironment)

    def _split(self, trajectory: Trajectory, seed_index: int) -> Trajectory:
        """One seed's part of the trajectory of all."""
        return take(self._way.by_seed(trajectory, len(self.seeds)), seed_index)

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling took up to now."""
        return self._programs.seconds

    @property
    def compiling_since(self) -> float | None:
        """When it began to compile what it needs now, by `time.monotonic`; else None."""
        return self._programs.waiting_since

    def remark(self) -> str | None:
        """A remark about the environments, if there is a new one."""
        return self.env.remark() if isinstance(self.env, HostEnvironment) else None

    def policy(self, state: TrainState, seed_index: int | np.integer = 0) -> TrainedPolicy:
        """What a seed has learned: a policy that acts, NumPy in, NumPy out.

        Raises:
            UphillError: if there is no such seed.
        """
        self.check_state(state)
        if not (isinstance(seed_index, int | np.integer) and 0 <= seed_index < len(self.seeds)):
            raise UphillError(
                f"seed_index is {seed_index}: the training has {count(len(self.seeds), 'seed')}, "
                f"so use 0 to {len(self.seeds) - 1}."
            )
        learner = take(jax.device_get(state.learners), int(seed_index))
        return policy_of(self.algorithms[seed_index], learner)

    def evaluate(self, state: TrainState, episodes: int = 100) -> dict[str, Any]:
        """What the policies of all seeds are worth in whole episodes, as `evaluation.json` has it.

        Raises:
            UphillError: if `episodes` is not a whole number of at least 1.
        """
        check_count(episodes=episodes)
        self.check_state(state)
        actors = state.learners.actor
        return evaluation_of(evaluate_actors(self.choice, actors, self.seeds, episodes))

    def episodes(self, actor: Actor, key: Keys) -> Trajectory:
        """Whole episodes of one actor, for a sampling by `Episodes`; `key` is not that of a seed,
        but of these episodes. Of a compiled world this may be part of a compiled program."""
        return self._way.episodes(actor, key)

    def close(self) -> None:
        """Stop the environments, and let go of memory."""
        self._programs.close()
        self._way.close()
        give_back_memory()

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _foresee(self, before: tuple[Learner, Trajectory], after: Learner) -> None:
        """Have the diagnostics compiled beside the first update, if there will be any."""
        most = self.algorithms[0].sampling.most_transitions(self.env.max_episode_steps)
        every = self.measure_every
        if every is not None and self.num_steps > (every - 1) * most:
            self._meter.begin(before, after)
