"""Checks of what a Python environment returns, at every step, since nothing else checks it.

A vector environment would silently cast or broadcast a wrong observation. Every message is a
predicate ("returned …", "raised …"): `HostEnvironment` prepends the environment and the step.
"""

import importlib
import multiprocessing
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uphill.envs.leaves import ends
from uphill.errors import UphillError
from uphill.words import abridged, listed, option

_GYMNASIUM = Path(gymnasium.__file__).parent
_NOT_THEIRS = (
    str(Path(__file__).parents[1]),
    *(str(Path(importlib.__file__).parent), "<frozen importlib"),
    *(str(Path(multiprocessing.__file__).parent), "<string>"),
    *(str(_GYMNASIUM / part) for part in ("core.py", "vector", "wrappers", "envs/registration.py")),
)


_RETURNS = {
    "reset": "(observation, info)",
    "step": "(observation, reward, terminated, truncated, info)",
}
_NUMBERS = frozenset({float, int, np.float64, np.float32, np.int64})
"""Types of rewards that are numbers as they are"""


class Checked(gymnasium.Wrapper):
    """A wrapper that checks returned values against the spaces, and turns errors into sentences. It
    converts values to the types of the spaces, and drops `info`, which nobody reads: it would be
    sent between processes.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self._space, self._actions = env.observation_space, env.action_space
        self._is_plain = type(self._space) is spaces.Box
        self._bounds = None if _has_all(self._space) else _integer_bounds(self._space)

    def reset(self, **keywords: Any) -> tuple[Any, dict]:
        try:
            result = self.env.reset(**keywords)
        except (Exception, SystemExit) as error:
            raise failure("reset", error) from error
        check_reset(result)
        space = self.env.observation_space
        if space is not self._space and space != self._space:
            raise UphillError(
                f"replaced its observation_space in reset ({self._space} became {space}): a policy "
                "sees one space, so set it once, in __init__."
            )
        actions = self.env.action_space
        if actions is not self._actions and actions != self._actions:
            raise UphillError(
                f"replaced its action_space ({self._actions} became {actions}): a policy chooses "
                "among the same actions at every step, so set it once, in __init__, and let step "
                "do nothing for those that are not allowed now."
            )
        return check_observation(self._space, result[0]), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        try:
            result = self.env.step(action)
        except (Exception, SystemExit) as error:
            raise failure("step", error) from error
        if type(result) is not tuple or len(result) != 5:
            check_step(result)
        observation, reward, terminated, truncated, _ = result
        space = self._space
        # What is as it should be is not looked at closely: each call here is one for every step of
        # every environment.
        is_fine = (
            self._is_plain
            and type(observation) is np.ndarray
            and observation.shape == space._shape
            and observation.dtype == space.dtype
            and (self._bounds is None or _is_within(observation, *self._bounds))
        )
        if not is_fine:
            observation = check_observation(space, observation)
        if type(reward) not in _NUMBERS:
            reward = number(reward)
        if type(terminated) is not bool:
            terminated = is_true("terminated", terminated)
        if type(truncated) is not bool:
            truncated = is_true("truncated", truncated)
        return observation, reward, terminated, truncated, {}


def is_theirs(filename: str) -> bool:
    """Whether it is a file of the environment's, or of what that calls."""
    return not filename.startswith(_NOT_THEIRS)


def check_environment(env: Any) -> None:
    """Raises:
    UphillError: if the object is not an environment at all.
    """
    parts = ("reset", "step", "observation_space", "action_space")
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise UphillError(
            f"made {described(env)}, which is several environments: make a single one, and "
            f"{option('envs')} steps as many as it says."
        )
    missing = [name for name in parts if not hasattr(env, name)]
    if len(missing) == len(parts):
        raise UphillError(f"returned {described(env)} instead of an environment: return one.")
    if missing:
        raise UphillError(
            f"made {described(env)} that has no {listed(missing, 'and no')}: an environment has "
            f"{listed(parts)}."
        )


def check_reset(result: Any) -> None:
    """Raises:
    UphillError: if `reset` returned something else than it should.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise UphillError(
            f"returned {described(result)} from reset instead of {_RETURNS['reset']}: return both; "
            "info may be {}."
        )


def check_step(result: Any) -> None:
    """Raises:
    UphillError: if `step` returned something else than it should.
    """
    if not isinstance(result, tuple) or len(result) != 5:
        raise UphillError(
            f"returned {described(result)} from step instead of {_RETURNS['step']}: return these "
            "five; info may be {}."
        )


def described(result: Any) -> str:
    """A returned value, in a few words."""
    if isinstance(result, tuple):
        return f"a tuple of {len(result)}"
    return "None" if result is None else f"a {type(result).__name__}"


def failure(where: str, error: BaseException) -> UphillError:
    """The error of an environment's own code, with its own traceback."""
    if isinstance(error, UphillError):
        return error
    if isinstance(error, SystemExit):
        return UphillError(
            f"ended the program in {where}, with sys.exit (its window was closed?): raise an error "
            f"instead, or end the episode. Where that was follows.\n{own_traceback(error)}"
        )
    frames = traceback.extract_tb(error.__traceback__)
    if (
        where in _RETURNS
        and "unpack" in str(error)
        and not any(is_theirs(frame.filename) for frame in frames)
    ):
        # A wrapper of Gymnasium's got it first.
        return UphillError(f"did not return {_RETURNS[where]} from {where}: {error}.")
    return UphillError(
        f"raised {type(error).__name__} in {where}; its own error follows.\n{own_traceback(error)}"
    )


