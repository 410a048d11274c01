"""Evaluation: a fixed number of whole episodes of the final policy.

Each environment has a quota of episodes: taking whichever end first would favour short ones. Half
of the environments take the distribution's mode, the other half sample; one program runs both.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree

from uphill.collecting.border import AsSeen
from uphill.collecting.episodes import Step, play, play_on_host
from uphill.collecting.lanes import start_lanes
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import EnvironmentChoice, lane_seed, make_env
from uphill.errors import UphillError
from uphill.learning.learner import take
from uphill.policies.actions import is_for
from uphill.policies.actor import Actor
from uphill.policies.encodings import is_of, strangers
from uphill.theory.statistics import summarize
from uphill.training.programs import Built, begun, is_ours
from uphill.training.seeds import over_seeds, seed_keys
from uphill.trajectory import Array
from uphill.words import for_terminal, option

LONGEST = 10_000
"""Steps after which an evaluation cuts off an episode of an environment without a time limit."""
FEW_EVALUATED = 2_000
"""Below this many steps, over all seeds, skip XLA's optimisation: compiling a second faster saves
more than running ten times as slowly costs."""
_MOST_ENVS = {"compiled": 256, "envpool": 100, "gymnasium": 10}
_EVALUATION_SEED = 2**31 - 1  # far from the seeds people train with

Returns = Float[np.ndarray, "2 S episodes"]


def tell(text: str) -> None:
    """Print one line to stderr."""
    print(for_terminal(text, sys.stderr), file=sys.stderr, flush=True)


class Evaluator:
    """Evaluates a fixed number of episodes for each seed; its compiled program is reused."""

    def __init__(
        self,
        choice: EnvironmentChoice,
        seeds: Sequence[int],
        episodes: int,
        say: Callable[[str], None] = tell,
        elsewhere: int = 0,
    ) -> None:
        """A policy's random numbers in an evaluation depend only on its own seed, not on the other
        seeds. `elsewhere` is the number of further seeds that other processes evaluate, with
        bit-identical results."""
        self._say: Callable[[str], None] | None = say
        half = min(episodes, _MOST_ENVS[choice.backend])
        self.name, self.num_seeds = choice.name, len(seeds)
        self._num_in_all = len(seeds) + elsewhere
        self._deterministic = np.arange(2 * half) < half
        quota = np.tile(np.diff(np.linspace(0, episodes, half + 1).astype(int)), 2)
        self._quota = quota.astype(np.int32)
        self._seeds = tuple((_EVALUATION_SEED + seed) % 2**32 for seed in seeds)
        self._keys = seed_keys(self._seeds)
        self._env, _ = make_env(choice, 2 * half, self._seeds[:1])
        self._run: Callable[[tuple, Actor, Array], tuple] | None = None
        self.compile_seconds = 0.0

    def compile(self, actors: Actor) -> None:
        """Compile for actors of these shapes; otherwise the first call of `returns` does it.

        For a compiled world this is one program. Other backends compile functions when they call
        them.
        """
        actors = jax.device_get(actors)  # on no particular device: any others will fit then
        started = time.perf_counter()
        env = self._env
        most = int(self._quota.max())
        if not isinstance(env, CompiledEnvironment):
            self._run = self._seed_by_seed(most)
            return

        steps = self._num_in_all * most * env.max_episode_steps
        like = "evaluation" if is_ours((env.world, actors)) else None
        is_quick = steps <= FEW_EVALUATED
        evaluation = Built(_evaluation, (env, most, self.num_seeds))
        _, rest = begun(evaluation, is_quick, like, self._shared, actors, self._keys)
        self._run = rest()
        self.compile_seconds += time.perf_counter() - started

    def returns(self, actors: Actor) -> Returns:
        """Undiscounted returns of whole episodes: deterministic ones, then stochastic ones.

        Raises:
            UphillError: if the environment returned a non-finite number or an unknown category.
        """
        actors = jax.device_get(actors)
        if self._run is None:
            self.compile(actors)
        assert self._run is not None
        found = self._run(self._shared, actors, self._keys)
        grid, num_cut, has_strangers = map(np.asarray, found)
        if has_strangers.any():
            seed, lane = np.argwhere(has_strangers)[0]
            raise UphillError(
                f"{self.name} returned an observation with a larger category than those of "
                f"training in an evaluation (of the policy with index {seed}, in environment "
                f"{lane}): fix the environment, or train with a larger "
                f"{option('observation_categories')}."
            )
        valid = np.arange(grid.shape[-1]) < self._quota[:, None]
        bad = np.argwhere(~np.isfinite(grid) & valid)
        if len(bad):
            seed, lane, episode = bad[0]
            raise UphillError(
                f"{self.name} returned a reward or an observation that is NaN or infinite in an "
                f"evaluation (of the policy with index {seed}, in episode {episode} of "
                f"environment {lane}): fix the environment."
            )
        if num_cut.any() and self._say is not None:
            self._say(
                f"{num_cut.sum():,} of {grid.shape[0] * valid.sum():,} episodes of the evaluation "
                f"were cut off after {_longest(self._env):,} steps, and count what they had: "
                f"{self.name} has no time limit, and {option('max_episode_steps')} gives it one."
            )
            self._say = None  # once
        halves = (self._deterministic, ~self._deterministic)
        return np.stack([grid[:, lanes][:, valid[lanes]] for lanes in halves]).astype(np.float64)

    def check_spaces(self, actors: Actor) -> None:
        """Raises:
        UphillError: unless the environments have the spaces that the policies know.
        """
        seen, given = self._env.observation_space, self._env.action_space
        encoding, kind = actors.encoding, actors.policy.action_kind
        for what, found, expected, is_same in (
            ("observations", seen, encoding, is_of(encoding, seen)),
            ("actions", given, kind, is_for(kind, given)),
        ):
            if not is_same:
                raise UphillError(
                    f"env is {self.name}, whose {what} are {found}, and the policy was trained "
                    f"on {expected}: give the environment that it was trained in."
                )

    def close(self) -> None:
        """Stop the environments."""
        if not isinstance(self._env, CompiledEnvironment):
            self._env.close()

    @property
    def _shared(self) -> tuple:
        return self._deterministic, self._quota

    def _seed_by_seed(self, most: int) -> Callable[[tuple, Actor, Array], tuple]:
        """All seeds' `_episodes`, where the environments can't be part of a program."""
        env = self._env
        one: Any = (
            _episodes_on_host if isinstance(env, HostEnvironment) else _episodes_in_pool(most)
        )

        def of_seed(s: int, actors: Actor, key: PRNGKeyArray, *shared: Array) -> tuple:
            if isinstance(env, HostEnvironment):
                env.seed([lane_seed(self._seeds[s], lane) for lane in range(env.num_envs)])
            return one(env, take(actors, s), key, *shared)

        def each(shared: tuple, actors: Actor, keys: Array) -> tuple:
            # Wait for it: a pool must not be reset while the program that steps it is still
            # running.
            found = [jax.device_get(of_seed(s, actors, key, *shared)) for s, key in enumerate(keys)]
            return tuple(map(np.stack, zip(*found, strict=True)))

        return each


def evaluate_actors(
    choice: EnvironmentChoice,
    actors: Actor,
    seeds: Sequence[int],
    episodes: int,
    say: Callable[[str], None] = tell,
    elsewhere: int = 0,
) -> Returns:
    """Undiscounted returns of whole episodes: deterministic ones, then stochastic ones.

    Raises:
        UphillError: if the environment has other spaces than the policies were trained on.
    """
    evaluator = Evaluator(choice, seeds, episodes, say, elsewhere)
    try:
        evaluator.check_spaces(actors)
        return evaluator.returns(actors)
    finally:
        evaluator.close()


def _act(
    actor: Actor, observation: PyTree, key: PRNGKeyArray, deterministic: Bool[Array, " N"]
) -> tuple[Array, PyTree]:
    """The action, and the action as the environment gets it."""
    distribution = actor(observation)
    sampled, mode = distribution.sample(key), distribution.mode()
    action = jax.vmap(jnp.where)(deterministic, mode, sampled)
    return action, actor.policy.action_kind.to_environment(action)


def _evaluation(env: CompiledEnvironment, most: int, num_seeds: int) -> Callable[..., tuple]:
    """All seeds' `_episodes`."""

    def run(shared: tuple, actor: Actor, key: PRNGKeyArray) -> tuple:
        return _episodes(env, actor, key, *shared, most=most)

    return over_seeds(run, num_seeds)


