"""Presets: settings that are known to work, by environment, which `uphill train ENV` uses.

benchmarks/README.md has all their results, with the commands that measured them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from uphill.envs.ids import plain
from uphill.parts import (
    GAE,
    Adam,
    Algorithm,
    ClippedRatio,
    Episodes,
    RewardToGo,
    RMSProp,
    Steps,
    TimeMean,
    ValueFunction,
)
from uphill.parts.algorithms import ALGORITHMS, a2c, npg, ppo, reinforce, trpo, vpg
from uphill.policies.policy import PolicySettings
from uphill.runs.configuration import flags
from uphill.sessions.mujoco_presets import TASKS, mujoco_algorithms


@dataclass(frozen=True)
class Preset:
    """An algorithm with its settings, and how long to train."""

    algo: str
    algorithm: Algorithm
    steps: int
    source: str = ""
    """where they come from, in words, if this is not a built-in preset"""


DEFAULT_STEPS = 1_000_000


def _fading(learning_rate: float) -> Adam:
    """Adam with a learning rate that decays to 0, so that a solved policy stays solved."""
    return Adam(learning_rate=f"linear:{learning_rate}:0", max_grad_norm=None)


def _windows(
    num_envs: int, num_steps: int, gamma: float, lam: float = 0.95, **changes: Any
) -> dict[str, Any]:
    """Windows: for A2C and PPO, which scale observations and rewards."""
    return {
        "sampling": Steps(num_envs=num_envs, num_steps=num_steps),
        "estimator": GAE(gamma=gamma, lam=lam),
        **changes,
    }


def _episodes(num_envs: int, gamma: float, learning_rate: float, **changes: Any) -> dict[str, Any]:
    """Whole episodes, and observations and returns of scale 1: for REINFORCE and VPG."""
    return {
        "sampling": Episodes(num_envs=num_envs),
        "estimator": RewardToGo(gamma=gamma),
        "optimizer": _fading(learning_rate),
        "normalize_observations": True,
        "normalize_returns": True,
        **changes,
    }


_FEW: dict[str, Any] = {"num_epochs": 4, "num_minibatches": 4}
"""Passes over a batch, and parts of it: of a policy that learns fast, and has steps enough."""


def _ppo(steps: float, learning_rate: float, **settings: Any) -> Preset:
    optimizer = Adam(learning_rate=f"linear:{learning_rate}:0")
    windows = _windows(**_FEW | settings)
    return Preset("ppo", ppo(optimizer=optimizer, **windows), int(steps))


def _a2c(steps: float, learning_rate: float, **settings: Any) -> Preset:
    optimizer = RMSProp(learning_rate=f"linear:{learning_rate}:0")
    return Preset("a2c", a2c(optimizer=optimizer, **_windows(**settings)), int(steps))


def _vpg(steps: float, **settings: Any) -> Preset:
    return Preset("vpg", vpg(**_episodes(**settings)), int(steps))


def _vpg_in_windows(
    steps: float, sampling: Steps, estimator: GAE, learning_rate: float, **changes: Any
) -> Preset:
    """Fixed windows, with V for what lies beyond them."""
    parts = {
        "sampling": sampling,
        "estimator": estimator,
        "baseline": ValueFunction(optimizer=Adam(learning_rate=1e-2), num_steps=10),
        "optimizer": _fading(learning_rate),
        "mean_over": "steps",
        "scale_advantages": "batch",
        "normalize_observations": True,
    }
    return Preset("vpg", vpg(**parts | changes), int(steps))


def _reinforce(steps: float, **settings: Any) -> Preset:
    """The baseline is the mean of each time step. While all episodes earn the same it leaves no
    signal; the mean of the batch would leave one that says nothing about the actions: how late in
    an episode they were taken.
    """
    return Preset("reinforce", reinforce(baseline=TimeMean(), **_episodes(**settings)), int(steps))


_UNSCALED: dict[str, Any] = {"normalize_observations": False, "normalize_rewards": False}
"""Numbers of CartPole are of scale 1 as they are, and each step counts."""


@cache
def _cartpole() -> dict[str, Preset]:
    return {
        "ppo": Preset(
            "ppo",
            ppo(
                sampling=Steps(num_envs=8, num_steps=32),
                estimator=GAE(gamma=0.98, lam=0.9),
                surrogate=ClippedRatio(epsilon="linear:0.2:0"),
                optimizer=Adam(learning_rate="linear:1.2e-3:0"),
                **_FEW,
                **_UNSCALED,
            ),
            80_000,
        ),
        "a2c": Preset("a2c", a2c(), 500_000),
        "vpg": Preset("vpg", vpg(optimizer=_fading(1e-2)), 500_000),
        "reinforce": Preset(
            "reinforce",
            reinforce(sampling=Episodes(num_envs=32), baseline=TimeMean(), optimizer=_fading(1e-2)),
            500_000,
        ),
        "npg": Preset("npg", npg(), 200_000),
        "trpo": Preset("trpo", trpo(), 200_000),
    }


@cache
def _acrobot() -> dict[str, Preset]:
    return {
        "ppo": Preset("ppo", ppo(), 1_000_000),
        "a2c": Preset("a2c", a2c(), 1_000_000),
        "vpg": _vpg(
            1e6,
            num_envs=16,
            learning_rate=5e-3,
            gamma=0.99,
            # Bootstraps where time runs out: while no episode reaches the goal, returns that end
            # there would only say how late an action was taken, and teach that.
            estimator=GAE(gamma=0.99, lam=1.0),
        ),
        "reinforce": _reinforce(1e6, num_envs=16, learning_rate=5e-3, gamma=0.99),
    }


_BOLD = PolicySettings(initial_log_std=0.5)

_SQUASHED = PolicySettings(distribution="tanh-gaussian", initial_log_std=0.0)
"""Samples within the bounds. The bonus for the entropy of a clipped Gaussian only widens σ, until
the mean that is evaluated is an action that was hardly ever tried."""


@cache
def _pendulum() -> dict[str, Preset]:
    return {
        "ppo": _ppo(
            4e5,
            num_envs=16,
            num_steps=128,
            learning_rate=1e-3,
            gamma=0.95,
            num_epochs=10,
            num_minibatches=8,
            policy=_BOLD,
        ),
        "a2c": _a2c(
            1e6,
            num_envs=16,
            num_steps=32,
            learning_rate=5e-3,
            gamma=0.95,
            entropy="linear:0.03:0",
            policy=_SQUASHED,
        ),
        "vpg": _vpg_in_windows(2e6, Steps(32, 64), GAE(gamma=0.95, lam=0.95), 5e-3, policy=_BOLD),
        "reinforce": _reinforce(
            4e6,
            num_envs=32,
            learning_rate=1e-2,
            gamma=0.95,
            scale_advantages="batch",
            entropy="linear:0.01:0",
            policy=_SQUASHED,
        ),
    }


@cache
def _mountain_car() -> dict[str, Preset]:
    return {
        "ppo": Preset("ppo", ppo(), 1_000_000),
        "a2c": _a2c(
            1e6,
            num_envs=16,
            num_steps=32,
            learning_rate=3e-3,
            gamma=0.99,
            lam=0.98,
            baseline=ValueFunction(optimizer=Adam(learning_rate=1e-2), num_steps=5),
            scale_advantages="batch",
            entropy="linear:0.02:0",
        ),
    }


_EAGER = PolicySettings(initial_log_std=1.0)
"""Most actions are full pushes at first, whose swings add up: they find what small ones don't."""


