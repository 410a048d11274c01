"""Floats outside the bounds of their space: reported once. Training goes on, since nothing is
scaled by the bounds, and the bounds of many environments are only roughly right."""

from collections.abc import Iterator

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import PyTree

from uphill.envs.backends.checks import entry
from uphill.envs.leaves import leaves

_ALWAYS, _EVERY = 1000, 16
"""The first steps are all checked, and after them one in this many, since checking takes time."""
_SLACK = 1e-5
"""Tolerance for rounding, relative to the size of the bound"""


class BoundsWatch:
    """Looks for floats outside the bounds of an observation space, until it has found one."""

    def __init__(self, space: gymnasium.Space) -> None:
        self._bounds = dict(_bounds(space, "observation"))

    def look(self, step: int, observation: PyTree[np.ndarray]) -> str | None:
        """Check the observations of all environments at a step: what is wrong with them."""
        if self._bounds and (step < _ALWAYS or step % _EVERY == 0):
            return self._look(observation, "observation")
        return None

    def _look(self, observation: PyTree[np.ndarray], path: str) -> str | None:
        if isinstance(observation, dict | tuple):
            parts = observation.items() if isinstance(observation, dict) else enumerate(observation)
            found = (self._look(part, f"{path}[{key!r}]") for key, part in parts)
            return next(filter(None, found), None)
        if path in self._bounds:
            box, low, high = self._bounds[path]
            is_outside = (observation < low) | (observation > high)
            if is_outside.any():
                env, *index = np.argwhere(is_outside)[0]
                value = observation[(env, *index)]
                ends = f"{box.low[tuple(index)]:.6g} to {box.high[tuple(index)]:.6g}"
                self._bounds = {}
                return (
                    f"returned {value:.6g} as its {path}{entry(index)}, which is not in its "
                    f"observation space (bounds there: {ends}): training goes on, but fix one of "
                    "them."
                )
        return None


def _bounds(
    space: gymnasium.Space, path: str
) -> Iterator[tuple[str, tuple[spaces.Box, np.ndarray, np.ndarray]]]:
    for name, _, part in leaves(space, path):
        if not isinstance(part, spaces.Box) or part.dtype.kind != "f":
            continue
        low, high = (np.asarray(x, np.float64) for x in (part.low, part.high))
        if np.isfinite([low, high]).any():
            yield name, (part, low - _SLACK * (1 + abs(low)), high + _SLACK * (1 + abs(high)))
