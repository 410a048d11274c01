"""One seed on all devices, and on one: steps per second, side by side.

It takes the GPUs, if JAX finds several, else a device for each core.
"""

import statistics
import subprocess
import sys

from uphill.training.cores import usable_cores

CASES = {
    "PPO, defaults": ("CartPole-v1", "ppo()"),
    "PPO, 64 × 128, 4 epochs, minibatches of 2,048": (
        "CartPole-v1",
        "ppo(sampling=Steps(64, 128), num_epochs=4, num_minibatches=4)",
    ),
    "PPO, 512 × 32, minibatches of 4,096, 256-256": (
        "CartPole-v1",
        "ppo(sampling=Steps(512, 32), num_epochs=4, num_minibatches=4, policy=LARGE)",
    ),
    "TRPO, defaults": ("CartPole-v1", "trpo()"),
    "TRPO, 64 × 128": ("CartPole-v1", "trpo(sampling=Steps(64, 128))"),
    "REINFORCE, defaults": ("CartPole-v1", "reinforce()"),
    "PPO on the car race, 64 × 128": (
        "CarRace-v0",
        "ppo(sampling=Steps(64, 128), num_epochs=4, num_minibatches=4)",
    ),
}

_TRAINING = """
import sys, time
import jax
from uphill.parts import PolicySettings, Steps
from uphill.parts.algorithms import ppo, reinforce, trpo
from uphill.training.process import use_cores
from uphill.training.trainer import Trainer
LARGE = PolicySettings(hidden=(256, 256))
devices = int(sys.argv[3])
use_cores(1, devices=devices)
if devices > 1:
    devices = len(jax.devices())
trainer = Trainer(sys.argv[1], eval(sys.argv[2]), (0,), 2**32 - 1, devices=devices)
state, _ = trainer.advance(trainer.start(), 2)
print(devices, flush=True)
for line in sys.stdin:
    before, start = state.num_transitions[0], time.perf_counter()
    while time.perf_counter() - start < float(line):
        state, _ = trainer.advance(state, 4)
    print((state.num_transitions[0] - before) / (time.perf_counter() - start), flush=True)
trainer.close()
"""


def devices(rounds: int = 7, seconds: float = 3.0) -> None:
    """Steps per second of one seed on all devices, relative to one device."""
    for title, (env, algorithm) in CASES.items():
        one = _Training(env, algorithm, 1)
        every = _Training(env, algorithm, usable_cores())
        pairs = [(every.rate(seconds), one.rate(seconds)) for _ in range(rounds)]
        ratios = sorted(a / b for a, b in pairs)
        ours, alone = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{title}: {ours / 1e3:,.0f} k steps/s on {every.devices} devices, {alone / 1e3:,.0f} "
            f"k on one; ratio {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
        one.close()
        every.close()


class _Training:
    """A process that trains for as long as it is told to, and otherwise waits."""

    def __init__(self, env: str, algorithm: str, devices: int) -> None:
        command = [sys.executable, "-c", _TRAINING, env, algorithm, str(devices)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.devices = int(self._line())

    def rate(self, seconds: float) -> float:
        """Steps per second."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()
