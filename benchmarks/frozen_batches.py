"""Gradients of Stable-Baselines3's own losses on small random batches, in float64, for the tests.

`tests/exact/test_frozen_batches.py` compares ours with them. To make the data again, in a separate
environment without Uphill:

python3 -m venv peer && peer/bin/pip install torch==2.13.0 stable-baselines3
peer/bin/python -m benchmarks.frozen_batches

No loss is reimplemented here: `PPO.train` and `A2C.train` run on a filled buffer, once over all of
it, with a learning rate of 0 and no gradient clipping, and leave gradients in `.grad`.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

DATA = Path(__file__).parent.parent / "tests" / "exact" / "frozen_batches.npz"
NUM_STEPS, NUM_ENVS, NUM_FEATURES = 6, 4, 4
ACTIONS = {"discrete": spaces.Discrete(3), "gaussian": spaces.Box(-1, 1, (2,), np.float32)}
OBSERVATIONS = spaces.Box(-np.inf, np.inf, (NUM_FEATURES,), np.float32)
LAYERS = {
    "policy.layer": "mlp_extractor.policy_net.0",
    "policy.head": "action_net",
    "critic.layer": "mlp_extractor.value_net.0",
    "critic.head": "value_net",
}

Arrays = dict[str, np.ndarray]


class InFloat64(FlattenExtractor):
    """SB3 makes observations float32; everything after that is float64."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return super().forward(observations).double()


class World(gymnasium.Env):
    """Never stepped: it only declares the spaces."""

    observation_space = OBSERVATIONS

    def __init__(self, kind: str) -> None:
        self.action_space = ACTIONS[kind]


def model_of(algorithm: type, kind: str, normalize_advantage: bool) -> Any:
    """SB3's model with small networks in float64."""
    settings: dict[str, Any] = {
        "n_steps": NUM_STEPS,
        "learning_rate": 0.0,
        "ent_coef": 0.03,
        "vf_coef": 0.5,
        "max_grad_norm": 1e9,
        "normalize_advantage": normalize_advantage,
        "device": "cpu",
    }
    if algorithm is PPO:
        settings |= {"batch_size": NUM_STEPS * NUM_ENVS, "n_epochs": 1, "clip_range": 0.2}
    networks = {
        "net_arch": {"pi": [8], "vf": [8]},
        "activation_fn": torch.nn.Tanh,
        "features_extractor_class": InFloat64,
        "optimizer_class": torch.optim.SGD,
        "optimizer_kwargs": {},
    }
    env = DummyVecEnv([lambda: World(kind)] * NUM_ENVS)
    model = algorithm("MlpPolicy", env, policy_kwargs=networks, **settings)
    model.policy.double()
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def tensors_of(model: Any) -> dict[str, torch.nn.Parameter]:
    """The networks' tensors, under the names that the tests use."""
    named = {}
    for name, place in LAYERS.items():
        layer = model.policy.get_submodule(place)
        named[f"{name}.weight"], named[f"{name}.bias"] = layer.weight, layer.bias
    if hasattr(model.policy, "log_std"):
        named["policy.log_std"] = model.policy.log_std
    return named


def random_rollout(kind: str, rng: np.random.Generator) -> Arrays:
    """The contents of a buffer, without the log-probabilities."""
    shape = (NUM_STEPS, NUM_ENVS)
    is_discrete = kind == "discrete"
    actions = rng.integers(0, 3, (*shape, 1)) if is_discrete else rng.normal(size=(*shape, 2))
    return {
        # As SB3 stores them; everything else is float64.
        "observations": rng.normal(size=(*shape, NUM_FEATURES)).astype(np.float32),
        "actions": actions.astype(np.float32),
        "values": rng.normal(size=shape),
        "advantages": 2.0 * rng.normal(size=shape) + 0.5,
        "returns": rng.normal(size=shape),
    }


def old_log_probs(model: Any, kind: str, rollout: Arrays, rng: np.random.Generator) -> np.ndarray:
    """Log-probabilities of a different policy: about half of the ratios are clipped."""
    observations = torch.as_tensor(rollout["observations"].reshape(-1, NUM_FEATURES))
    actions = torch.as_tensor(rollout["actions"].reshape(NUM_STEPS * NUM_ENVS, -1))
    actions = actions.long().flatten() if kind == "discrete" else actions
    with torch.no_grad():
        _, log_prob, _ = model.policy.evaluate_actions(observations, actions)
    now = log_prob.numpy().reshape(NUM_STEPS, NUM_ENVS)
    return now + 0.3 * rng.normal(size=now.shape)


def gradients(algorithm: type, kind: str, is_scaled: bool, weights: Any, rollout: Arrays) -> Arrays:
    """What `train` leaves in `.grad`."""
    model = model_of(algorithm, kind, is_scaled)
    model.policy.load_state_dict(weights)
    buffer = model.rollout_buffer
    buffer.reset()
    for name, value in rollout.items():  # `add` would round them to float32
        setattr(buffer, name, value.copy())
    buffer.pos, buffer.full = NUM_STEPS, True
    model.train()
    found = {name: tensor.grad.numpy() for name, tensor in tensors_of(model).items()}
    assert all(x.dtype == np.float64 for x in found.values())
    return found


def losses(kind: str, rng: np.random.Generator) -> Arrays:
    """A rollout, the networks' weights, and the gradients of every loss."""
    rollout, model = random_rollout(kind, rng), model_of(PPO, kind, False)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(torch.as_tensor(0.5 * rng.normal(size=parameter.shape)))
    weights = model.policy.state_dict()
    rollout["log_probs"] = old_log_probs(model, kind, rollout, rng)
    out = {f"{kind}/{name}": x for name, x in rollout.items() if name != "values"}
    named = tensors_of(model).items()
    out |= {f"{kind}/weights/{name}": tensor.detach().numpy() for name, tensor in named}
    for algorithm, is_scaled in ((PPO, False), (PPO, True), (A2C, False), (A2C, True)):
        place = f"{kind}/{algorithm.__name__.lower()}/{'scaled' if is_scaled else 'raw'}"
        found = gradients(algorithm, kind, is_scaled, weights, rollout)
        out |= {f"{place}/{name}": x for name, x in found.items()}
    return out


def advantages(rng: np.random.Generator) -> Arrays:
    """GAE by SB3's buffer: episodes that terminate in a window, and some that it truncates."""
    shape = (8, 3)
    buffer = RolloutBuffer(
        shape[0], OBSERVATIONS, ACTIONS["discrete"], gamma=0.95, gae_lambda=0.9, n_envs=shape[1]
    )
    starts = rng.uniform(size=(shape[0] + 1, shape[1])) < 0.3
    buffer.rewards, buffer.values = rng.normal(size=shape), rng.normal(size=shape)
    buffer.episode_starts, buffer.advantages = starts[:-1].astype(float), np.zeros(shape)
    final_value = rng.normal(size=shape[1])
    buffer.compute_returns_and_advantage(torch.as_tensor(final_value), starts[-1])
    return {
        "gae/reward": buffer.rewards,
        "gae/value": buffer.values,
        "gae/final_value": final_value,
        "gae/terminated": starts[1:],
        "gae/advantage": buffer.advantages,
        "gae/target": buffer.returns,
    }


def main() -> None:
    """Writes the data."""
    rng, out = np.random.default_rng(0), {}
    for kind in ACTIONS:
        out |= losses(kind, rng)
    out |= advantages(rng)
    np.savez_compressed(DATA, **out)
    print(f"{DATA}: {DATA.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
