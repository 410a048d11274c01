"""Which backend runs an environment, and why."""

import difflib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np

from uphill.envs import envpool_backend, gymnasium_backend
from uphill.envs.base import CompiledEnvironment
from uphill.envs.envpool_backend import EnvPoolEnvironment
from uphill.envs.gymnasium_backend import HostEnvironment
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError

Backend = Literal["compiled", "envpool", "gymnasium"]
AnyEnvironment = CompiledEnvironment | EnvPoolEnvironment | HostEnvironment


@dataclass(frozen=True)
class EnvironmentChoice:
    """An environment, the backend that runs it, and the reason, as a person would say it."""

    env: str | Callable[..., Any]
    backend: Backend
    reason: str
    env_kwargs: dict[str, Any]
    is_async: bool = False

    @property
    def name(self) -> str:
        if isinstance(self.env, str):
            return self.env
        return getattr(self.env, "__name__", type(self.env).__name__)


def choose(
    env: str | Callable[..., Any],
    backend: Literal["auto", "compiled", "envpool", "gymnasium"] = "auto",
    env_kwargs: dict[str, Any] | None = None,
    is_async: bool = False,
) -> EnvironmentChoice:
    """Pick the fastest backend that has exactly this environment, or check the one asked for.

    Raises:
        UphillError: if nobody knows the environment, or not the backend that was asked for.
    """
    env_kwargs = env_kwargs or {}
    chosen, reason = (
        _pick(env, env_kwargs) if backend == "auto" else _insist(env, backend, env_kwargs)
    )
    return EnvironmentChoice(env, chosen, reason, env_kwargs, is_async)


def _pick(env: str | Callable, env_kwargs: dict[str, Any]) -> tuple[Backend, str]:
    if not isinstance(env, str):
        return "gymnasium", "it is a Python callable"
    if env in WORLDS and not env_kwargs:
        return "compiled", "it is one of Uphill's compiled worlds"
    if ":" in env:
        return "gymnasium", "it comes from a module of yours"
    if importlib.util.find_spec("envpool") is None:
        require_registered(env)
        hint = "; pip install 'uphill[envpool]' may run it many times faster"
        return "gymnasium", "EnvPool is not installed" + (hint if sys.platform == "linux" else "")
    if not envpool_backend.supports(env):
        require_registered(env)
        return "gymnasium", "EnvPool does not have it"
    if not _pool_takes(env, env_kwargs):
        require_registered(env)
        return "gymnasium", "EnvPool's version does not take these arguments"
    return "envpool", "EnvPool has it in C++"


def _insist(
    env: str | Callable, backend: Backend, env_kwargs: dict[str, Any]
) -> tuple[Backend, str]:
    if backend == "compiled" and (env not in WORLDS or env_kwargs):
        have = ", ".join(WORLDS)
        raise UphillError(
            f"backend is 'compiled', but {env!r} is no compiled world (these are: {have}; "
            "they take no arguments): leave out --backend."
        )
    if backend == "envpool":
        if importlib.util.find_spec("envpool") is None:
            raise UphillError(
                "backend is 'envpool', but EnvPool is not installed: pip install 'uphill[envpool]'."
            )
        if not isinstance(env, str) or not envpool_backend.supports(env):
            raise UphillError(
                f"backend is 'envpool', but EnvPool does not have {env!r}: leave out --backend."
            )
    if backend == "gymnasium" and isinstance(env, str) and ":" not in env:
        require_registered(env)
    return backend, "you asked for it"


def _pool_takes(env_id: str, env_kwargs: dict[str, Any]) -> bool:
    import envpool

    return not env_kwargs or set(env_kwargs) <= set(envpool.make_spec(env_id).config._fields)


def require_registered(env_id: str) -> None:
    """Raises:
    UphillError: if Gymnasium does not know `env_id`; it names the nearest that it knows.
    """
    if env_id in gymnasium.registry:
        return
    known = sorted({*gymnasium.registry, *WORLDS})
    near = difflib.get_close_matches(env_id, known, n=3, cutoff=0.5)
    suggestion = (
        f"did you mean {' or '.join(near)}?" if near else "`uphill envs` lists what exists."
    )
    raise UphillError(f"There is no environment {env_id!r}: {suggestion}")


def known_environments(pattern: str = "") -> dict[str, Backend]:
    """Every environment whose name contains `pattern`, and the backend that runs it here."""
    pools: list[str] = []
    if importlib.util.find_spec("envpool") is not None:
        import envpool

        pools = envpool.list_all_envs()
    backends: dict[str, Backend] = dict.fromkeys(gymnasium.registry, "gymnasium")
    backends |= dict.fromkeys(pools, "envpool")
    backends |= dict.fromkeys(WORLDS, "compiled")
    return {
        name: backend
        for name, backend in sorted(backends.items())
        if pattern.lower() in name.lower()
    }


def lane_seed(seed: int, lane: int, resumed_at: int = 0) -> int:
    """A seed for one environment of one run. Hashed, since `seed + lane` would give runs with
    neighbouring seeds almost the same environments."""
    entropy = [seed, lane, resumed_at]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def make_env(
    choice: EnvironmentChoice,
    num_envs: int,
    seeds: tuple[int, ...] = (0,),
    resumed_at: int = 0,
) -> tuple[AnyEnvironment, str | None]:
    """The environments of all seeds, and a notice for the user, if there is one.

    A compiled environment has `num_envs` lanes (each seed steps a batch of its own); the others
    have `len(seeds) · num_envs`, those of the first seed first.

    Raises:
        UphillError: if the environment can't be made.
    """
    lane_seeds = [lane_seed(seed, lane, resumed_at) for seed in seeds for lane in range(num_envs)]
    if choice.backend == "compiled":
        return CompiledEnvironment(WORLDS[str(choice.env)], num_envs), None
    if choice.backend == "envpool":
        if sys.platform == "linux":
            return EnvPoolEnvironment(str(choice.env), lane_seeds, choice.env_kwargs), None
        pool = envpool_backend.make_pool(str(choice.env), lane_seeds, choice.env_kwargs)
        limit, threshold = envpool_backend.time_limit(pool), pool.spec.reward_threshold
        return HostEnvironment(choice.name, pool, lane_seeds, limit, threshold), None
    factory, notice = gymnasium_backend.factory_of(choice.env, choice.env_kwargs)
    vector = gymnasium_backend.make_vector(factory, len(lane_seeds), choice.is_async)
    spec = gymnasium.spec(choice.env) if isinstance(choice.env, str) else vector.spec
    limit, threshold = (spec.max_episode_steps, spec.reward_threshold) if spec else (None, None)
    return HostEnvironment(choice.name, vector, lane_seeds, limit, threshold), notice