def own_traceback(error: BaseException) -> str:
    """The traceback, and those of its causes, with the frames of the environment's own code."""
    full = traceback.TracebackException.from_exception(error)
    exception: traceback.TracebackException | None = full
    while exception is not None:
        own = [frame for frame in exception.stack if is_theirs(frame.filename)]
        exception.stack = traceback.StackSummary.from_list(own)
        exception = exception.__cause__ or exception.__context__
    return "".join(full.format()).rstrip()


def check_observation(space: gymnasium.Space, value: Any, path: str = "observation") -> Any:
    """The observation, with plain numbers and lists in the types of `space`.

    Raises:
        UphillError: if `value` has not the structure, shape and kind of number of `space`, or whole
            numbers outside its bounds.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.spaces):
            raise UphillError(f"returned no dict with keys {list(space.spaces)} as its {path}.")
        return {
            key: check_observation(part, value[key], f"{path}[{key!r}]")
            for key, part in space.spaces.items()
        }
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            raise UphillError(f"returned no tuple of {len(space.spaces)} parts as its {path}.")
        return tuple(
            check_observation(part, value[k], f"{path}[{k}]") for k, part in enumerate(space.spaces)
        )
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        return _checked_array(space, value, path)
    return value


def _checked_array(space: gymnasium.Space, value: Any, path: str) -> Any:
    assert space.dtype is not None
    is_array = isinstance(value, np.ndarray | np.generic)
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise UphillError(f"returned no array as its {path}: {error}.") from error
    if array.shape != space.shape:
        raise UphillError(
            f"returned an array of shape {array.shape} as its {path}, but its observation space "
            f"says {space.shape}: fix one of them."
        )
    # Python's own integers have no width: if the space has them, it has them in its type.
    is_plain = not is_array and (array.dtype.kind in "iu" or _is_whole(array))
    if not (is_plain or np.can_cast(array.dtype, space.dtype, "same_kind")):
        raise UphillError(
            f"returned an array of dtype {array.dtype} as its {path}, but its observation space "
            f"says {space.dtype}: fix one of them."
        )
    bounds = _integer_bounds(space)
    if bounds is not None and not _is_within(array, *bounds):
        raise _outside(space, array, *bounds, path)
    if is_array and array.dtype == space.dtype:
        return value
    with np.errstate(over="ignore"):
        cast = array.astype(space.dtype)
    if cast.dtype.kind == "f" and (is_lost := ~np.isfinite(cast) & (np.abs(array) < np.inf)).any():
        index = tuple(np.argwhere(is_lost)[0])
        raise too_large(array[index], path + entry(index), cast.dtype)
    return cast


def too_large(number: Any, path: str, dtype: np.dtype) -> UphillError:
    """The sentence about a number that a type of floats can't hold."""
    return UphillError(
        f"returned {number} as its {path}, but {dtype} holds numbers only up to "
        f"{np.finfo(dtype).max:.2g}: use another unit."
    )


def entry(index: Sequence[Any]) -> str:
    """An index as it is written."""
    return f"[{', '.join(str(int(k)) for k in index)}]" if len(index) else ""


def _is_whole(array: np.ndarray) -> bool:
    """Whether these are Python's integers, of more than 64 bits."""
    return array.dtype.kind == "O" and all(isinstance(x, int) for x in array.flat)


def _integer_bounds(space: gymnasium.Space) -> tuple[Any, Any] | None:
    """The least and the greatest of each whole number of a space: another would be another number
    in its type, or none of its choices. None for other numbers."""
    is_float = isinstance(space, spaces.Box) and space.dtype.kind not in "biu"
    return None if is_float else ends(space)


def _has_all(space: gymnasium.Space) -> bool:
    """Whether a space has all whole numbers of its type, as images have all bytes."""
    if not isinstance(space, spaces.Box) or space.dtype.kind not in "iu":
        return False
    limits = np.iinfo(space.dtype.name)
    return bool((space.low == limits.min).all() and (space.high == limits.max).all())


def _is_within(array: Any, low: Any, high: Any) -> bool:
    return not ((array < low) | (array > high)).any()


def _outside(space: gymnasium.Space, array: Any, low: Any, high: Any, path: str) -> UphillError:
    """The error about the first number outside the bounds, with these."""
    array, low, high = np.broadcast_arrays(array, low, high)
    index = tuple(np.argwhere((array < low) | (array > high))[0])
    return UphillError(
        f"returned {array[index]} as its {path}{entry(index)}, which is not in its observation "
        f"space {space} (bounds there: {low[index]} to {high[index]}): fix one of them."
    )


def number(reward: Any) -> Any:
    """The reward as a number."""
    if isinstance(reward, float | int | np.floating | np.integer):
        return reward
    array = _array(reward)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise UphillError(f"returned {_shown(reward)} as its reward, which is not one number.")
    return array.item()


def is_true(name: str, value: Any) -> bool:
    """Whether an episode was `terminated`, or `truncated`."""
    if isinstance(value, np.bool_):
        return bool(value)
    array = _array(value)
    if array.size != 1 or array.dtype.kind not in "biuf" or array.item() not in (0, 1):
        raise UphillError(f"returned {_shown(value)} as {name}, which is neither True nor False.")
    return bool(array.item())


def _array(x: Any) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError:  # a list of lists of several lengths
        return np.asarray("")


def _shown(x: Any) -> str:
    return abridged(" ".join(repr(x).split()), 80)
