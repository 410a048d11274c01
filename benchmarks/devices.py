"""One seed on all devices, and on one: steps per second, side by side.

It takes the GPUs, if JAX finds several, else a device for each core.
"""

import statistics

from benchmarks.training_process import TrainingProcess
from uphill.parts import PolicySettings, Steps
from uphill.parts.algorithms import ppo, reinforce, trpo
from uphill.training.cores import usable_cores

CASES = {
    "PPO, defaults": ("CartPole-v1", ppo()),
    "PPO, 64 × 128, 4 epochs, minibatches of 2,048": (
        "CartPole-v1",
        ppo(sampling=Steps(64, 128), num_epochs=4, num_minibatches=4),
    ),
    "PPO, 512 × 32, minibatches of 4,096, 256-256": (
        "CartPole-v1",
        ppo(
            sampling=Steps(512, 32),
            num_epochs=4,
            num_minibatches=4,
            policy=PolicySettings(hidden=(256, 256)),
        ),
    ),
    "TRPO, defaults": ("CartPole-v1", trpo()),
    "TRPO, 64 × 128": ("CartPole-v1", trpo(sampling=Steps(64, 128))),
    "REINFORCE, defaults": ("CartPole-v1", reinforce()),
    "PPO on the car race, 64 × 128": (
        "CarRace-v0",
        ppo(sampling=Steps(64, 128), num_epochs=4, num_minibatches=4),
    ),
}


def devices(rounds: int = 7, seconds: float = 3.0) -> None:
    """Steps per second of one seed on all devices, relative to one device."""
    for title, (env, algorithm) in CASES.items():
        one = TrainingProcess(env, algorithm)
        every = TrainingProcess(env, algorithm, devices=usable_cores())
        pairs = [(every.report(seconds).rate, one.report(seconds).rate) for _ in range(rounds)]
        ratios = sorted(a / b for a, b in pairs)
        ours, alone = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{title}: {ours / 1e3:,.0f} k steps/s on {every.first.devices} devices, "
            f"{alone / 1e3:,.0f} k on one; ratio {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
        one.close()
        every.close()
