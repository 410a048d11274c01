"""Settings that are known to work, by environment: what `uphill train ENV` uses.

Every figure they reach, with the command that measured it, is in benchmarks/README.md.
"""

from dataclasses import dataclass
from typing import Any

from uphill.learning.algorithms import ALGORITHMS, a2c, ppo, reinforce, vpg
from uphill.learning.parts import (
    GAE,
    Adam,
    Algorithm,
    ClippedRatio,
    Episodes,
    RewardToGo,
    RMSProp,
    Steps,
    TimeMean,
)
from uphill.policies.policy import PolicySettings
from uphill.runs.configuration import encode, flags


@dataclass(frozen=True)
class Preset:
    """An algorithm with its settings, and how long to train."""

    algo: str
    algorithm: Algorithm
    steps: int


DEFAULT_STEPS = 1_000_000


def _fading(learning_rate: float) -> Adam:
    """Adam whose step shrinks to nothing: what keeps a solved policy solved."""
    return Adam(learning_rate=f"linear:{learning_rate}:0", max_grad_norm=None)


def _ppo(
    steps: float, num_envs: int, num_steps: int, learning_rate: float, gamma: float, **changes: Any
) -> Preset:
    """PPO on normalised observations and rewards, with a learning rate that fades."""
    settings = {
        "sampling": Steps(num_envs=num_envs, num_steps=num_steps),
        "estimator": GAE(gamma=gamma, lam=0.95),
        "optimizer": Adam(learning_rate=f"linear:{learning_rate}:0"),
        "normalize_observations": True,
        "normalize_rewards": True,
    }
    return Preset("ppo", ppo(**settings | changes), int(steps))


def _a2c(
    steps: float, num_envs: int, num_steps: int, learning_rate: float, gamma: float, **changes: Any
) -> Preset:
    """A2C on normalised observations and rewards, with a learning rate that fades."""
    settings = {
        "sampling": Steps(num_envs=num_envs, num_steps=num_steps),
        "estimator": GAE(gamma=gamma, lam=0.95),
        "optimizer": RMSProp(learning_rate=f"linear:{learning_rate}:0"),
        "normalize_observations": True,
        "normalize_rewards": True,
    }
    return Preset("a2c", a2c(**settings | changes), int(steps))


def _vpg(steps: float, num_envs: int, learning_rate: float, gamma: float, **changes: Any) -> Preset:
    """VPG on normalised observations and returns, with a learning rate that fades."""
    return Preset("vpg", vpg(**_episodic(num_envs, learning_rate, gamma) | changes), int(steps))


def _reinforce(
    steps: float, num_envs: int, learning_rate: float, gamma: float, **changes: Any
) -> Preset:
    """REINFORCE, likewise. Its baseline is the mean of each time step, which says nothing while
    all episodes earn the same; the mean of the batch would push towards what comes late in them.
    """
    settings = {"baseline": TimeMean(), **_episodic(num_envs, learning_rate, gamma)}
    return Preset("reinforce", reinforce(**settings | changes), int(steps))


def _episodic(num_envs: int, learning_rate: float, gamma: float) -> dict[str, Any]:
    return {
        "sampling": Episodes(num_envs=num_envs),
        "estimator": RewardToGo(gamma=gamma),
        "optimizer": _fading(learning_rate),
        "normalize_observations": True,
        "normalize_returns": True,
    }


_CARTPOLE = {
    "ppo": Preset(
        "ppo",
        ppo(
            sampling=Steps(num_envs=8, num_steps=32),
            estimator=GAE(gamma=0.98, lam=0.8),
            surrogate=ClippedRatio(epsilon="linear:0.2:0"),
            optimizer=Adam(learning_rate="linear:1e-3:0"),
            num_epochs=20,
            num_minibatches=1,
        ),
        100_000,
    ),
    "a2c": Preset(
        "a2c",
        a2c(
            estimator=GAE(gamma=0.99, lam=0.95),
            optimizer=RMSProp(learning_rate="linear:2e-3:0"),
        ),
        500_000,
    ),
    "vpg": Preset("vpg", vpg(optimizer=_fading(1e-2)), 500_000),
    "reinforce": Preset(
        "reinforce", reinforce(sampling=Episodes(num_envs=32), optimizer=_fading(1e-2)), 500_000
    ),
}

_ACROBOT = {
    "ppo": _ppo(1e6, 16, 128, 1e-3, 0.99),
    "a2c": _a2c(1e6, 16, 16, 2e-3, 0.99),
    "vpg": _vpg(1e6, 16, 5e-3, 0.99),
    "reinforce": _reinforce(1e6, 16, 5e-3, 0.99),
}

