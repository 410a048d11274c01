"""Settings that are known to work, by environment: what `uphill train ENV` uses.

Every figure they reach, with the command that measured it, is in benchmarks/README.md.
"""

from dataclasses import dataclass

from uphill.learning.algorithms import ALGORITHMS, a2c, npg, ppo, reinforce, trpo, vpg
from uphill.learning.parts import (
    GAE,
    Adam,
    Algorithm,
    ClippedRatio,
    Episodes,
    NaturalGradient,
    RMSProp,
    Steps,
)
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
    "npg": Preset("npg", npg(optimizer=NaturalGradient(max_kl="linear:0.02:0.001")), 200_000),
    "trpo": Preset("trpo", trpo(), 200_000),
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
