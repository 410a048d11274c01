"""Sampling: where the expectation comes from."""

import equinox as eqx

from uphill.parts.checks import check_choice, check_count


class Steps(eqx.Module):
    """A window of fixed length in every environment; episodes carry over from one to the next."""

    num_envs: int = eqx.field(static=True, default=8)
    """Environments that step together."""
    num_steps: int = eqx.field(static=True, default=128)
    """Steps of each environment in one update."""
    tail: str = eqx.field(static=True, default="cut")
    """Without a value function, what an episode that the window leaves unfinished counts for: cut
    (its return so far, biased) or mask (nothing; favours short episodes)."""

    def __check_init__(self) -> None:
        check_count(num_envs=self.num_envs, num_steps=self.num_steps)
        check_choice(("cut", "mask"), tail=self.tail)


class Episodes(eqx.Module):
    """Whole episodes from reset, so many of every environment, fixed before they run.

    Needs a time limit. Exact: no episode is left out for being long.
    """

    num_envs: int = eqx.field(static=True, default=16)
    """Environments that step together."""
    per_env: int = eqx.field(static=True, default=1)
    """Episodes of each environment in one update."""

    def __check_init__(self) -> None:
        check_count(num_envs=self.num_envs, per_env=self.per_env)
