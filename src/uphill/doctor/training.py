"""A brief training: what an agent learns in a few seconds."""

import time
from dataclasses import replace

from uphill.doctor.facts import Training
from uphill.doctor.subject import Subject
from uphill.envs.make import EnvironmentChoice
from uphill.errors import UphillError
from uphill.parts import GAE, Adam, Algorithm
from uphill.parts.algorithms import ppo
from uphill.runs.not_finite import sentence
from uphill.training.evaluate import evaluate_actors
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer, iterate

STEPS = {"compiled": 60_000, "envpool": 60_000, "gymnasium": 40_000}
FEWEST_STEPS = 8_000
"""After less, what a policy earns says nothing."""
SECONDS = 10.0
"""Of the processor's time. A busy machine takes longer, and says the same."""
_LONGEST = 30.0
"""Seconds by the clock, after which training ends in any case."""
_EPISODES = 10
_LIMIT = 1000
"""Time limit of episodes, in an environment without."""


def brief_ppo() -> Algorithm:
    """PPO that gets somewhere within some ten thousand steps, whatever the scale of things."""
    return ppo(
        estimator=GAE(gamma=0.99, lam=0.95),
        optimizer=Adam(learning_rate="linear:1e-3:0"),
        num_epochs=8,
        num_minibatches=8,
    )


def affordable_steps(subject: Subject, step_seconds: float) -> int:
    """Steps for `SECONDS`, at most `STEPS`."""
    choice = _trainable(subject)
    if choice.backend != "gymnasium":
        return STEPS[choice.backend]
    return min(STEPS["gymnasium"], int(SECONDS / max(step_seconds, 1e-6)))


def train_briefly(subject: Subject, seed: int, steps: int) -> Training:
    """Train for a number of steps, or for `SECONDS`, and evaluate.

    Raises:
        UphillError: if the environment can't be trained on, or a number was not finite.
    """
    choice, algorithm = _trainable(subject), brief_ppo()
    started = time.perf_counter()
    trainer = Trainer(choice, algorithm, (seed,), steps)
    try:
        state = _train(trainer)
    finally:
        trainer.close()
    seconds = time.perf_counter() - started
    if state.stops:
        raise UphillError(sentence(state.stops[0].why, seed, choice.name, algorithm))
    returns = evaluate_actors(choice, state.learners.actor, (0,), _EPISODES, lambda _: None)
    taken = min(state.num_transitions)
    speed = taken / max(seconds - trainer.compile_seconds, 1e-9)
    return Training(algorithm.name, taken, seconds, speed, returns[0, 0], returns[1, 0])


def _train(trainer: Trainer) -> TrainState:
    """All steps, or as many as there is time for; what is compiled first does not count."""
    state, began = trainer.start(), None
    for after, _ in iterate(trainer, state):
        state, now = after, (time.process_time(), time.perf_counter())
        began = began or now
        if now[0] - began[0] > SECONDS or now[1] - began[1] > _LONGEST:
            break
    return state


def _trainable(subject: Subject) -> EnvironmentChoice:
    """What to train on: as it was examined, unless it is compiled; never without a time limit."""
    choice = subject.choice
    if choice.backend == "compiled" or subject.through == "EnvPool":
        return choice
    if subject.max_episode_steps is not None:
        return replace(choice, backend="gymnasium")
    limited = replace(choice.alterations, max_episode_steps=_LIMIT)
    return replace(choice, backend="gymnasium", alterations=limited)