_PENDULUM = {
    "ppo": _ppo(4e5, 16, 64, 1e-3, 0.9, num_epochs=10, num_minibatches=8),
}

_EAGER = PolicySettings(initial_log_std=1.0)
"""Actions that mostly saturate at first: full pushes, whose swings add up to a way out."""

_MOUNTAIN_CAR = {
    "ppo": _ppo(
        1e6,
        16,
        128,
        1e-3,
        0.99,
        estimator=GAE(gamma=0.99, lam=0.98),
        num_minibatches=8,
        entropy="linear:0.03:0",
    ),
}

_MOUNTAIN_CAR_CONTINUOUS = {
    "ppo": _ppo(2e5, 8, 128, 1e-3, 0.999, num_epochs=8, policy=_EAGER),
    "vpg": _vpg(5e5, 16, 5e-3, 0.999, policy=_EAGER),
    "reinforce": _reinforce(5e5, 16, 1e-2, 0.999, policy=_EAGER),
}

_SWING_UP = {
    "ppo": _ppo(2e6, 32, 128, 1e-3, 0.995, num_epochs=8, policy=_EAGER),
}

_CAR_RACE = {
    "ppo": _ppo(1e6, 32, 128, 2e-3, 0.99),
    "vpg": _vpg(6e5, 32, 1e-2, 0.99),
    "reinforce": _reinforce(6e5, 64, 1e-2, 0.99),
}

_CAR_RACE_CONTINUOUS = {
    "ppo": _ppo(1e6, 32, 128, 2e-3, 0.99, policy=PolicySettings(initial_log_std=-0.5)),
}

_LUNAR_LANDER = {
    "ppo": Preset(
        "ppo",
        ppo(
            sampling=Steps(num_envs=16, num_steps=512),
            estimator=GAE(gamma=0.995, lam=0.97),
            optimizer=Adam(learning_rate="linear:1e-3:0"),
            num_epochs=6,
            num_minibatches=32,
            entropy=0.005,
            normalize_observations=True,
        ),
        1_000_000,
    ),
}

_HALF_CHEETAH = {
    "ppo": Preset(
        "ppo",
        ppo(
            sampling=Steps(num_envs=16, num_steps=256),
            estimator=GAE(gamma=0.99, lam=0.95),
            optimizer=Adam(learning_rate="linear:3e-4:0"),
            num_epochs=10,
            num_minibatches=32,
            normalize_observations=True,
        ),
        1_000_000,
    ),
}

PRESETS: dict[str, dict[str, Preset]] = {
    "CartPole-v0": _CARTPOLE,
    "CartPole-v1": _CARTPOLE,
    "Acrobot-v1": _ACROBOT,
    "Pendulum-v1": _PENDULUM,
    "MountainCar-v0": _MOUNTAIN_CAR,
    "MountainCarContinuous-v0": _MOUNTAIN_CAR_CONTINUOUS,
    "CartPoleSwingUp-v0": _SWING_UP,
    "CartPoleSwingUp-v1": _SWING_UP,
    "CarRace-v0": _CAR_RACE,
    "CarRaceContinuous-v0": _CAR_RACE_CONTINUOUS,
    "LunarLander-v3": _LUNAR_LANDER,
    "HalfCheetah-v5": _HALF_CHEETAH,
}


def preset(env: str, algo: str | None = None) -> Preset:
    """The preset of an environment; for one without, the algorithm with its own defaults."""
    presets = _presets(env)
    if algo is None:
        algo = next(iter(presets), "ppo")
    if algo in presets:
        return presets[algo]
    settings = {"normalize_observations": True} if algo in ("ppo", "a2c") else {}
    return Preset(algo, ALGORITHMS[algo](**settings), DEFAULT_STEPS)


def _presets(env: str) -> dict[str, Preset]:
    """Those of an environment; Gymnasium calls our worlds `uphill/NAME`."""
    return PRESETS.get(env.removeprefix("uphill/"), {})


def settings_of(env: str, algo: str, algorithm: Algorithm) -> str:
    """Where the settings of an algorithm come from, and which they are, as a person would say it.

    They are the flags that turn what an environment without a preset gets into `algorithm`.
    """
    if algo not in ALGORITHMS:
        return "your own"
    is_preset = encode(algorithm) == encode(preset(env, algo).algorithm)
    if algo in _presets(env):
        source = f"{'' if is_preset else 'not '}the preset of {env}"
    else:
        source = f"no preset of {algo} for {env}"
    changed = " ".join(flags(preset("", algo).algorithm, algorithm))
    return f"{source}: {algo}'s defaults" + (f" with {changed}" if changed else "")
