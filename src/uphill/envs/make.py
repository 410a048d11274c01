"""Chooses the backend for an environment, with the reason."""

import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any, Literal, TypeGuard

import gymnasium
import numpy as np

from uphill.envs.alterations import UNALTERED, Alterations
from uphill.envs.backends import envpool as envpool_backend
from uphill.envs.backends import gymnasium as gymnasium_backend
from uphill.envs.backends.envpool import EnvPoolEnvironment
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.base import Configurable, World
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.ids import OURS
from uphill.envs.world_checks import check_functions
from uphill.envs.worlds import WORLDS, make_world
from uphill.errors import UphillError
from uphill.words import option

Backend = Literal["compiled", "envpool", "gymnasium"]
WORLD_PARTS = (
    *("observation_space", "action_space", "max_episode_steps", "reward_threshold"),
    *("initial", "transition", "observation", "reward", "terminated"),
)
ASKED_FOR = "you asked for it"
ENVPOOL_IS_FASTER = "pip install 'uphill[envpool]' may run it many times faster"
AnyEnvironment = CompiledEnvironment | EnvPoolEnvironment | HostEnvironment


@dataclass(frozen=True)
class EnvironmentChoice:
    """An environment, the backend that runs it, and the reason in words."""

    env: Any
    """an ID, a callable that makes one, or a compiled world"""
    backend: Backend
    reason: str
    env_kwargs: dict[str, Any]
    is_async: bool = False
    alterations: Alterations = UNALTERED
    step_timeout: float | None = None

    @property
    def name(self) -> str:
        """The environment's ID, or what its maker or its world is called."""
        return name_of(self.env)

    @property
    def pool_arguments(self) -> dict[str, Any]:
        """What EnvPool makes it with."""
        limit = self.alterations.max_episode_steps
        return self.env_kwargs | ({} if limit is None else {"max_episode_steps": limit})


def choose(
    env: str | Callable[..., Any] | World,
    backend: Literal["auto", "compiled", "envpool", "gymnasium"] = "auto",
    env_kwargs: dict[str, Any] | None = None,
    is_async: bool = False,
    alterations: Alterations = UNALTERED,
    step_timeout: float | None = None,
) -> EnvironmentChoice:
    """Pick the fastest backend that has exactly this environment, or check the one asked for.

    Raises:
        UphillError: if the environment is unknown, or the requested backend doesn't have it.
    """
    env_kwargs = env_kwargs or {}
    _check_one_limit(env_kwargs, alterations)
    if looks_like_world(env):
        _check_world(env)
    elif not callable(env) and not isinstance(env, str):
        raise UphillError(
            f"env is {type(env).__name__}: give an environment's ID or a function that makes one "
            "(many are made, so one that exists already is not enough), or a compiled world."
        )
    if isinstance(env, str) and env.removeprefix(OURS) in WORLDS:
        env = env.removeprefix(OURS)  # what Gymnasium calls our worlds
    if alterations.needs_gymnasium or backend == "gymnasium":
        alterations = _with_limit_of_world(env, env_kwargs, alterations)
    if alterations.needs_gymnasium:
        chosen, reason = _wrapped(env, backend, alterations)
    elif backend == "auto":
        chosen, reason = _pick(env, env_kwargs)
    else:
        chosen, reason = _insist(env, backend, env_kwargs)
    _check_step_timeout(step_timeout, chosen, is_async)
    if is_async and chosen != "gymnasium":
        why = f"runs in C++ (backend {chosen})" if chosen == "envpool" else "is compiled"
        raise UphillError(
            f"{option('is_async', True)} is for environments in Python, and {name_of(env)} {why}: "
            f"leave it out, or add {option('backend', 'gymnasium')}."
        )
    return EnvironmentChoice(env, chosen, reason, env_kwargs, is_async, alterations, step_timeout)


def _check_step_timeout(seconds: float | None, backend: Backend, is_async: bool) -> None:
    """Raises:
    UphillError: if it is not a valid time, or a longer step could not be interrupted.
    """
    if seconds is None:
        return
    if not 0 < seconds < math.inf:
        raise UphillError(f"step_timeout is {seconds:g}: use a number above 0, or leave it out.")
    if backend != "gymnasium":
        raise UphillError(
            f"step_timeout is {seconds:g}, and the environment runs with {backend}, which can't "
            f"be interrupted: leave it out, or add {option('backend', 'gymnasium')} and "
            f"{option('is_async', True)}."
        )
    if not is_async:
        raise UphillError(
            f"step_timeout is {seconds:g}, but only a separate process can be ended: add "
            f"{option('is_async', True)}."
        )


def _check_one_limit(env_kwargs: dict[str, Any], alterations: Alterations) -> None:
    """Raises:
    UphillError: if two time limits are asked for.
    """
    limit, other = alterations.max_episode_steps, env_kwargs.get("max_episode_steps")
    if limit is not None and other is not None:
        raise UphillError(
            f"max_episode_steps is {limit}, and among env_kwargs it is {other}: give it once."
        )


