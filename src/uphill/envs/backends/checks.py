"""What a Python environment returns, checked at every step, since nobody else does it.

A vector environment would cast or broadcast a wrong observation without a word. Every message is a
predicate ("returned …", "raised …"): `HostEnvironment` puts the environment and the step before it.
"""

import traceback
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uphill.errors import UphillError

_GYMNASIUM = Path(gymnasium.__file__).parent
_NOT_THEIRS = (
    str(Path(__file__).parents[1]),
    *(str(_GYMNASIUM / part) for part in ("core.py", "vector", "wrappers", "envs/registration.py")),
)


class Checked(gymnasium.Wrapper):
    """An environment whose errors come with a sentence, and whose returns fit its spaces."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self._space = env.observation_space

    def reset(self, **keywords: Any) -> tuple[Any, dict]:
        try:
            result = self.env.reset(**keywords)
        except Exception as error:
            raise failure("reset", error) from error
        if not isinstance(result, tuple) or len(result) != 2:
            raise UphillError("returned from reset something else than (observation, info).")
        check_observation(self.observation_space, result[0])
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        try:
            result = self.env.step(action)
        except Exception as error:
            raise failure("step", error) from error
        if not isinstance(result, tuple) or len(result) != 5:
            raise UphillError(
                "returned from step something else than "
                "(observation, reward, terminated, truncated, info)."
            )
        observation, reward, terminated, truncated, info = result
        space = self._space
        is_fine = (
            type(space) is spaces.Box
            and type(observation) is np.ndarray
            and observation.shape == space._shape
            and observation.dtype == space.dtype
        )
        if not is_fine:  # or to be looked at closely: this costs every step of every environment
            check_observation(space, observation)
        return observation, _number(reward), terminated, truncated, info


def failure(where: str, error: Exception) -> UphillError:
    """The error of an environment's own code, with its own traceback."""
    if isinstance(error, UphillError):
        return error
    return UphillError(
        f"raised {type(error).__name__} in {where}; its own error follows.\n{own_traceback(error)}"
    )


def own_traceback(error: BaseException) -> str:
    """The traceback, and those of its causes, with the frames of the environment's own code."""
    full = traceback.TracebackException.from_exception(error)
    exception: traceback.TracebackException | None = full
    while exception is not None:
        own = [frame for frame in exception.stack if not frame.filename.startswith(_NOT_THEIRS)]
        exception.stack = traceback.StackSummary.from_list(own)
        exception = exception.__cause__ or exception.__context__
    return "".join(full.format()).rstrip()


def check_observation(space: gymnasium.Space, value: Any, path: str = "observation") -> None:
    """Raises:
    UphillError: if `value` has not the structure, shape and kind of number of `space`.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.spaces):
            raise UphillError(f"returned no dict with keys {list(space.spaces)} as its {path}.")
        for key, part in space.spaces.items():
            check_observation(part, value[key], f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            raise UphillError(f"returned no tuple of {len(space.spaces)} parts as its {path}.")
        for k, part in enumerate(space.spaces):
            check_observation(part, value[k], f"{path}[{k}]")
    elif isinstance(
        space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    ):
        _check_array(space, value, path)


def _check_array(space: gymnasium.Space, value: Any, path: str) -> None:
    assert space.dtype is not None
    is_array = isinstance(value, np.ndarray | np.generic)
    try:
        array = value if is_array else np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise UphillError(f"returned no array as its {path}: {error}.") from error
    if array.shape != space.shape:
        raise UphillError(
            f"returned an array of shape {array.shape} as its {path}, but its observation space "
            f"says {space.shape}: mend one of them."
        )
    # Python's own integers have no width: what they are cast to is no loss.
    allowed = "same_kind" if is_array or array.dtype.kind != "i" else "unsafe"
    if not np.can_cast(array.dtype, space.dtype, allowed):
        raise UphillError(
            f"returned an array of dtype {array.dtype} as its {path}, but its observation space "
            f"says {space.dtype}: mend one of them."
        )
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        start = np.asarray(space.start)
        count = space.n if isinstance(space, spaces.Discrete) else space.nvec
        if ((array < start) | (array >= start + count)).any():
            raise UphillError(
                f"returned {value} as its {path}, which is not in its observation space {space}: "
                "mend one of them."
            )


def _number(reward: Any) -> Any:
    """The reward as a number."""
    if isinstance(reward, float | int | np.floating | np.integer):
        return reward
    array = np.asarray(reward)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise UphillError(f"returned {reward!r} as its reward, which is not one number.")
    return array.item()
