"""What is changed of an environment before anybody acts in it: of its own code nothing is."""

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium

from uphill.envs.wrappers import Wrapping
from uphill.errors import UphillError

_MOST_STEPS = 2**31 - 2
"""Steps are counted in 32 bits, and EnvPool takes one more than that for no limit."""


@dataclass(frozen=True)
class Alterations:
    """What is asked for beside the environment's own arguments.

    Raises:
        UphillError: if a value makes no sense.
    """

    max_episode_steps: int | None = None
    """steps after which an episode is truncated, in place of the environment's own limit"""
    wrappers: tuple[Wrapping, ...] = ()
    """around the environment and its time limit, the innermost first"""

    def __post_init__(self) -> None:
        limit = self.max_episode_steps
        if limit is not None and not 1 <= limit <= _MOST_STEPS:
            raise UphillError(
                f"max_episode_steps is {limit}: use a number from 1 to {_MOST_STEPS}, or None."
            )

    @property
    def needs_gymnasium(self) -> str:
        """Why a Python environment is needed, if one is."""
        return "it is wrapped" if self.wrappers else ""

    def around(self, make: Callable[[], gymnasium.Env]) -> gymnasium.Env:
        """An environment with all of this; its time limit it has already."""
        env = make()
        for wrapping in self.wrappers:
            env = wrapping.around(env)
        return env


UNALTERED = Alterations()
