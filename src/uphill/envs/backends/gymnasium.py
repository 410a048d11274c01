"""Gymnasium: any Python environment, stepped from a Python loop."""

import difflib
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import SyncVectorEnv, VectorEnv
from jaxtyping import PyTree

from uphill.envs.alterations import UNALTERED, Alterations
from uphill.envs.backends.bounds import BoundsWatch
from uphill.envs.backends.checks import (
    Checked,
    check_environment,
    entry,
    failure,
    own_traceback,
    too_large,
)
from uphill.envs.backends.layers import layers
from uphill.envs.backends.old_gym import accepts, adapt, has_old_signatures, takes_seeds
from uphill.envs.backends.processes import Processes
from uphill.envs.ids import OURS
from uphill.envs.importing import imported
from uphill.errors import UphillError
from uphill.trajectory import fits_32_bits
from uphill.words import listed

EnvironmentMaker = Callable[..., Any]
_OLD_ATARI = re.compile(r"^ALE/|(-ram)?(NoFrameskip|Deterministic)?-v\d+$")
"""What older names of Atari's games have around the game"""


class PythonEnvironment(NamedTuple):
    """How to make one environment, and what is known of it before it runs."""

    factory: EnvironmentMaker
    max_episode_steps: int | None
    reward_threshold: float | None
    notice: str | None
    is_clipped: bool = False
    """whether `ClipAction` around it hides the bounds of its actions"""


def spec_of(env_id: str) -> EnvSpec:
    """What Gymnasium's registry knows of `Env-v0` or `module:Env-v0` (imports the module).

    Raises:
        UphillError: if it knows nothing; it names the nearest that it knows.
    """
    module, _, name = env_id.rpartition(":")
    if module.endswith(".py"):
        written = module.removesuffix(".py").replace("/", ".").strip(".")
        raise UphillError(
            f"{env_id!r} names a file, but a module is imported: write it without .py, "
            f"{written}:{name}."
        )
    if ":" in env_id and (not module or module.startswith(".") or "/" in module):
        inner = module.rpartition("/")[2].strip(".") or "my_package"
        raise UphillError(
            f"{env_id!r} names no module before the colon: start in the folder that has it, and "
            f"write its name, as in {inner}:{name or 'Env-v0'}."
        )
    found = getattr(imported(module, env_id), name, None) if module else None
    for known in (name, f"{OURS}{name}"):
        if known in gymnasium.registry:
            return gymnasium.registry[known]
    if callable(found):
        raise UphillError(
            f"{env_id!r} is not an environment's ID, but a callable: register it in the module, "
            f"gymnasium.register('{name}-v0', {name}), and use {module}:{name}-v0; in Python pass "
            f"the callable itself, uphill.train({module}.{name})."
        )
    if not module:
        raise UphillError(f"There is no environment {name!r}: {suggestion(name)}")
    own = _registered_in(module)
    near = difflib.get_close_matches(name, own, n=3, cutoff=0.0)
    mend = f"use {listed(near, 'or')}." if near else "it registers none with Gymnasium."
    raise UphillError(f"There is no environment {name!r} in the module {module!r}: {mend}")


def _registered_in(module: str) -> list[str]:
    """Environments that Gymnasium knows, and a module or the package that it is part of makes."""

    def home(spec: EnvSpec) -> str:
        made_by = spec.entry_point
        return made_by if isinstance(made_by, str) else getattr(made_by, "__module__", "")

    package = module.partition(".")[0]
    specs = gymnasium.registry.items()
    return [known for known, spec in specs if re.split("[.:]", home(spec))[0] == package]


def suggestion(name: str, more: tuple[str, ...] = ()) -> str:
    """Where to look instead of `name`: the nearest that Gymnasium knows, or among `more`."""
    theirs = (known for known in gymnasium.registry if not known.startswith(OURS))
    known = {known.lower(): known for known in (*theirs, *more)}
    game = known.get(f"{_OLD_ATARI.sub('', name).lower()}-v5")
    if game is not None and game not in gymnasium.registry:
        return f"did you mean {game}, which skips and stacks frames by itself?"
    module, _, rest = name.rpartition(".")
    if module.isidentifier() and rest.isidentifier():
        return f"an environment of a module of yours is written {module}:ID, as it is registered."
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if not near:
        return "`uphill envs` lists what exists."
    return f"did you mean {listed([known[x] for x in near], 'or')}?"