def looks_like_world(env: Any) -> TypeGuard[World]:
    """Whether it is a compiled world, or is meant to be one."""
    return all(hasattr(env, name) for name in ("initial", "transition", "terminated"))


def _check_world(env: Any) -> None:
    """Raises:
    UphillError: unless it is a whole world that a compiled program can be made of.
    """
    name = name_of(env)
    if isinstance(env, type):
        raise UphillError(f"env is {name}, the class of a compiled world: give a world, {name}().")
    if missing := [part for part in WORLD_PARTS if not hasattr(env, part)]:
        raise UphillError(
            f"env is {name}, a compiled world without {', '.join(missing)}: add what "
            "uphill.envs.base.World has."
        )
    limit = env.max_episode_steps
    if not isinstance(limit, Integral) or limit < 1:
        raise UphillError(
            f"env is {name}, a compiled world whose max_episode_steps is {limit!r}: give it a "
            "whole number of at least 1, since its episodes must end."
        )
    try:
        hash(env)
    except TypeError as error:
        raise UphillError(
            f"env is {name}, a compiled world that can't be hashed ({error}): make it a frozen "
            "dataclass or an Equinox module whose fields are numbers, texts or tuples."
        ) from error


def _pick(env: str | Callable | World, env_kwargs: dict[str, Any]) -> tuple[Backend, str]:
    if looks_like_world(env):
        make_world(env, env_kwargs)
        return "compiled", "it is a compiled world of yours"
    if not isinstance(env, str):
        return "gymnasium", "it is a Python callable"
    if env in WORLDS and (not env_kwargs or _is_ours_alone(env)):
        make_world(env, env_kwargs)
        return "compiled", "it is one of Uphill's compiled worlds"
    if env in WORLDS and env not in gymnasium.registry:
        raise UphillError(f"{env} takes no arguments, but got {', '.join(env_kwargs)}: omit them.")
    if ":" in env:
        gymnasium_backend.spec_of(env)
        return "gymnasium", "it comes from a module of yours"
    if importlib.util.find_spec("envpool") is None:
        _require_known(env, ())
        hint = f"; {ENVPOOL_IS_FASTER}"
        return "gymnasium", "EnvPool is not installed" + (hint if sys.platform == "linux" else "")
    if not envpool_backend.supports(env):
        _require_known(env, tuple(envpool_backend.names()))
        return "gymnasium", "EnvPool does not have it"
    if unknown := envpool_backend.unknown_arguments(env, env_kwargs):
        missing = f"does not take {', '.join(unknown)}"
        if env not in gymnasium.registry:
            raise UphillError(f"EnvPool's {env} {missing}, and Gymnasium does not have it.")
        if env in WORLDS:
            missing = f"takes {', '.join(unknown)}"
            return "gymnasium", f"neither its compiled world nor EnvPool's version {missing}"
        return "gymnasium", f"EnvPool's version {missing}"
    return "envpool", "EnvPool has it in C++"


def _with_limit_of_world(
    env: str | Callable | World, env_kwargs: dict[str, Any], alterations: Alterations
) -> Alterations:
    """A world of ours as Gymnasium makes it has the time limit that its arguments ask for."""
    if not isinstance(env, str) or env not in WORLDS or env in gymnasium.registry:
        return alterations
    asked = (alterations.max_episode_steps, env_kwargs.get("max_episode_steps"))
    if any(limit is not None for limit in asked):
        return alterations
    theirs = ("max_episode_steps", "render_mode")  # for Gymnasium's `make` and `WorldEnv`
    own = {name: value for name, value in env_kwargs.items() if name not in theirs}
    limit = make_world(env, own).max_episode_steps
    return replace(alterations, max_episode_steps=limit)


def _wrapped(
    env: str | Callable | World, backend: str, alterations: Alterations
) -> tuple[Backend, str]:
    """What only an environment of Python's can have."""
    name, reason = name_of(env), alterations.needs_gymnasium
    if looks_like_world(env):
        raise UphillError(
            f"{name} is a compiled world, and {reason}, which takes a Python environment: give a "
            f"function that makes uphill.envs.registration.WorldEnv({name}())."
        )
    if backend not in ("auto", "gymnasium"):
        raise UphillError(
            f"backend is {backend!r}, and {name} {reason.removeprefix('it ')}, which takes a "
            f"Python environment: leave out {option('backend')}."
        )
    if isinstance(env, str):
        if env not in gymnasium.registry and _is_pools(env):
            raise UphillError(
                f"{env} is EnvPool's alone, and {reason}, which takes a Python environment: leave "
                "that out (EnvPool's own options are --env.KEY VALUE)."
            )
        gymnasium_backend.spec_of(env)
    return "gymnasium", reason


def _is_pools(env_id: str) -> bool:
    return importlib.util.find_spec("envpool") is not None and envpool_backend.supports(env_id)


def _is_ours_alone(env_id: str) -> bool:
    """Whether no other backend could take a world's keyword arguments."""
    return isinstance(WORLDS[env_id], Configurable) or env_id not in gymnasium.registry


