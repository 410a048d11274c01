"""Steps per second: compiled worlds with training, other environments with a policy."""

from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.vector import SyncVectorEnv

from benchmarks.compositions import plain_ppo
from benchmarks.timing import alternate, rates
from uphill.envs.make import choose
from uphill.parts import Adam, Algorithm, Episodes, Steps
from uphill.parts.algorithms import reinforce
from uphill.policies.actor import Actor
from uphill.sessions.intervals import measuring_interval
from uphill.sessions.presets import preset
from uphill.training.outside import Counters, Outside
from uphill.training.state import CAPACITY, TrainState
from uphill.training.trainer import Trainer

ENDLESS = 2**32 - 1
STEPS = 1_000_000
"""The length of training from which the interval of the diagnostics is derived."""


def _trainer(env: str, algorithm: Algorithm, seeds: int = 1, backend: Any = "auto") -> Trainer:
    # Diagnostics as often as with `uphill train --steps 1e6`, which is what users get.
    every = measuring_interval(algorithm, STEPS)
    chosen = choose(env, backend)
    return Trainer(chosen, algorithm, tuple(range(seeds)), ENDLESS, measure_every=every)


def _training(trainer: Trainer, state: TrainState, num_updates: int) -> str:
    """Steps per second of training, from `state` each time: every round does the same work."""

    def run() -> int:
        after, _ = trainer.advance(state, num_updates)
        return sum(after.num_transitions) - sum(state.num_transitions)

    return f"{rates(run)}; compile {trainer.compile_seconds:.1f} s"


def window() -> None:
    """A score-function update on fixed windows: CartPole, 32 environments, 64 tanh."""
    from uphill.policies.policy import PolicySettings

    algorithm = reinforce(
        sampling=Steps(num_envs=32, num_steps=500),
        policy=PolicySettings(hidden=(64,)),
        mean_over="steps",
    )
    trainer = _trainer("CartPole-v1", algorithm)
    print("fixed window, 32 × 500:", _training(trainer, trainer.start(), CAPACITY))


def episodes() -> None:
    """Whole-episode REINFORCE: untrained, and once episodes are long."""
    from uphill.policies.policy import PolicySettings

    for per_env in (1, 4):
        algorithm = reinforce(
            sampling=Episodes(num_envs=32, per_env=per_env),
            policy=PolicySettings(hidden=(64,)),
            optimizer=Adam(learning_rate=1e-2, max_grad_norm=None),
        )
        untrained = reinforce(
            sampling=algorithm.sampling,
            policy=algorithm.policy,
            optimizer=Adam(learning_rate=0.0, max_grad_norm=None),
        )
        trainer = _trainer("CartPole-v1", untrained)
        print(
            f"whole episodes, 32 × {per_env}, untrained:",
            _training(trainer, trainer.start(), CAPACITY),
        )
        trainer = _trainer("CartPole-v1", algorithm)
        state, _ = trainer.advance(trainer.start(), CAPACITY)
        state, _ = trainer.advance(state, CAPACITY)
        state, rows = trainer.advance(state, CAPACITY)
        length = rows["length_sum"][-1].sum() / rows["num_episodes"][-1].sum()
        print(
            f"whole episodes, 32 × {per_env}, length {length:.0f}:", _training(trainer, state, 20)
        )


def ppo_seeds() -> None:
    """PPO, 8 × 128, 4 epochs × 4 minibatches, 64-64 tanh: one seed, and eight at once."""
    for seeds in (8, 1):  # in this order: the first decides how many devices JAX starts with
        trainer = _trainer("CartPole-v1", plain_ppo(), seeds)
        state = trainer.start()
        print(f"PPO, {seeds} seed(s):", _training(trainer, state, CAPACITY))


def car_race() -> None:
    """Whole-episode REINFORCE with the preset's settings but 256 environments: CarRace-v0."""
    chosen = preset("CarRace-v0", "reinforce")
    algorithm = replace(chosen.algorithm, sampling=Episodes(num_envs=256))
    trainer = _trainer("CarRace-v0", algorithm)
    state = trainer.start()
    print("REINFORCE, CarRace-v0, 256 environments, untrained:", _training(trainer, state, 20))
    for _ in range(2):
        state, _ = trainer.advance(state, 20)
    print("the same, after 40 updates:", _training(trainer, state, 10))


def _collecting(state: TrainState) -> tuple[Actor, Counters]:
    """What a collector needs from a state: the actors, and their counters."""
    learners = state.learners
    return learners.actor, (learners.num_updates, learners.steps)


def _outside(trainer: Trainer) -> Outside:
    """How a trainer collects from environments outside the program."""
    assert isinstance(trainer._way, Outside)
    return trainer._way


def envpool(env: str = "LunarLander-v3", num_envs: int = 32) -> None:
    """Rollouts with the policy, inside the compiled program, and EnvPool alone from Python."""
    num_steps = 500
    algorithm = reinforce(sampling=Steps(num_envs, num_steps), mean_over="steps")
    trainer = _trainer(env, algorithm, backend="envpool")
    alone = choose(env, "envpool")
    from uphill.envs.backends.envpool import make_pool
    from uphill.envs.make import lane_seed

    pool = make_pool(str(alone.env), [lane_seed(0, k) for k in range(num_envs)], {})
    state = trainer.start()
    actions = [
        np.stack([pool.action_space.sample() for _ in range(num_envs)]) for _ in range(num_steps)
    ]
    pool.reset()
    actors, counters = _collecting(state)
    assert state.lanes is not None
    carried, way = [state.lanes], _outside(trainer)

    def ours() -> None:
        lanes, *_ = way.collect(actors, counters, carried[0], way.seeds.keys)
        carried[0] = jax.block_until_ready(lanes)

    def theirs() -> None:
        for action in actions:
            pool.step(action)

    print(f"{env}, {num_envs} environments:", alternate(ours, theirs, num_envs * num_steps))


def python(env: str = "LunarLander-v3", num_envs: int = 32) -> None:
    """Rollouts of a Python environment with the policy, compared with the environment alone."""
    num_steps = 300
    algorithm = reinforce(sampling=Steps(num_envs, num_steps), mean_over="steps")
    trainer = _trainer(env, algorithm, backend="gymnasium")
    way = _outside(trainer)
    state = trainer.start()
    actors, counters = _collecting(state)
    vector = SyncVectorEnv([partial(gymnasium.make, env)] * num_envs)
    actions = [vector.action_space.sample() for _ in range(num_steps)]

    def ours() -> None:
        way.collect(actors, counters, way.reset(), way.seeds.keys)

    def theirs() -> None:
        vector.reset()
        for action in actions:
            vector.step(action)

    print(f"{env} (Gymnasium, sync), {num_envs}:", alternate(ours, theirs, num_envs * num_steps))


def pool_training(num_steps: int = 200_000) -> None:
    """PPO on LunarLander-v3 with rl-zoo3's settings: training, steps/s."""
    from benchmarks.peers import ZOO_LUNAR_LANDER

    trainer = _trainer("LunarLander-v3", ZOO_LUNAR_LANDER)
    carried = [trainer.start()]

    def run() -> int:
        before = sum(carried[0].num_transitions)
        carried[0], _ = trainer.advance(carried[0], 1)
        return sum(carried[0].num_transitions) - before

    print("PPO, LunarLander-v3, rl-zoo3's settings:", rates(run, num_steps // 16_384))
