"""The same work in another library. Needs an environment of its own:

python3 -m venv peer && peer/bin/pip install torch==2.13.0 stable-baselines3 'gymnasium[box2d]'
PEER=peer/bin/python python -m benchmarks sb3
"""

import os
import subprocess

from benchmarks.timing import rates
from uphill.envs.make import choose
from uphill.learning.algorithms import ppo
from uphill.learning.parts import GAE, Adam, Steps
from uphill.learning.train import Trainer

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


def sb3(rounds: int = 3) -> None:
    """PPO on LunarLander-v3 with rl-zoo3's settings: ours and SB3's, alternating."""
    peer = os.environ.get("PEER")
    if peer is None:
        raise SystemExit(
            "Set PEER to the Python that has stable-baselines3 (see benchmarks/peers.py)."
        )
    trainer = Trainer(choose("LunarLander-v3", "envpool"), ZOO_LUNAR_LANDER, (0,), 2**32 - 1)
    state, _ = trainer.advance(trainer.start(), 1)
    ratios = []
    for _ in range(rounds):
        theirs = float(subprocess.run([peer, "-c", _SB3], capture_output=True, check=True).stdout)

        def run() -> int:
            after, _ = trainer.advance(state, 3)
            return sum(after.num_transitions) - sum(state.num_transitions)

        ours = float(rates(run, 1).split()[0].replace(",", "")) * 1e3
        ratios.append(ours / theirs)
        print(
            f"ours {ours / 1e3:.1f} k, SB3 {theirs / 1e3:.2f} k steps/s: {ours / theirs:.1f} times"
        )
    print(f"ratio {min(ratios):.1f} to {max(ratios):.1f}")