@cache
def _mountain_car_continuous() -> dict[str, Preset]:
    return {
        # With γ = 0.99 the flag is too far away to be worth any fuel.
        "ppo": Preset("ppo", ppo(estimator=GAE(gamma=0.999, lam=0.95)), 100_000),
        "a2c": _a2c(5e5, num_envs=16, num_steps=32, learning_rate=2e-3, gamma=0.999, policy=_EAGER),
        "vpg": _vpg(5e5, num_envs=16, learning_rate=5e-3, gamma=0.999, policy=_EAGER),
        "reinforce": _reinforce(5e5, num_envs=16, learning_rate=1e-2, gamma=0.999, policy=_EAGER),
    }


@cache
def _swing_up() -> dict[str, Preset]:
    return {
        "ppo": Preset(
            "ppo",
            ppo(
                sampling=Steps(num_envs=64, num_steps=128),
                estimator=GAE(gamma=0.995, lam=0.95),
                # Rewards as they are: with scaled ones some seeds settle for leaving the track. V's
                # gradient is then hundreds of times the policy's, which a common norm would stifle.
                optimizer=Adam(learning_rate="linear:1e-3:0", max_grad_norm=None),
                num_epochs=4,
                num_minibatches=8,
                entropy="linear:0.03:0",
                normalize_rewards=False,
                policy=_SQUASHED,
            ),
            3_000_000,
        ),
        # Some seeds learn to leave the track, and nothing else.
        "a2c": Preset(
            "a2c",
            a2c(
                sampling=Steps(num_envs=32, num_steps=32),
                estimator=GAE(gamma=0.995, lam=0.95),
                baseline=ValueFunction(optimizer=Adam(learning_rate=5e-3), num_steps=4),
                optimizer=RMSProp(learning_rate="linear:2e-3:0", max_grad_norm=None),
                entropy="linear:0.03:0",
                normalize_rewards=False,
                policy=_SQUASHED,
            ),
            5_000_000,
        ),
        # Windows, with V for what lies beyond: a step after 4,096 transitions, not 16 episodes.
        "vpg": _vpg_in_windows(
            3e6,
            Steps(32, 128),
            GAE(gamma=0.995, lam=0.97),
            3e-3,
            entropy="linear:0.05:0",  # 0.03 and 5e-3 leave one seed in ten at −23
            policy=_SQUASHED,
        ),
        "reinforce": _reinforce(
            5e6,
            num_envs=32,
            learning_rate=5e-3,
            gamma=0.99,
            scale_advantages="batch",
            entropy="linear:0.03:0",
            policy=_SQUASHED,
        ),
    }


