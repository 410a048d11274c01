"""What a run directory costs while training: metrics, milestones, checkpoints, progress."""

import itertools
import tempfile
from pathlib import Path

from benchmarks.timing import alternate
from uphill.envs.make import choose
from uphill.runs.experiment import make_experiment
from uphill.runs.metrics import MetricsFile
from uphill.sessions.display import Progress
from uphill.sessions.history import first_memory
from uphill.sessions.intervals import measuring_interval
from uphill.sessions.launch import session_of
from uphill.sessions.presets import preset
from uphill.training.trainer import Trainer, iterate


def recording(seeds: int = 2) -> None:
    """Training with everything that a run directory keeps, compared with the loop alone."""
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
            memory, metrics = first_memory(start, experiment), MetricsFile(run)
            session_of(run, experiment, trainer, start, memory, metrics, progress).run()

        def alone() -> None:
            for _ in iterate(trainer, start):
                pass

        return alternate(ours, alone, seeds * chosen.steps)
