"""The same work in other libraries. They need separate environments:

python3 -m venv peer && peer/bin/pip install torch==2.13.0 stable-baselines3 'gymnasium[box2d]'
PEER=peer/bin/python python -m benchmarks sb3 sb3-cartpole
peer/bin/pip install . && PEER=peer/bin/python python -m benchmarks sb3-car-race
python3 -m venv rejax && rejax/bin/pip install rejax==0.1.3 gymnax==0.0.9
PEER=rejax/bin/python python -m benchmarks rejax
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.compositions import plain_ppo
from uphill.parts import GAE, Adam, Steps

ZOO_LUNAR_LANDER = plain_ppo(
    sampling=Steps(num_envs=16, num_steps=1024),
    estimator=GAE(gamma=0.999, lam=0.98),
    optimizer=Adam(learning_rate=3e-4),
    num_epochs=4,
    num_minibatches=256,
    entropy=0.01,
)

_SB3 = """
import sys, time
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
env = make_vec_env("LunarLander-v3", n_envs=16, seed=0)
model = PPO("MlpPolicy", env, n_steps=1024, batch_size=64, gae_lambda=0.98, gamma=0.999,
            n_epochs=4, ent_coef=0.01, seed=0, device="cpu")
model.learn(16384)
start = time.perf_counter()
model.learn(49152, reset_num_timesteps=False)
print(49152 / (time.perf_counter() - start))
"""


_SB3_CAR_RACE = """
import time
import gymnasium
import uphill.envs.registration
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
model = PPO("MlpPolicy", "uphill/CarRace-v0", seed=0, device="cpu")
start = time.perf_counter()
model.learn({steps})
seconds = time.perf_counter() - start
env = gymnasium.make("uphill/CarRace-v0")
mean, deviation = evaluate_policy(model, env, n_eval_episodes=20, warn=False)
print(f"{steps:,} steps in {{seconds:.0f}} s; mean return {{mean:.1f}} over 20 episodes")
"""


_SB3_CARTPOLE = """
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
rate = lambda left: 1e-3 * left
clip = lambda left: 0.2 * left
env = make_vec_env("CartPole-v1", n_envs=8, seed={seed})
model = PPO("MlpPolicy", env, n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20,
            ent_coef=0.0, learning_rate=rate, clip_range=clip, seed={seed}, device="cpu")
model.learn(100_000)
print(evaluate_policy(model, env, n_eval_episodes=100, warn=False)[0])
"""
"""rl-zoo3's settings of PPO for CartPole-v1."""

_REJAX = """
import sys, time
start = time.perf_counter()
import jax
from rejax import get_algo
num_seeds, steps = int(sys.argv[1]), int(sys.argv[2])
algo = get_algo("ppo").create(
    env="CartPole-v1", num_envs=8, num_steps=128, num_epochs=4, num_minibatches=4,
    agent_kwargs=dict(activation="tanh", hidden_layer_sizes=(64, 64)),
    learning_rate=3e-4, total_timesteps=steps, eval_freq=steps, skip_initial_evaluation=True)
keys = jax.random.split(jax.random.key(0), num_seeds)
train = jax.jit(jax.vmap(algo.train)).lower(keys).compile()
ready = time.perf_counter() - start
jax.block_until_ready(train(keys))
start = time.perf_counter()
jax.block_until_ready(train(keys))
print(ready, num_seeds * steps / (time.perf_counter() - start))
"""
"""Prints seconds of import and compilation, and steps per second, including an evaluation of 128
episodes."""

_OURS = """
import sys, time
start = time.perf_counter()
from benchmarks.compositions import plain_ppo
from uphill.training.process import use_cores
num_seeds, steps = int(sys.argv[1]), int(sys.argv[2])
use_cores(num_seeds)
from uphill.training.trainer import Trainer
trainer = Trainer("CartPole-v1", plain_ppo(), tuple(range(num_seeds)), 2**32 - 1)
state, _ = trainer.advance(trainer.start(), 1)
ready = time.perf_counter() - start
num_updates, measured = max(1, steps // 1024), 0.0
done, start = 0, time.perf_counter()
while done < num_updates:
    count = min(64, num_updates - done)
    state, _ = trainer.advance(state, count)
    done += count
print(ready, num_seeds * 1024 * num_updates / (time.perf_counter() - start))
"""


