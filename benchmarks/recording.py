"""What a run directory costs while training: metrics, milestones, checkpoints, progress."""

import itertools
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.timing import alternate
from uphill.envs.make import choose
from uphill.runs.experiment import make_experiment
from uphill.runs.metrics import MetricsFile
from uphill.sessions.display import Progress
from uphill.sessions.launch import first_log
from uphill.sessions.presets import preset
from uphill.sessions.session import Session, measuring_interval
from uphill.training.trainer import Trainer, iterate


class _Idle(ThreadPoolExecutor):
    """Does nothing: what is made ready for the end of a training is no part of its speed."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        return Future()


def recording(seeds: int = 2) -> None:
    """Training with everything that a run directory keeps, against the loop alone."""
    for env, algo in (("CartPole-v1", "ppo"), ("CartPole-v1", "reinforce"), ("CarRace-v0", "ppo")):
        print(f"{env}, {algo}, {seeds} seeds:", _compare(env, algo, seeds))


def _compare(env: str, algo: str, seeds: int) -> str:
    chosen = preset(env, algo)
    choice = choose(env)
    experiment = make_experiment(
        env=env,
        is_callable=False,
        env_kwargs={},
        backend=choice.backend,
        is_async=False,
        algo=algo,
        algorithm=chosen.algorithm,
        seed=0,
        seeds=seeds,
        steps=chosen.steps,
    )
    every = measuring_interval(chosen.algorithm, chosen.steps)
    all_seeds = experiment.all_seeds
    trainer = Trainer(choice, chosen.algorithm, all_seeds, chosen.steps, measure_every=every)
    start = trainer.start()
    with tempfile.TemporaryDirectory() as folder:
        runs = (Path(folder) / str(k) for k in itertools.count())

        def ours() -> None:
            run = next(runs)
            run.mkdir()
            progress = Progress(chosen.steps, quiet=True, seeds=all_seeds)
            log = first_log(start, seeds)
            session = Session(run, experiment, trainer, log, MetricsFile(run), progress, 1)
            session._train(start, _Idle(1))

        def alone() -> None:
            for _ in iterate(trainer, start):
                pass

        return alternate(ours, alone, seeds * chosen.steps)
