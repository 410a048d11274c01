"""Gradients of Stable-Baselines3's own losses on small random batches, in float64, for the tests.

`tests/exact/test_frozen_batches.py` compares ours with them. To make the data again, with a Python
of its own (its NumPy and PyTorch are not among this project's requirements):

python3 -m venv peer && peer/bin/pip install torch==2.13.0 stable-baselines3
PEER=peer/bin/python python -m benchmarks.frozen_batches

Nothing of the losses is typed in here: `PPO.train` and `A2C.train` run, on a filled buffer, with a
learning rate of 0 and no limit to the gradient's norm, and leave their gradients in `.grad`.
"""

import os
import subprocess
from pathlib import Path

DATA = Path(__file__).parent.parent / "tests" / "exact" / "frozen_batches.npz"

_SB3 = r"""
import sys
import gymnasium, numpy as np, torch as th
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import FlattenExtractor

NUM_STEPS, NUM_ENVS, NUM_FEATURES = 6, 4, 4


class InFloat64(FlattenExtractor):
    # SB3 makes observations float32; what follows is to be float64.
    def forward(self, observations):
        return super().forward(observations).double()


class World(gymnasium.Env):
    # Never stepped: it only says what the spaces are.
    observation_space = spaces.Box(-np.inf, np.inf, (NUM_FEATURES,), np.float32)

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        return np.zeros(NUM_FEATURES, np.float32), {}


ACTIONS = {"discrete": spaces.Discrete(3), "gaussian": spaces.Box(-1, 1, (2,), np.float32)}
LAYERS = {
    "policy.layer": "mlp_extractor.policy_net.0",
    "policy.head": "action_net",
    "critic.layer": "mlp_extractor.value_net.0",
    "critic.head": "value_net",
}


def make(algorithm, kind, normalize_advantage):
    from stable_baselines3.common.vec_env import DummyVecEnv

    settings = dict(
        n_steps=NUM_STEPS, ent_coef=0.03, vf_coef=0.5, max_grad_norm=1e9, learning_rate=0.0,
        normalize_advantage=normalize_advantage, device="cpu", seed=0,
        policy_kwargs=dict(
            net_arch=dict(pi=[8], vf=[8]), activation_fn=th.nn.Tanh,
            features_extractor_class=InFloat64, optimizer_class=th.optim.SGD, optimizer_kwargs={},
        ),
    )
    if algorithm is PPO:
        settings |= dict(batch_size=NUM_STEPS * NUM_ENVS, n_epochs=1, clip_range=0.2)
    env = DummyVecEnv([lambda: World(ACTIONS[kind])] * NUM_ENVS)
    model = algorithm("MlpPolicy", env, **settings)
    model.policy.double()
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def fill(buffer, arrays):
    # `add` would round to float32, so the arrays are put in as they are.
    buffer.reset()
    for name, value in arrays.items():
        setattr(buffer, name, value.copy())
    buffer.pos, buffer.full = NUM_STEPS, True


def arrays_for(kind, rng):
    shape = (NUM_STEPS, NUM_ENVS)
    if kind == "discrete":
        actions = rng.integers(0, 3, (*shape, 1)).astype(np.float32)
    else:
        actions = rng.normal(size=(*shape, 2)).astype(np.float32)
    return {
        "observations": rng.normal(size=(*shape, NUM_FEATURES)).astype(np.float32),
        "actions": actions,
        "values": rng.normal(size=shape),
        "advantages": 2.0 * rng.normal(size=shape) + 0.5,
        "returns": rng.normal(size=shape),
    }


def tensors(model, of):
    named = {}
    for ours, theirs in LAYERS.items():
        layer = model.policy.get_submodule(theirs)
        named[f"{ours}.weight"], named[f"{ours}.bias"] = layer.weight, layer.bias
    if hasattr(model.policy, "log_std"):
        named["policy.log_std"] = model.policy.log_std
    return {name: of(tensor).detach().numpy().copy() for name, tensor in named.items()}


def gradients(out):
    rng = np.random.default_rng(0)
    for kind in ACTIONS:
        arrays = arrays_for(kind, rng)
        model = make(PPO, kind, False)
        with th.no_grad():
            for parameter in model.policy.parameters():
                parameter.copy_(th.as_tensor(0.5 * rng.normal(size=parameter.shape)))
        weights = model.policy.state_dict()
        observations = th.as_tensor(arrays["observations"].reshape(-1, NUM_FEATURES))
        actions = th.as_tensor(arrays["actions"].reshape(NUM_STEPS * NUM_ENVS, -1))
        actions = actions.long().flatten() if kind == "discrete" else actions
        with th.no_grad():
            log_prob = model.policy.evaluate_actions(observations, actions)[1].numpy()
        # The policy has moved on from the one that sampled: about half of the ratios are clipped.
        arrays["log_probs"] = log_prob.reshape(NUM_STEPS, NUM_ENVS) + 0.3 * rng.normal(
            size=(NUM_STEPS, NUM_ENVS)
        )
        out |= {f"{kind}/{name}": value for name, value in arrays.items() if name != "values"}
        out |= {f"{kind}/weights/{k}": v for k, v in tensors(model, lambda x: x).items()}
        for algorithm in (PPO, A2C):
            for normalized in (False, True):
                model = make(algorithm, kind, normalized)
                model.policy.load_state_dict(weights)
                fill(model.rollout_buffer, arrays)
                model.train()
                place = f"{kind}/{algorithm.__name__.lower()}/{'scaled' if normalized else 'raw'}"
                found = tensors(model, lambda x: x.grad)
                assert all(x.dtype == np.float64 for x in found.values())
                out |= {f"{place}/{name}": value for name, value in found.items()}


def advantages(out):
    # Episodes that terminate within the window, and one that the window cuts.
    rng, shape = np.random.default_rng(1), (8, 3)
    buffer = RolloutBuffer(
        shape[0], World.observation_space, ACTIONS["discrete"], "cpu",
        gamma=0.95, gae_lambda=0.9, n_envs=shape[1],
    )
    buffer.rewards, buffer.values = rng.normal(size=shape), rng.normal(size=shape)
    starts = rng.uniform(size=(shape[0] + 1, shape[1])) < 0.3
    buffer.episode_starts = starts[:-1].astype(np.float64)
    buffer.advantages = np.zeros(shape)
    last = rng.normal(size=shape[1])
    buffer.compute_returns_and_advantage(th.as_tensor(last), starts[-1])
    out |= {"gae/reward": buffer.rewards, "gae/value": buffer.values, "gae/final_value": last}
    out |= {"gae/terminated": starts[1:], "gae/advantage": buffer.advantages}
    out |= {"gae/target": buffer.returns}


out = {}
gradients(out)
advantages(out)
np.savez_compressed(sys.argv[1], **out)
"""


def main() -> None:
    """Write the data: `PEER` is a Python that has Stable-Baselines3."""
    peer = os.environ.get("PEER")
    if peer is None:
        raise SystemExit(
            "Set PEER to a Python with stable-baselines3: see this file's first lines."
        )
    subprocess.run([peer, "-c", _SB3, str(DATA)], check=True)
    print(f"{DATA}: {DATA.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