def _longest(env: Any) -> int:
    """Steps after which an episode is cut off: without a time limit, it might never end."""
    return env.max_episode_steps or LONGEST


def _episodes(
    env: Any,
    actor: Actor,
    key: PRNGKeyArray,
    deterministic: Array,
    quota: Array,
    *,
    most: int,
    start: tuple | None = None,
) -> tuple[Float[Array, "N Q"], Int[Array, " N"], Bool[Array, " N"]]:
    """The returns of each environment's first episodes, how many of them were cut off, and whether
    it returned an unknown category (`strangers`)."""
    key_reset, key_act = jax.random.split(key)
    lanes = start_lanes(*(env.reset(key_reset) if start is None else start))

    def act(observation: PyTree, key: PRNGKeyArray) -> tuple:
        action, env_action = _act(actor, observation, key, deterministic)
        return action, None, env_action

    def note(notes: tuple, step: Step) -> tuple[tuple, None]:
        returns, num_cut, has_strangers = notes
        # An episode writes its slot at every step, and leaves it at its end.
        current = jnp.arange(most)[None] == step.number[:, None]
        running = jnp.broadcast_to(step.lanes.running_return[:, None], returns.shape)
        returns = jnp.where(current & step.row.mask[:, None], running, returns)
        for strange in strangers(actor.encoding, step.row.observation):
            has_strangers |= step.row.mask & strange.reshape(len(quota), -1).any(1)
        return (returns, num_cut + step.is_cut, has_strangers), None

    num_envs = len(quota)
    returns = jnp.zeros((num_envs, most), jnp.float32)
    nothing = returns, jnp.zeros(num_envs, jnp.int32), jnp.zeros(num_envs, bool)
    return play(
        env,
        act,
        lanes,
        lambda t: jax.random.fold_in(key_act, t)[None],
        quota,
        note,
        nothing,
        longest=_longest(env),
    ).notes


