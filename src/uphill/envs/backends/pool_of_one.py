"""A single EnvPool environment as a Gymnasium environment, on request with EnvPool's pictures."""

from typing import Any

import gymnasium
import jax
import numpy as np

from uphill.envs.backends.envpool import action_dtype, make_pool, pool_time_limit
from uphill.errors import UphillError

_CONSOLE_FPS = 60  # of Atari's; EnvPool's other environments have no unit of time


class PooledEnv(gymnasium.Env):
    """A pool of one; every `reset` with a seed makes a new one, since a pool is seeded when it is
    made."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 Gymnasium's

    def __init__(
        self, env_id: str, env_kwargs: dict[str, Any], render_mode: str | None = None
    ) -> None:
        """Raises:
        UphillError: if EnvPool can't draw it, or it does not take the keyword arguments.
        """
        if render_mode is not None:
            _require_pictures(env_id)
        self._env_id, self._env_kwargs, self.render_mode = env_id, env_kwargs, render_mode
        self._pool = self._make(0)
        self.observation_space = self._pool.observation_space
        self.action_space = self._pool.action_space
        self.max_episode_steps = pool_time_limit(self._pool)
        self.reward_threshold: float | None = self._pool.spec.reward_threshold
        frame_skip = getattr(self._pool.spec.config, "frame_skip", 0)
        fps = _CONSOLE_FPS / frame_skip if frame_skip else 30
        self.metadata = {**PooledEnv.metadata, "render_fps": fps}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._pool.close()
            self._pool = self._make(seed)
        return jax.tree.map(_only, self._pool.reset()[0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        actions = np.asarray(action, action_dtype(self._pool))[None]
        observation, reward, terminated, truncated, _ = self._pool.step(actions)
        observation = jax.tree.map(_only, observation)
        return observation, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Any:
        return self._pool.render()[0]

    def close(self) -> None:
        self._pool.close()

    def _make(self, seed: int) -> Any:
        return make_pool(self._env_id, [seed], self._env_kwargs, self.render_mode)


def _only(batch: np.ndarray) -> np.ndarray:
    """A copy of the only one: pools write the next observation over the last."""
    return np.array(batch[0])


def _require_pictures(env_id: str) -> None:
    """Raises:
    UphillError: for what EnvPool draws through MuJoCo: without a display that ends the process.
    """
    from envpool.registration import registry

    module = registry.specs[env_id][0]
    if "mujoco" in module:
        raise UphillError(
            f"{env_id} can't draw itself: EnvPool draws the environments of {module} on a display "
            "only, and Gymnasium has none of that name."
        )
