"""Sampling: where the expectation comes from.

A custom sampling derives from `Windows` or `WholeEpisodes`, which every collector knows, and
chooses its own lengths.
"""

from abc import abstractmethod
from dataclasses import fields
from typing import Any

import equinox as eqx
from jaxtyping import Bool

from uphill.errors import UphillError
from uphill.parts.checks import check_choice, check_count, one_of, require
from uphill.parts.part import Part
from uphill.theory.returns import inside_finished_episode
from uphill.trajectory import BLOCK, Array, Trajectory

_TAILS = ("cut", "mask")


class Sampling(Part):
    """How the transitions of one update are collected, from `num_envs` environments at once."""

    num_envs: eqx.AbstractVar[int]

    def __check_init__(self) -> None:
        if not isinstance(self, Windows | WholeEpisodes):
            raise UphillError(
                f"{type(self).__name__} is a sampling that no collector knows: derive it from "
                "Windows or WholeEpisodes (of uphill.parts.sampling)."
            )
        for field in fields(self):
            is_traced = not field.metadata.get("static", False)
            if is_traced and isinstance(getattr(self, field.name), int):
                raise UphillError(
                    f"{field.name} of {type(self).__name__} is a whole number that is traced, and "
                    "sizes must be known before: make it equinox.field(static=True)."
                )

    @property
    def quota(self) -> int | None:
        """Whole episodes of each environment in one update; None for a window."""
        return None

    @property
    def has_whole_episodes(self) -> bool:
        return self.quota is not None

    @abstractmethod
    def num_rows(self, max_episode_steps: int | None) -> int:
        """The number of rows to allocate: steps of each environment, resets included."""

    @abstractmethod
    def most_transitions(self, max_episode_steps: int | None) -> int:
        """The most transitions that one update may have."""

    def counted(self, trajectory: Trajectory) -> Bool[Array, "T N"]:
        """The steps that enter the gradient."""
        return trajectory.mask

    @property
    def may_count_nothing(self) -> bool:
        """Whether a trajectory may have no step that is `counted`; a sampling with a rule of its
        own for that may, unless it says otherwise."""
        return type(self).counted is not Sampling.counted


class Windows(Sampling):
    """`num_steps` steps of every environment; episodes carry over from one to the next."""

    num_steps: eqx.AbstractVar[int]

    def num_rows(self, max_episode_steps: int | None) -> int:
        return self.num_steps

    def most_transitions(self, max_episode_steps: int | None) -> int:
        return self.num_envs * self.num_steps


class WholeEpisodes(Sampling):
    """`per_env` episodes of every environment from reset; the number is fixed before they run."""

    per_env: eqx.AbstractVar[int]

    @property
    def quota(self) -> int:
        return self.per_env

    def num_rows(self, max_episode_steps: int | None) -> int:
        assert max_episode_steps is not None
        return num_blocks(self.per_env, max_episode_steps) * BLOCK

    def most_transitions(self, max_episode_steps: int | None) -> int:
        assert max_episode_steps is not None
        return self.num_envs * self.per_env * max_episode_steps


class Steps(Windows):
    """A window of fixed length in every environment; episodes carry over from one to the next."""

    num_envs: int = eqx.field(static=True, default=8)
    """Environments that step together."""
    num_steps: int = eqx.field(static=True, default=128)
    """Steps of each environment in one update."""
    tail: str = eqx.field(static=True, default="cut", metadata=one_of(*_TAILS))
    """Without a value function, how to treat an episode that the window leaves unfinished: cut (use
    its return so far, biased) or mask (ignore it; favours short episodes)."""

    def __check_init__(self) -> None:
        check_count(num_envs=self.num_envs, num_steps=self.num_steps)
        check_choice(_TAILS, tail=self.tail)

    def counted(self, trajectory: Trajectory) -> Bool[Array, "T N"]:
        if self.tail == "cut":
            return trajectory.mask
        return trajectory.mask & inside_finished_episode(trajectory.ended)

    @property
    def may_count_nothing(self) -> bool:
        return self.tail == "mask"

    def check(self, algorithm: Any) -> None:
        require(
            not (algorithm.baseline.has_value and self.tail == "mask"),
            "tail",
            "'mask'",
            "a value function completes what the window cuts, so leave it out",
        )


class Episodes(WholeEpisodes):
    """Whole episodes from reset; the number for each environment is fixed before they run.

    Needs a time limit. Exact: no episode is left out for being long.
    """

    num_envs: int = eqx.field(static=True, default=16)
    """Environments that step together."""
    per_env: int = eqx.field(static=True, default=1)
    """Episodes of each environment in one update."""

    def __check_init__(self) -> None:
        check_count(num_envs=self.num_envs, per_env=self.per_env)


def num_blocks(per_env: int, max_episode_steps: int) -> int:
    """The number of blocks that `per_env` episodes of full length need, with a reset after each."""
    return -(-per_env * (max_episode_steps + 1) // BLOCK)