def _episodes_in_pool(most: int) -> Any:
    @partial(jax.jit, static_argnums=0)
    def run(env: Any, start: tuple, actor: Actor, key: PRNGKeyArray, *shared: Array) -> tuple:
        return _episodes(env, actor, key, *shared, most=most, start=start)

    return lambda env, actor, key, *shared: run(env, env.reset(), actor, key, *shared)


@jax.jit
def _act_at(
    actor: Actor, observation: PyTree, key: PRNGKeyArray, t: Array, deterministic: Array
) -> tuple[Array, PyTree]:
    return _act(actor, observation, jax.random.fold_in(key, t), deterministic)


def _episodes_on_host(
    env: HostEnvironment, actor: Actor, key: PRNGKeyArray, deterministic: Array, quota: Array
) -> tuple[Float[np.ndarray, "N Q"], Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    def act(observation: PyTree, t: int) -> tuple:
        acted = _act_at(actor, observation, key, np.int32(t), deterministic)
        action, env_action = jax.tree.map(np.asarray, acted)
        return action, None, actor.policy.action_kind.on_host(action, env_action)

    returns = np.zeros((env.num_envs, quota.max()), np.float64)
    num_cut = np.zeros(env.num_envs, np.int32)
    seen = AsSeen(env, actor.encoding)
    lanes = start_lanes((), seen.reset())
    for step in play_on_host(seen, act, lanes, np.asarray(quota), _longest(env), np.float64):
        counted = np.flatnonzero(step.mask)
        returns[counted, step.number[counted]] = step.running_return[counted]
        num_cut += step.is_cut
    return returns, num_cut, np.zeros(env.num_envs, bool)  # unknown ones were refused


def evaluation_of(returns: Returns) -> dict[str, Any]:
    """The contents of `evaluation.json`."""
    return {
        "episodes": returns.shape[2],
        "interval_over": "seeds" if returns.shape[1] > 1 else "episodes",
        "deterministic": summarize(returns[0]),
        "stochastic": summarize(returns[1]),
    }