@cache
def _car_race() -> dict[str, Preset]:
    return {
        "ppo": _ppo(
            2e6,
            num_envs=32,
            num_steps=128,
            learning_rate=1e-3,
            gamma=0.9,  # a crash follows its cause within a few steps
            # Where every lap is perfect, what is left of the advantages is noise, not to be blown
            # up.
            scale_advantages="none",
        ),
        "a2c": Preset("a2c", a2c(), 1_000_000),
        "vpg": _vpg(6e5, num_envs=32, learning_rate=1e-2, gamma=0.99),
        "reinforce": _reinforce(5e5, num_envs=64, learning_rate=1e-2, gamma=0.99),
    }


@cache
def _car_race_continuous() -> dict[str, Preset]:
    return {
        "ppo": _ppo(1e6, num_envs=32, num_steps=128, learning_rate=2e-3, gamma=0.99),
        "a2c": _a2c(1e6, num_envs=16, num_steps=32, learning_rate=2e-3, gamma=0.99),
        "vpg": _vpg(8e5, num_envs=32, learning_rate=1e-2, gamma=0.95),
        "reinforce": _reinforce(6e5, num_envs=64, learning_rate=1e-2, gamma=0.99),
    }


@cache
def _lunar_lander() -> dict[str, Preset]:
    return {
        "ppo": Preset(
            "ppo",
            ppo(
                sampling=Steps(num_envs=16, num_steps=512),
                estimator=GAE(gamma=0.995, lam=0.97),
                optimizer=Adam(learning_rate="linear:1e-3:0"),
                num_epochs=6,
                num_minibatches=32,
                entropy=0.005,
                normalize_rewards=False,
            ),
            1_000_000,
        ),
        "a2c": Preset(
            "a2c",
            a2c(
                sampling=Steps(num_envs=16, num_steps=256),
                # λ = 1 asks nothing of a V that knows no landings yet, and with γ = 0.99 hovering
                # costs: with less of either, it stays in the air.
                estimator=GAE(gamma=0.99, lam=1.0),
                baseline=ValueFunction(optimizer=Adam(learning_rate=1e-2), num_steps=5),
                optimizer=RMSProp(learning_rate="linear:3e-3:0"),
                scale_advantages="batch",
                normalize_rewards=False,
            ),
            3_000_000,
        ),
        "vpg": _vpg_in_windows(1e7, Steps(16, 512), GAE(gamma=0.99, lam=1.0), 2e-3),
        "reinforce": _reinforce(
            4e6,
            num_envs=16,
            learning_rate=5e-3,
            gamma=0.99,
            # Two episodes each: few steps are lost while the others wait for the longest.
            sampling=Episodes(num_envs=16, per_env=2),
            scale_advantages="batch",
        ),
    }


