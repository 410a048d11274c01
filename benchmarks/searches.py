"""`uphill tune`: what it finds in ten minutes, and its trials per minute compared with rl-zoo3.

The peer needs a separate environment:

python3 -m venv zoo && zoo/bin/pip install torch==2.13.0 rl_zoo3==2.9.2 'gymnasium[classic-control]'
PEER=zoo/bin/python python -m benchmarks zoo
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import uphill
from uphill.parts import GAE, Algorithm, RMSProp, Steps
from uphill.parts.algorithms import a2c, reinforce
from uphill.policies.policy import PolicySettings

Search = tuple[str, Algorithm, int, int, Mapping[str, Any]]
"""Environment, initial settings, steps, seeds per trial, and the search space."""


def search(minutes: float = 10) -> None:
    """The winners of searches of ten minutes, and the initial settings, on 16 fresh seeds."""
    for env, algorithm, steps, seeds, searched in _searches():
        with tempfile.TemporaryDirectory() as folder:
            found = uphill.tune(
                env,
                algorithm,
                steps=steps,
                seeds=seeds,
                trials=1000,
                minutes=minutes,
                prune=True,
                search=searched,
                out=f"{folder}/tuned",
                quiet=True,
            )
        probability, (low, high) = found.p_better
        winner, initial = map(_shown, (found.winner, found.default))
        print(
            f"{env}, {algorithm.name}, {steps:,} steps: {len(found.trials)} trials; winner "
            f"{winner}, initial settings {initial}; P(winner > initial) {probability:.2f} "
            f"({low:.2f} to {high:.2f})\n  {found.setting}",
            flush=True,
        )


def _shown(row: Any) -> str:
    return f"{row.iqm:.0f} [{row.ci95[0]:.0f}, {row.ci95[1]:.0f}]"


def _searches() -> tuple[Search, Search]:
    """Searches that start from textbook settings, which learn next to nothing in that many steps.

    On Pendulum some settings learn on most seeds and fail on others. An interquartile mean over
    four seeds leaves out the worst one, so these settings look good; one over eight seeds doesn't.
    """
    slow = a2c(
        sampling=Steps(num_envs=8, num_steps=16),
        estimator=GAE(gamma=0.99, lam=1.0),
        optimizer=RMSProp(learning_rate=7e-4),
        normalize_observations=False,
        normalize_rewards=False,
    )
    wide = reinforce(policy=PolicySettings(initial_log_std=0.0))
    searched = {
        "estimator.gamma": "0.9:0.99",
        "optimizer.learning_rate": [3e-3, "linear:3e-3:0", "linear:1e-2:0"],
        "policy.distribution": ["gaussian", "tanh-gaussian"],
        "baseline": ["batch-mean", "time-mean"],
        "scale_advantages": ["none", "batch"],
        "normalize_observations": [False, True],
    }
    return (
        ("Acrobot-v1", slow, 100_000, 4, {}),
        ("Pendulum-v1", wide, 2_000_000, 8, searched),
    )


def zoo(minutes: float = 5, steps: int = 50_000, rounds: int = 2) -> None:
    """Trials per minute on CartPole-v1, PPO, one seed each: ours and rl-zoo3's, in turns. rl-zoo3
    searches for some minutes; ours, 16 trials, trains fresh seeds of the winner as well."""
    peer = os.environ.get("PEER")
    if peer is None:
        raise SystemExit("Set PEER to a Python with rl-zoo3: see benchmarks/searches.py.")
    ratios = []
    for seed in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            shared = ["--algo", "ppo", "--seed", str(seed)]
            zoos = [peer, "-m", "rl_zoo3.train", *shared, "--env", "CartPole-v1", "-optimize"]
            zoos += ["-n", str(steps), "--n-trials", "1000", "--n-jobs", "2"]
            zoos += ["--sampler", "tpe", "--pruner", "none", "--no-optim-plots", "-f", folder]
            theirs = _ended_within(minutes, zoos, folder) / minutes
            ours = [sys.executable, "-m", "uphill.cli", "tune", "CartPole-v1", *shared, "--quiet"]
            ours += ["--steps", str(steps), "--trials", "16", "--seeds", "1"]
            ours += ["--out", f"{folder}/tuned"]
            mine = 16 / _minutes(ours, folder)
        ratios.append(mine / theirs)
        print(
            f"ours {mine:.1f}, rl-zoo3 {theirs:.2f} trials per minute: {ratios[-1]:.1f} ×",
            flush=True,
        )
    print(f"ratio {min(ratios):.1f} to {max(ratios):.1f}")


def _ended_within(minutes: float, command: list[str], folder: str) -> int:
    """How many trials end before a search is stopped."""
    try:
        subprocess.run(command, cwd=folder, timeout=60 * minutes, capture_output=True)
        raise SystemExit("rl-zoo3 ended by itself: its output says why.")
    except subprocess.TimeoutExpired as stopped:
        return (stopped.stderr or b"").count(b" finished with value")


def _minutes(command: list[str], folder: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) / 60
