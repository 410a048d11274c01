"""Compiled worlds as Gymnasium environments, with pictures.

>>> import gymnasium
>>> import uphill
>>> env = gymnasium.make("uphill/CartPole-v1", render_mode="rgb_array")
>>> env.reset(seed=0)[0].shape, env.render().shape
((4,), (400, 600, 3))

`gymnasium.make("uphill:uphill/CartPole-v1")` does without the import.
`ids.py` registers them.
"""

from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from uphill.envs.base import Informative, World
from uphill.envs.pictures import frames_per_second, has_picture, render
from uphill.envs.worlds import make_world
from uphill.trajectory import narrow


class WorldEnv(gymnasium.Env):
    """One compiled world as a `gymnasium.Env`; its steps are compiled, for the CPU.

    `reset(seed=n)` starts from `jax.random.key(n)`. The time limit is a wrapper of Gymnasium's,
    added by `gymnasium.make`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"]}  # noqa: RUF012 Gymnasium's

    def __init__(
        self, world: str | World, render_mode: str | None = None, **arguments: Any
    ) -> None:
        """Raises:
        UphillError: if the world does not take the arguments.
        """
        self.world = make_world(world, arguments)
        self.observation_space = self.world.observation_space
        self.action_space = self.world.action_space
        self.render_mode = render_mode
        fps = {"render_fps": frames_per_second(self.world)} if has_picture(self.world) else {}
        self.metadata = WorldEnv.metadata | fps
        self.state: Any = None
        self._key: Any = None
        self._window: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; without a seed, the random stream of the last one goes on."""
        super().reset(seed=seed)
        if seed is None and self._key is None:
            seed = int(self.np_random.integers(2**31))
        with _on_cpu():
            key = self._key if seed is None else jax.random.key(seed)
            self.state, observation, info, self._key = _start(self.world, key)
        self._show()
        return _numpy(observation), _plain(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        with _on_cpu():
            action = jax.tree.map(lambda x: jnp.asarray(x, narrow(np.asarray(x).dtype)), action)
            self.state, observation, reward, terminated, info, self._key = _step(
                self.world, self.state, action, self._key
            )
        self._show()
        return _numpy(observation), float(reward), bool(terminated), False, _plain(info)

    def render(self) -> Any:
        """The present state as RGB; in the mode "human" a window shows it anyway."""
        return render(self.world, self.state) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _show(self) -> None:
        if self.render_mode != "human":
            return
        picture = render(self.world, self.state)
        if self._window is None:
            self._window = _Window(type(self.world).__name__, picture.shape)
        self._window.show(picture, self.metadata["render_fps"])


class _Window:
    """A window of pygame's."""

    def __init__(self, title: str, shape: tuple[int, ...]) -> None:
        import pygame

        self._pygame: Any = pygame
        pygame.display.init()
        pygame.display.set_caption(title)
        self._screen = pygame.display.set_mode((shape[1], shape[0]))
        self._clock = pygame.time.Clock()

    def show(self, picture: np.ndarray, fps: int) -> None:
        """Show one picture, and wait until it is time for the next."""
        self._pygame.event.pump()
        self._pygame.surfarray.blit_array(self._screen, picture.swapaxes(0, 1))
        self._pygame.display.flip()
        self._clock.tick(fps)

    def close(self) -> None:
        self._pygame.display.quit()


@partial(jax.jit, static_argnums=0)
def _start(world: World, key: PRNGKeyArray) -> tuple[PyTree, PyTree, dict, PRNGKeyArray]:
    key, key_initial = jax.random.split(key)
    state = world.initial(key_initial)
    return state, world.observation(state), _info(world, state), key


@partial(jax.jit, static_argnums=0)
def _step(
    world: World, state: PyTree, action: PyTree, key: PRNGKeyArray
) -> tuple[PyTree, PyTree, Any, Any, dict, PRNGKeyArray]:
    key, key_transition = jax.random.split(key)
    moved = world.transition(state, action, key_transition)
    reward = world.reward(state, action, moved)
    terminated = world.terminated(moved)
    return moved, world.observation(moved), reward, terminated, _info(world, moved), key


def _info(world: World, state: PyTree) -> dict[str, Any]:
    return world.info(state) if isinstance(world, Informative) else {}


def _on_cpu() -> Any:
    """One environment alone is too little work for anything else."""
    return jax.default_device(jax.devices("cpu")[0])


def _numpy(observation: PyTree) -> PyTree[np.ndarray]:
    """Copies that may be written to."""
    return jax.tree.map(np.array, observation)


def _plain(info: dict[str, Any]) -> dict[str, Any]:
    """Numbers and flags of Python's own."""
    return {name: value.item() for name, value in info.items()}