def prepare(
    env: str | EnvironmentMaker,
    env_kwargs: dict[str, Any],
    name: str,
    alterations: Alterations = UNALTERED,
) -> PythonEnvironment:
    """Make the environment once, to learn its time limit and whether its signatures are old ones.

    Raises:
        UphillError: if it can't be made.
    """
    source = spec_of(env) if isinstance(env, str) else env
    try:
        bare = make_bare(source, env_kwargs)
        _check_options(bare, alterations)
        is_old, is_seeded = has_old_signatures(bare), takes_seeds(bare)
        close_quietly(bare)
        factory = factory_of(source, env_kwargs, is_old, alterations)
        made = factory()
        limit = checked_time_limit(made, alterations)
        threshold = _threshold(made)
        is_clipped = has_clip_action(made)
        close_quietly(made)
    except (Exception, SystemExit) as error:
        raise unmakeable(name, env_kwargs, error) from error
    notice = None
    if is_old:
        notice = f"{name} has signatures of the old Gym (4-value step, bare reset): adapted."
        notice += "" if is_seeded else " It takes no seed, so runs with it can't be repeated."
    return PythonEnvironment(factory, limit, threshold, notice, is_clipped)


def _check_options(env: Any, alterations: Alterations) -> None:
    """Raises:
    UphillError: if options are given to a `reset` that takes none.
    """
    if alterations.reset_options is None:
        return
    if not accepts(getattr(env, "unwrapped", env).reset, "options"):
        raise UphillError("has a reset that takes no options: leave out reset_options.")


def make_bare(env: EnvSpec | EnvironmentMaker, env_kwargs: dict[str, Any]) -> Any:
    """The environment alone, whatever its class: Gymnasium refuses what is not its own."""
    if isinstance(env, EnvSpec):
        keywords = {k: v for k, v in env_kwargs.items() if k != "max_episode_steps"}
        made = _create(env.entry_point, **env.kwargs | keywords)
    else:
        made = env(**env_kwargs)
    check_environment(made)
    return made


def _create(entry_point: Any, **keywords: Any) -> Any:
    creator = entry_point if callable(entry_point) else load_env_creator(entry_point)
    return creator(**keywords)


def _create_adapted(entry_point: Any, **keywords: Any) -> gymnasium.Env:
    return adapt(_create(entry_point, **keywords))


def _create_limited(make: EnvironmentMaker, limit: int) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(make(), limit)


def factory_of(
    env: EnvSpec | EnvironmentMaker,
    env_kwargs: dict[str, Any],
    is_old: bool,
    alterations: Alterations = UNALTERED,
) -> EnvironmentMaker:
    """What makes one environment with today's signatures."""
    limit = alterations.max_episode_steps
    make = _limited(env, env_kwargs, is_old, limit)
    return partial(alterations.around, make) if alterations.needs_gymnasium else make


def _limited(
    env: EnvSpec | EnvironmentMaker, env_kwargs: dict[str, Any], is_old: bool, limit: int | None
) -> EnvironmentMaker:
    if not isinstance(env, EnvSpec):
        # Nothing of ours around it if need be: a process that only steps it should not load JAX.
        make = partial(*(_create_adapted, env) if is_old else (env,), **env_kwargs)
        return make if limit is None else partial(_create_limited, make, limit)
    if limit is not None:
        env_kwargs = env_kwargs | {"max_episode_steps": limit}
    # The spec, not the name: a process that is spawned has registered nothing of the user's.
    spec = replace(env, entry_point=partial(_create_adapted, env.entry_point)) if is_old else env
    # `Checked` does more than Gymnasium's checker, and at every step.
    return partial(gymnasium.make, spec, disable_env_checker=True, **env_kwargs)


def unmakeable(name: str, env_kwargs: dict[str, Any], error: BaseException) -> UphillError:
    """Why an environment could not be made, as a sentence."""
    if isinstance(error, UphillError | SystemExit):
        return UphillError(f"{name} {failure('making it', error)}")
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        return UphillError(f"{name} needs a package that is missing: {error}")
    if isinstance(error, ModuleNotFoundError):
        return UphillError(
            f"{name} needs the Python module {error.name!r}, which is missing: pip install it."
        )
    refusals = ("unexpected keyword argument", "takes no arguments")
    if env_kwargs and isinstance(error, TypeError) and any(x in str(error) for x in refusals):
        return UphillError(f"{name} does not take {', '.join(env_kwargs)}: {error}.")
    return UphillError(
        f"{name} could not be made, reset and stepped; its own error follows.\n"
        + own_traceback(error)
    )


