"""The same work in another library. Needs an environment of its own:

python3 -m venv peer && peer/bin/pip install torch==2.13.0 stable-baselines3 'gymnasium[box2d]'
PEER=peer/bin/python python -m benchmarks sb3
peer/bin/pip install . && PEER=peer/bin/python python -m benchmarks sb3-car-race
"""

import os
import re
import subprocess
import sys

from uphill.parts import GAE, Adam, Steps
from uphill.parts.algorithms import ppo

ZOO_LUNAR_LANDER = ppo(
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


def sb3_car_race(steps: int = 200_000) -> None:
    """SB3's PPO, with its own defaults, on `uphill/CarRace-v0` as Gymnasium registers it."""
    subprocess.run([_peer(), "-c", _SB3_CAR_RACE.format(steps=steps)], check=True)


def _peer() -> str:
    """The Python that the peer is installed for."""
    peer = os.environ.get("PEER")
    if peer is None:
        raise SystemExit("Set PEER to a Python with stable-baselines3: see benchmarks/peers.py.")
    return peer


def sb3(rounds: int = 3) -> None:
    """PPO on LunarLander-v3 with rl-zoo3's settings: ours and SB3's, alternating."""
    peer = _peer()
    ratios = []
    for _ in range(rounds):
        # Each in a process of its own: an idle pool's threads would slow the other one down.
        theirs = _last_number([peer, "-c", _SB3])
        ours = 1e3 * _last_number([sys.executable, "-m", "benchmarks", "pool-training"])
        ratios.append(ours / theirs)
        print(f"ours {ours / 1e3:.1f} k, SB3 {theirs / 1e3:.2f} k steps/s: {ours / theirs:.1f} ×")
    print(f"ratio {min(ratios):.1f} to {max(ratios):.1f}")


def _last_number(command: list[str]) -> float:
    """The number at the end of a command's output, or before "k steps/s"."""
    out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return float(re.findall(r"[\d.]+(?= k steps/s|\s*$)", out.replace(",", ""))[-1])
