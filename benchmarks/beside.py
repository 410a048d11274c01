"""Several trainings in parallel: do they make more steps in total than one alone?"""

import os
import statistics
import subprocess
import sys

JOBS = {
    "PPO on CartPole, one seed, 2 trainings": ("CartPole-v1", "ppo", 1, 2),
    "PPO on CartPole, eight seeds, 2 trainings": ("CartPole-v1", "ppo", 8, 2),
    "PPO on LunarLander (EnvPool), 4 trainings": ("LunarLander-v3", "ppo", 1, 4),
    "REINFORCE on CarRace-v0, 3 trainings": ("CarRace-v0", "reinforce", 1, 3),
}

_TRAINING = """
import sys, time
env, algo, seeds = sys.argv[1], sys.argv[2], int(sys.argv[3])
from uphill.training.process import use_cores
use_cores(seeds)
from uphill.sessions.presets import preset
from uphill.training.trainer import Trainer
trainer = Trainer(env, preset(env, algo).algorithm, tuple(range(seeds)), 2**32 - 1)
state, _ = trainer.advance(trainer.start(), 1)
print("ready", flush=True)
sys.stdin.readline()
before, start = sum(state.num_transitions), time.perf_counter()
while time.perf_counter() - start < 8:
    state, _ = trainer.advance(state, 4)
print((sum(state.num_transitions) - before) / (time.perf_counter() - start), flush=True)
trainer.close()
"""


def beside(rounds: int = 5) -> None:
    """Total steps per second of several trainings at once, relative to one alone."""
    for title, (env, algo, seeds, count) in JOBS.items():
        ratios = []
        for _ in range(rounds):
            alone = _rate(env, algo, seeds, 1)
            ratios.append(_rate(env, algo, seeds, count) / alone)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{title}: {statistics.median(ratios):.2f} ({spread}) times one alone", flush=True)


def _rate(env: str, algo: str, seeds: int, count: int) -> float:
    """Total steps per second of `count` processes that begin to train at once."""
    command = [sys.executable, "-c", _TRAINING, env, algo, str(seeds)]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=dict(os.environ))
        for _ in range(count)
    ]
    for process in running:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in running)