@cache
def _mujoco(env: str) -> dict[str, Preset]:
    return {algo: Preset(algo, *known) for algo, known in mujoco_algorithms(env).items()}


PRESETS: dict[str, Callable[[], dict[str, Preset]]] = {
    "CartPole-v0": _cartpole,
    "CartPole-v1": _cartpole,
    "Acrobot-v1": _acrobot,
    "Pendulum-v1": _pendulum,
    "MountainCar-v0": _mountain_car,
    "MountainCarContinuous-v0": _mountain_car_continuous,
    "CartPoleSwingUp-v0": _swing_up,
    "CartPoleSwingUp-v1": _swing_up,
    "CarRace-v0": _car_race,
    "CarRaceContinuous-v0": _car_race_continuous,
    "LunarLander-v3": _lunar_lander,
    **{env: partial(_mujoco, env) for env in TASKS},
}


def preset(env: str, algo: str | None = None) -> Preset:
    """What training starts from, on the command line as in Python, if no complete algorithm is
    given: the environment's preset, or if it has none `uphill.ppo()` and the like."""
    presets = _presets(env)
    if algo is None:
        algo = next(iter(presets), "ppo")
    return presets[algo] if algo in presets else Preset(algo, ALGORITHMS[algo](), DEFAULT_STEPS)


def _presets(env: str) -> dict[str, Preset]:
    """Those of an environment."""
    return PRESETS.get(plain(env), dict)()


def settings_of(env: str, start: Preset, algorithm: Algorithm) -> str:
    """Where the settings of an algorithm come from, in words: from `start`, which is what `preset`
    says, and what was changed, as the flags that change it."""
    algo = start.algo
    if start.source:
        source = start.source
    elif algo in _presets(env):
        source = f"the preset of {env} for {algo}"
    else:
        source = f"uphill.{algo}(), since {env} has no preset for {algo}"
    changes = " ".join(flags(start.algorithm, algorithm))
    return f"{source}, changed by {changes}" if changes else source


def settings_given(env: str, algorithm: Algorithm) -> str:
    """The same of an algorithm that was given whole: `uphill.ppo()` and its changes, unless it is
    nearer to the preset."""
    algo = algorithm.name
    if algo not in ALGORITHMS:
        return "your own"
    start, plain = preset(env, algo), ALGORITHMS[algo]()
    to_preset, to_plain = (len(list(flags(a, algorithm))) for a in (start.algorithm, plain))
    if algo in _presets(env) and to_preset < to_plain:
        return settings_of(env, start, algorithm)
    return _call(algo, algorithm)


def _call(algo: str, algorithm: Algorithm) -> str:
    changes = " ".join(flags(ALGORITHMS[algo](), algorithm))
    return f"uphill.{algo}()" + (f" with {changes}" if changes else "")