def close_quietly(env: Any) -> None:
    """Close an environment that is needed no more, whatever its `close` raises."""
    with suppress(Exception):
        getattr(env, "close", lambda: None)()


def time_limit(env: Any) -> int | None:
    """The steps after which a wrapper truncates an episode, or None."""
    limited = (x for x in layers(env) if isinstance(x, gymnasium.wrappers.TimeLimit))
    return min((x._max_episode_steps for x in limited), default=None)


def has_clip_action(env: Any) -> bool:
    """Whether one of its wrappers is `ClipAction`, which says that any action will do."""
    return any(isinstance(x, gymnasium.wrappers.ClipAction) for x in layers(env))


def _threshold(env: Any) -> float | None:
    """The reward threshold; None if a wrapper changes rewards."""
    # NormalizeReward is no RewardWrapper.
    changes_rewards = gymnasium.RewardWrapper | gymnasium.wrappers.NormalizeReward
    if any(isinstance(x, changes_rewards) for x in layers(env)):
        return None
    return None if env.spec is None else env.spec.reward_threshold


def checked_time_limit(env: Any, alterations: Alterations) -> int | None:
    """The time limit of an environment that was made with the requested one.

    Raises:
        UphillError: if its own time limit is shorter than the requested one.
    """
    limit, asked = time_limit(env), alterations.max_episode_steps
    if limit is not None and asked is not None and limit < asked:
        raise UphillError(
            f"truncates its episodes after {limit} steps in a TimeLimit of its own, so "
            f"max_episode_steps can't be {asked}: use at most {limit}, or make it without."
        )
    return limit


def make_vector(
    factory: EnvironmentMaker,
    num_envs: int,
    is_async: bool,
    name: str = "the environment",
    step_timeout: float | None = None,
) -> VectorEnv:
    """`num_envs` environments that step together; asynchronous ones in separate processes.

    Raises:
        UphillError: if they can't be made.
    """
    try:
        if is_async:
            return Processes(factory, num_envs, step_timeout)
        made = [factory() for _ in range(num_envs)]
        if len({id(getattr(env, "unwrapped", env)) for env in made}) == num_envs:
            return SyncVectorEnv([partial(Checked, env) for env in made], copy=False)
    except (EOFError, ConnectionError) as error:
        raise UphillError(
            f"{name} could not be made in a separate process: the environment and what it is "
            "made from must be importable there, and a script that trains needs "
            "`if __name__ == '__main__':`."
        ) from error
    except (Exception, SystemExit) as error:
        raise UphillError(f"{name} {failure('making it', error)}") from error
    raise UphillError(
        f"{name} made the same environment twice, and each must have a state of its own: make a "
        "new one at every call."
    )