def _insist(
    env: str | Callable | World, backend: Backend, env_kwargs: dict[str, Any]
) -> tuple[Backend, str]:
    is_own = looks_like_world(env)
    if is_own and backend != "compiled":
        raise UphillError(
            f"backend is {backend!r}, but {name_of(env)} is a compiled world: leave out backend."
        )
    if backend == "compiled":
        if not is_own and (not isinstance(env, str) or env not in WORLDS):
            have = ", ".join(WORLDS)
            raise UphillError(
                f"backend is 'compiled', but {name_of(env)!r} is not a compiled world (these are: "
                f"{have}): leave out {option('backend')}."
            )
        make_world(env, env_kwargs)
    if backend == "envpool":
        if importlib.util.find_spec("envpool") is None:
            raise UphillError(
                "backend is 'envpool', but EnvPool is not installed: pip install 'uphill[envpool]'."
            )
        if not isinstance(env, str) or not envpool_backend.supports(env):
            raise UphillError(
                f"backend is 'envpool', but EnvPool does not have {name_of(env)!r}: leave out "
                f"{option('backend')}."
            )
    if backend == "gymnasium" and isinstance(env, str):
        gymnasium_backend.spec_of(env)
    return backend, ASKED_FOR


def _require_known(env_id: str, pools: tuple[str, ...]) -> None:
    """Raises:
    UphillError: if Gymnasium has no `env_id`; it names the nearest of all, EnvPool's `pools` too.
    """
    if env_id not in gymnasium.registry:
        near = gymnasium_backend.suggestion(env_id, (*pools, *WORLDS))
        raise UphillError(f"There is no environment {env_id!r}: {near}")


def name_of(env: Any) -> str:
    """An environment's ID, or what its maker or its world is called."""
    if isinstance(env, str):
        return env
    function = env.func if isinstance(env, partial) else env
    return getattr(function, "__name__", type(function).__name__)


def known_environments(pattern: str = "") -> dict[str, Backend]:
    """Every environment whose name contains `pattern`, and the backend that runs it here. Left out
    are names that Gymnasium keeps only to say where an environment has gone."""
    has_envpool = importlib.util.find_spec("envpool") is not None
    pools = envpool_backend.names() if has_envpool else []
    known = [
        name
        for name, spec in gymnasium.registry.items()
        if not (name.startswith(OURS) or _is_gone(spec.entry_point))
    ]
    backends: dict[str, Backend] = dict.fromkeys(known, "gymnasium")
    backends |= dict.fromkeys(pools, "envpool")
    backends |= dict.fromkeys(WORLDS, "compiled")
    return {
        name: backend
        for name, backend in sorted(backends.items())
        if pattern.lower() in name.lower()
    }


def _is_gone(entry_point: Any) -> bool:
    return getattr(entry_point, "__name__", "").startswith("_raise")


def lane_seed(seed: int, lane: int, resumed_at: int = 0) -> int:
    """A seed for one environment of one run. Hashed, since `seed + lane` would give runs with
    neighbouring seeds almost the same environments."""
    entropy = [seed, lane, resumed_at]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def make_env(
    env: EnvironmentChoice | str | Callable[..., Any] | World,
    num_envs: int = 1,
    seeds: tuple[int, ...] = (0,),
    resumed_at: int = 0,
) -> tuple[AnyEnvironment, str | None]:
    """The environments of all seeds, and a notice for the user, if there is one.

    `env` is an ID, a callable, a compiled world, or what `choose` says of it.

    A compiled environment has `num_envs` lanes (each seed steps its own batch); the others
    have `len(seeds) · num_envs`, those of the first seed first.

    Raises:
        UphillError: if the environment can't be made.
    """
    choice = env if isinstance(env, EnvironmentChoice) else choose(env)
    if choice.backend == "compiled":
        world, limit = make_world(choice.env, choice.env_kwargs), choice.alterations
        if not type(world).__module__.startswith("uphill."):
            check_functions(world)
        return CompiledEnvironment(world, num_envs, limit.max_episode_steps), None
    lane_seeds = [lane_seed(seed, lane, resumed_at) for seed in seeds for lane in range(num_envs)]
    if choice.backend == "envpool":
        env_kwargs = choice.pool_arguments
        if sys.platform == "linux":
            return EnvPoolEnvironment(str(choice.env), lane_seeds, env_kwargs), None
        pool = envpool_backend.make_pool(str(choice.env), lane_seeds, env_kwargs)
        limit, threshold = envpool_backend.pool_time_limit(pool), pool.spec.reward_threshold
        dtype = envpool_backend.action_dtype(pool)
        return HostEnvironment(choice.name, pool, lane_seeds, limit, threshold, dtype), None
    python = gymnasium_backend.prepare(
        choice.env, choice.env_kwargs, choice.name, choice.alterations
    )
    vector = gymnasium_backend.make_vector(
        python.factory, len(lane_seeds), choice.is_async, choice.name, choice.step_timeout
    )
    limit, threshold = python.max_episode_steps, python.reward_threshold
    many = HostEnvironment(
        choice.name, vector, lane_seeds, limit, threshold, is_clipped=python.is_clipped
    )
    return many, python.notice