def rejax(rounds: int = 5) -> None:
    """PPO on CartPole, 8 × 128, 4 × 4 minibatches, 64-64 tanh: ours and Rejax's, alternating."""
    peer = _peer()
    for num_seeds in (1, 8):
        pairs = []
        for _ in range(rounds):
            arguments = [str(num_seeds), "500000"]
            with tempfile.TemporaryDirectory() as cache:
                ours = _numbers([sys.executable, "-c", _OURS, *arguments], XDG_CACHE_HOME=cache)
                theirs = _numbers([peer, "-c", _REJAX, *arguments], XDG_CACHE_HOME=cache)
            pairs.append((ours, theirs))
        print(f"{num_seeds} seed(s): import and compilation,", _ratio(pairs, 0, "{:.1f} s"))
        print(f"{num_seeds} seed(s): steps per second,", _ratio(pairs, 1, "{:,.0f}"), flush=True)


def sb3_cartpole(rounds: int = 5) -> None:
    """From the start of the process to an evaluated policy, CartPole-v1: ours and SB3's PPO."""
    peer = _peer()
    pairs: dict[str, list] = {"cold": [], "warm": []}
    for seed in range(rounds):
        theirs, score = _timed([peer, "-c", _SB3_CARTPOLE.format(seed=seed)])
        with tempfile.TemporaryDirectory() as folder:
            for state in pairs:
                command = [sys.executable, "-m", "uphill.cli", "train", "CartPole-v1"]
                command += ["--seed", str(seed), "--quiet", "--out", f"{folder}/{state}"]
                ours, _ = _timed(command, XDG_CACHE_HOME=folder)
                pairs[state].append(([ours], [theirs]))
        print(f"seed {seed}: SB3 {theirs:.0f} s, mean return {score.strip()}", flush=True)
    for state, measured in pairs.items():
        print(f"uphill train CartPole-v1, {state}:", _ratio(measured, 0, "{:.1f} s"))


def _ratio(pairs: list, k: int, form: str) -> str:
    """The medians of the k-th numbers of both, and the ratio ours / theirs over pairs."""
    ours = statistics.median(a[k] for a, _ in pairs)
    theirs = statistics.median(b[k] for _, b in pairs)
    ratios = sorted(a[k] / b[k] for a, b in pairs)
    middle = statistics.median(ratios)
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return f"{form.format(ours)} against {form.format(theirs)}: ratio {middle:.2f} ({spread})"


def _numbers(command: list[str], **variables: str) -> list[float]:
    """The numbers in the last line that a command prints."""
    return [float(word) for word in _timed(command, **variables)[1].splitlines()[-1].split()]


def _timed(command: list[str], **variables: str) -> tuple[float, str]:
    """Seconds that a command takes, and what it prints."""
    started = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, check=True, text=True
    )
    return time.perf_counter() - started, done.stdout


def sb3_car_race(steps: int = 200_000) -> None:
    """SB3's PPO, with its own defaults, on `uphill/CarRace-v0` as registered with Gymnasium."""
    subprocess.run([_peer(), "-c", _SB3_CAR_RACE.format(steps=steps)], check=True)


def _peer() -> str:
    """The Python in which the peer is installed."""
    peer = os.environ.get("PEER")
    if peer is None:
        raise SystemExit("Set PEER to a Python with stable-baselines3: see benchmarks/peers.py.")
    return peer


def sb3(rounds: int = 3) -> None:
    """PPO on LunarLander-v3 with rl-zoo3's settings: ours and SB3's, alternating."""
    peer = _peer()
    ratios = []
    for _ in range(rounds):
        # Each in its own process: an idle pool's threads would slow the other one down.
        theirs = _last_number([peer, "-c", _SB3])
        ours = 1e3 * _last_number([sys.executable, "-m", "benchmarks", "pool-training"])
        ratios.append(ours / theirs)
        print(f"ours {ours / 1e3:.1f} k, SB3 {theirs / 1e3:.2f} k steps/s: {ours / theirs:.1f} ×")
    print(f"ratio {min(ratios):.1f} to {max(ratios):.1f}")


def _last_number(command: list[str]) -> float:
    """The number at the end of a command's output, or before "k steps/s"."""
    out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return float(re.findall(r"[\d.]+(?= k steps/s|\s*$)", out.replace(",", ""))[-1])
