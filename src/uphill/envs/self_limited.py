"""Environments that truncate their own episodes without declaring a time limit: collecting whole
episodes requires a bound on their length."""

import time
from dataclasses import replace

from uphill.envs.backends import gymnasium as gymnasium_backend
from uphill.envs.backends.checks import Checked
from uphill.envs.make import EnvironmentChoice
from uphill.errors import UphillError
from uphill.words import option

PLAYED = 10_000
"""Steps in which an environment has to show that it truncates episodes."""
SECONDS = 5.0
"""Seconds after which it had its chance, however slow its steps are."""
_ROOM = 10
"""Times as long as the episode that was seen: others may be longer."""


def with_bound(choice: EnvironmentChoice) -> tuple[EnvironmentChoice, str | None]:
    """The choice with a time limit where the environment has none that is known of, but is seen to
    truncate its own episodes; and then a notice for the user.

    Raises:
        UphillError: if it can't be made or played.
    """
    if choice.backend != "gymnasium" or choice.alterations.max_episode_steps is not None:
        return choice, None
    python = gymnasium_backend.prepare(
        choice.env, choice.env_kwargs, choice.name, choice.alterations
    )
    seen = None if python.max_episode_steps is not None else _truncated_after(choice.name, python)
    if seen is None:
        return choice, None
    bound = _ROOM * seen
    notice = (
        f"{choice.name} declares no time limit, but truncates its episodes (one after {seen:,} "
        f"steps): they are cut off after {bound:,} steps at the latest; "
        f"{option('max_episode_steps')} changes that."
    )
    alterations = replace(choice.alterations, max_episode_steps=bound)
    return replace(choice, alterations=alterations), notice


def _truncated_after(name: str, python: gymnasium_backend.PythonEnvironment) -> int | None:
    """Steps of the first episode that the environment truncates, played at random."""
    env = Checked(python.factory())
    env.action_space.seed(0)
    step = started = 0
    deadline = time.monotonic() + SECONDS
    try:
        env.reset(seed=0)
        for step in range(1, PLAYED + 1):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if truncated:
                return step - started
            if time.monotonic() >= deadline:
                break
            if terminated:
                env.reset()
                started = step
    except UphillError as error:
        raise UphillError(f"{name}, at step {step} of random play, {error}") from error
    finally:
        env.close()
    return None
