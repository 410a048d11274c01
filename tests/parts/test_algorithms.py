"""Every algorithm learns, on every backend; in seconds."""

import numpy as np
import pytest

from uphill.envs.make import choose
from uphill.parts import Adam, Episodes, Steps
from uphill.parts.algorithms import ALGORITHMS, a2c, npg, ppo, reinforce, trpo, vpg
from uphill.training.trainer import Trainer, iterate


def last_return(algorithm, num_steps, backend="auto", env="CartPole-v1"):
    """The mean return of the training episodes in the last quarter of training."""
    trainer = Trainer(choose(env, backend), algorithm, (0,), num_steps)
    total = count = 0
    for state, rows in iterate(trainer, every=8):
        if state.num_transitions[0] > 0.75 * num_steps:
            total += rows["return_sum"].sum()
            count += rows["num_episodes"].sum()
    trainer.close()
    assert np.isfinite(total)
    return total / count


FAST = Adam(learning_rate="linear:1e-2:0", max_grad_norm=None)
FEW = {"num_epochs": 4, "num_minibatches": 4}  # a quick compiler's program is slow
QUICK = {
    "reinforce": reinforce(sampling=Episodes(num_envs=16), optimizer=FAST),
    "vpg": vpg(sampling=Episodes(num_envs=16), optimizer=FAST),
    "a2c": a2c(),
    "ppo": ppo(optimizer=Adam(learning_rate=2e-3), **FEW),
    "npg": npg(),
    "trpo": trpo(),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns_in_a_compiled_world(name):
    """A random policy's return is about 22."""
    assert last_return(QUICK[name], 50_000) > 150


@pytest.mark.parametrize("backend", ["envpool", "gymnasium"])
def test_it_learns_outside_the_compiled_program(backend):
    sampling = Steps(num_envs=8, num_steps=64)
    algorithm = ppo(sampling=sampling, optimizer=Adam(learning_rate=2e-3), **FEW)
    assert last_return(algorithm, 15_000, backend) > 50


def test_whole_episodes_are_learned_from_outside_the_compiled_program():
    assert last_return(QUICK["reinforce"], 30_000, "envpool") > 45


def test_trust_regions_are_learned_in_outside_the_compiled_program():
    algorithm = trpo(sampling=Steps(num_envs=8, num_steps=128))
    assert last_return(algorithm, 25_000, "envpool") > 60