class HostEnvironment:
    """A Gymnasium vector environment (or an EnvPool pool), stepped from Python.

    `reset` and `step` return NumPy arrays that the environment may overwrite at its next step:
    copy what you keep.
    """

    def __init__(
        self,
        name: str,
        vector: Any,
        lane_seeds: list[int],
        max_episode_steps: int | None,
        reward_threshold: float | None,
        action_dtype: np.dtype | None = None,
        is_clipped: bool = False,
    ) -> None:
        """`action_dtype` is that of what takes another than its action space says; `is_clipped`
        says that `ClipAction` hides the bounds of the actions."""
        self.name = name
        self.num_envs = len(lane_seeds)
        self.max_episode_steps = max_episode_steps
        self.is_clipped = is_clipped
        self.reward_threshold = reward_threshold
        # A pool calls itself a vector environment too, but was seeded when it was made, and its
        # spaces are those of one environment.
        is_vector = isinstance(vector, SyncVectorEnv | Processes)
        self.observation_space: gymnasium.Space = (
            vector.single_observation_space if is_vector else vector.observation_space
        )
        self.action_space: gymnasium.Space = (
            vector.single_action_space if is_vector else vector.action_space
        )
        self._vector = vector
        self._action_dtype = action_dtype or self.action_space.dtype
        self._end: Callable[[], Any] = vector.close
        if isinstance(vector, Processes):
            self._end = weakref.finalize(self, vector.close)  # however the training ends
        self._is_seeded_by_reset = is_vector
        self._seeds: list[int] | None = lane_seeds if is_vector else None
        self._num_steps = 0
        self._watch = BoundsWatch(self.observation_space)
        self._remark: str | None = None
        self._first: PyTree[np.ndarray] | None = None
        self._harmless: PyTree[Any] | None = None

    def let_through(self) -> None:
        """From now on a non-finite number raises no error: the trainer of several seeds stops those
        seeds that see one. Their policies give no valid action then, so another one is
        substituted."""
        space = deepcopy(self.action_space)
        space.seed(0)
        self._harmless = space.sample()

    def seed(self, lane_seeds: list[int]) -> None:
        """Have the next reset begin other random streams; those of a pool can't be changed."""
        if self._is_seeded_by_reset:
            self._seeds, self._first = lane_seeds, None

    def peek(self) -> PyTree[np.ndarray]:
        """The observations that the first reset is going to return."""
        if self._first is None:
            self._first = self.reset()
        return self._first

    def reset(self) -> PyTree[np.ndarray]:
        """First observations. The seeds are given once: after that the random streams go on."""
        if self._first is not None:
            observation, self._first = self._first, None
            return observation
        keywords = {} if self._seeds is None else {"seed": self._seeds}
        self._seeds = None
        observation = self._guarded("reset", lambda: self._vector.reset(**keywords))[0]
        self._check_observation(observation)
        self._look(observation)
        return observation

    def remark(self) -> str | None:
        """A remark about the environment, if there is a new one."""
        remark, self._remark = self._remark, None
        return remark

    def step(
        self, action: PyTree[np.ndarray]
    ) -> tuple[PyTree[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Observation, reward, terminated, truncated."""
        self._num_steps += 1
        if self._action_dtype is not None:  # a Dict or a Tuple has no dtype
            action = np.asarray(action, self._action_dtype)
        if self._harmless is not None:
            action = jax.tree.map(_finite, action, self._harmless)
        observation, reward, terminated, truncated, _ = self._guarded(
            "step", lambda: self._vector.step(action)
        )
        if not fits_32_bits(reward):
            self._complain("reward", reward)
        self._check_observation(observation)
        self._look(observation)
        return observation, reward, terminated, truncated

    def close(self) -> None:
        """Stop the environments; processes that don't answer any more are ended."""
        with suppress(Exception):  # it has served, and what it served is true
            self._end()

    def _guarded(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            if not isinstance(self._vector, Processes):
                return call()
            with _quiet_gymnasium():
                return call()
        except (Exception, SystemExit) as error:
            raise self._error(str(failure(what, error))) from error

    def _error(self, predicate: str) -> UphillError:
        return UphillError(
            f"{self.name}, at step {self._num_steps} of each environment, {predicate}"
        )

    def _look(self, observation: PyTree[np.ndarray]) -> None:
        if found := self._watch.look(self._num_steps, observation):
            self._remark = str(self._error(found))

    def _check_observation(self, observation: PyTree, path: str = "observation") -> None:
        if isinstance(observation, dict):
            for key, part in observation.items():
                self._check_observation(part, f"{path}[{key!r}]")
        elif isinstance(observation, tuple):
            for k, part in enumerate(observation):
                self._check_observation(part, f"{path}[{k}]")
        elif not fits_32_bits(observation):
            self._complain(path, observation)

    def _complain(self, field: str, array: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            env, *index = np.argwhere(~np.isfinite(array.astype(np.float32)))[0]
        value = array[(env, *index)]
        if np.isfinite(value):
            raise self._error(str(too_large(value, field + entry(index), np.dtype(np.float32))))
        if self._harmless is None:
            raise self._error(
                f"returned {value} in its {field} (environment {env} of "
                f"{self.num_envs}): fix the environment."
            )


def _finite(action: np.ndarray, other: Any) -> np.ndarray:
    """The actions of all environments, with another one where they have no number."""
    if action.dtype.kind != "f":
        return action
    return np.where(np.isfinite(action), action, np.asarray(other, action.dtype))


@contextmanager
def _quiet_gymnasium() -> Iterator[None]:
    """Without Gymnasium's own report of an error in a process: ours says more."""
    before = gymnasium.logger.min_level
    gymnasium.logger.min_level = gymnasium.logger.ERROR + 1
    try:
        yield
    finally:
        gymnasium.logger.min_level = before
