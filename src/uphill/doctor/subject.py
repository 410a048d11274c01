"""The environment to examine: through Gymnasium's API, whichever backend runs it in training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium

from uphill.doctor.play import describe_error
from uphill.doctor.watch import TookTooLong, Watch
from uphill.envs.backends.gymnasium import (
    checked_time_limit,
    close_quietly,
    factory_of,
    make_bare,
    spec_of,
    unmakeable,
)
from uphill.envs.backends.old_gym import has_old_signatures
from uphill.envs.backends.pool_of_one import PooledEnv
from uphill.envs.base import World
from uphill.envs.make import ASKED_FOR, EnvironmentChoice
from uphill.errors import UphillError

_MAKING_SECONDS = 60.0


@dataclass(frozen=True)
class Subject:
    """How to make the environment, and what is known of it before it is played."""

    choice: EnvironmentChoice
    through: str
    make: Callable[[], gymnasium.Env]
    is_old: bool
    max_episode_steps: int | None
    reward_threshold: float | None


def subject_of(choice: EnvironmentChoice, seconds: float) -> Subject:
    """Find out how to examine what `choice` would train on.

    That is Gymnasium's own environment where it has one, since it answers sooner than one copy of a
    compiled world; an `uphill/NAME` else; or a pool of one. No step may take longer than `seconds`.

    Raises:
        UphillError: if it can't be made.
    """
    is_asked_for = choice.reason == ASKED_FOR
    has_gymnasium = isinstance(choice.env, str) and _is_registered(choice.env)
    if choice.backend == "envpool":
        with suppress(UphillError):
            if has_gymnasium and not is_asked_for:
                return _from_gymnasium(choice, choice.env, seconds)
        return _from_pool(choice)
    if choice.backend == "gymnasium" or (has_gymnasium and not is_asked_for):
        return _from_gymnasium(choice, choice.env, seconds)
    # Here, since it registers them: otherwise the message about a mistyped ID would list them, too.
    from uphill.envs.registration import WorldEnv

    if not isinstance(choice.env, str):
        limit = choice.alterations.max_episode_steps
        return _from_gymnasium(choice, partial(_limited, WorldEnv, choice.env, limit), seconds)
    return _from_gymnasium(choice, f"uphill/{choice.env}", seconds)


def _limited(
    make: Callable[..., Any], world: World, limit: int | None, /, **arguments: Any
) -> gymnasium.Env:
    """A custom world, with the requested time limit, or its own."""
    env = make(world, **arguments)
    return gymnasium.wrappers.TimeLimit(env, limit or env.world.max_episode_steps)


def _is_registered(env: str) -> bool:
    return env.rpartition(":")[2] in gymnasium.registry


def _from_gymnasium(
    choice: EnvironmentChoice, env: str | Callable[..., Any], seconds: float
) -> Subject:
    source, kwargs = spec_of(env) if isinstance(env, str) else env, choice.env_kwargs
    with _making(choice), Watch(_MAKING_SECONDS) as watch:
        is_old = watch.call(_is_old, source, kwargs, seconds)
        factory = factory_of(source, kwargs, is_old, choice.alterations)
        made = watch.call(factory)
        limit = checked_time_limit(made, choice.alterations)
        spec = getattr(made, "spec", None)
        for field in ("observation_space", "action_space"):
            if not isinstance(getattr(made, field, None), gymnasium.Space):
                raise UphillError(f"has no {field}: set self.{field} to a space in __init__.")
    threshold = None if spec is None else spec.reward_threshold
    through = env if isinstance(env, str) else choice.name
    return Subject(choice, through, factory, is_old, limit, threshold)


@contextmanager
def _making(choice: EnvironmentChoice) -> Iterator[None]:
    """Whatever goes wrong meanwhile is why it could not be made."""
    try:
        yield
    except TookTooLong:
        raise UphillError(
            f"{choice.name} was not made within {_MAKING_SECONDS:g} s: see what its constructor "
            "waits for."
        ) from None
    except (Exception, SystemExit) as error:
        raise _unmakeable(choice, error) from error


def _unmakeable(choice: EnvironmentChoice, error: BaseException) -> UphillError:
    """Why it could not be made, in one sentence."""
    if isinstance(error, Exception):
        known = unmakeable(choice.name, choice.env_kwargs, error)
        if "\n" not in str(known):  # else a traceback follows
            return known
    return UphillError(f"{choice.name} could not be made: {describe_error(error)}.")


def _is_old(source: Any, kwargs: dict[str, Any], seconds: float) -> bool:
    """Whether it has the old Gym's signatures; if asking breaks it, the probes will say how."""
    bare = make_bare(source, kwargs)
    try:
        with Watch(seconds) as watch:
            return watch.call(has_old_signatures, bare)
    except (Exception, SystemExit, TookTooLong):
        return False
    finally:
        close_quietly(bare)


def _from_pool(choice: EnvironmentChoice) -> Subject:
    make = partial(PooledEnv, str(choice.env), choice.pool_arguments)
    env = make()
    env.close()
    return Subject(choice, "EnvPool", make, False, env.max_episode_steps, env.reward_threshold)
