"""Training: environments are made, and a state is turned into the next one, some updates later.

`inside.py` does that for compiled worlds, `outside.py` for all others.
"""

import time
from collections.abc import Iterator, Sequence

from uphill.collecting.border import AsSeen, encoding_of_env
from uphill.collecting.lanes import Keys
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.base import CompiledEnvironment
from uphill.envs.make import EnvironmentChoice, make_env
from uphill.learning.learner import make_learner, stack
from uphill.parts import Algorithm
from uphill.policies.actions import action_kind_of
from uphill.policies.actor import Actor
from uphill.policies.encodings import Encoding, encoding_of, ignoring
from uphill.policies.own_network import NetworkFactory
from uphill.training.checks import check_episodes, check_numbers
from uphill.training.inside import Inside
from uphill.training.measuring import Meter
from uphill.training.outside import Host, Pool
from uphill.training.process import turns_notice, use_cores
from uphill.training.programs import Programs
from uphill.training.rows import Rows, concatenate
from uphill.training.seeds import one_for_each, population_of
from uphill.training.state import CAPACITY, TrainState
from uphill.trajectory import Trajectory


class Trainer:
    """The environments and the compiled functions of one training.

    `algorithm` is that of all seeds, or a list of one for each, which differ in nothing but floats.
    `diagnostics.py` measures every `measure_every`-th update. To do so ends a call of the compiled
    program and takes another, so more of them in between are faster. `network` makes the networks'
    hidden layers, in place of the algorithm's settings. `encoding` is that of a training that goes
    on: of Python environments it has the offsets that were learned with.

    Raises:
        UphillError: for a space, a sampling or a number that does not fit the environment.
    """

    def __init__(
        self,
        choice: EnvironmentChoice,
        algorithm: Algorithm | Sequence[Algorithm],
        seeds: tuple[int, ...],
        num_steps: int,
        resumed_at: int = 0,
        measure_every: int = 1,
        network: NetworkFactory | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        algorithms = one_for_each(algorithm, seeds)
        check_numbers(num_steps)
        is_python = choice.backend == "gymnasium"
        use_cores(len(seeds), is_python)
        self.choice, self.algorithms, self.seeds = choice, algorithms, seeds
        self.num_steps, self.measure_every, self.network = num_steps, measure_every, network
        sampling = algorithms[0].sampling
        self.env, notice = make_env(choice, sampling.num_envs, seeds, resumed_at)
        self.notice = notice or turns_notice(len(seeds), is_python)
        check_episodes(choice.name, sampling, self.env.max_episode_steps)
        self.encoding = encoding_of(self.env.observation_space)
        if encoding is not None and encoding == self.encoding:
            self.encoding = encoding
        elif isinstance(self.env, HostEnvironment):
            self.encoding = encoding_of_env(self.env)
        self.encoding = ignoring(self.encoding, choice.alterations.drop_observations)
        self.action_kind = action_kind_of(self.env.action_space, algorithms[0].policy.distribution)
        self._programs = Programs()
        population = population_of(algorithms, seeds, num_steps)
        if isinstance(self.env, CompiledEnvironment):
            self._way = Inside(self.env, population, self._programs)
        elif isinstance(self.env, HostEnvironment):
            self._way = Host(AsSeen(self.env, self.encoding), population, self._programs)
        else:
            self._way = Pool(self.env, population, self._programs)
        self._meter = Meter(population, self.action_kind, self._way.by_seed, self._programs)

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling took up to now."""
        return self._programs.seconds

    def remark(self) -> str | None:
        """What is to be told of the environments, if there is something new."""
        return self.env.remark() if isinstance(self.env, HostEnvironment) else None

    def start(self) -> TrainState:
        """The state before the first update.

        The environments of a compiled world are part of it; others are started here, so a run that
        goes on begins new episodes with them.
        """
        learners = [
            make_learner(algorithm, self.encoding, self.action_kind, seed, self.network)
            for algorithm, seed in zip(self.algorithms, self.seeds, strict=True)
        ]
        return TrainState(stack(learners), self._way.start_lanes(), 0, (0,) * len(self.seeds))

    def advance(self, state: TrainState, num_updates: int) -> tuple[TrainState, Rows]:
        """The state `num_updates` (at most `CAPACITY`) updates later, and a row for each.

        A seed that has its steps waits for the others: nothing of it changes, and `updated` is 0.
        """
        rows, left = None, num_updates
        while left:
            # Only the last update of a program's call can be measured.
            count = min(left, self.measure_every - state.num_updates % self.measure_every)
            chunk = self._way.advance(state.learners, state.lanes, count)
            state = state.after(chunk)
            is_due = state.num_updates % self.measure_every == 0
            new = chunk.rows | self._meter.rows(chunk, is_due)
            rows, left = concatenate(rows, new), left - count
        assert rows is not None
        return state, rows

    def episodes(self, actor: Actor, key: Keys) -> Trajectory:
        """Whole episodes of one actor, for a sampling by `Episodes`; `key` is not that of a seed,
        but of these episodes. Of a compiled world this may be part of a compiled program."""
        return self._way.episodes(actor, key)

    def is_done(self, state: TrainState) -> bool:
        """Whether every seed has its steps."""
        return min(state.num_transitions) >= self.num_steps

    def close(self) -> None:
        """Stop the environments."""
        self._way.close()


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
