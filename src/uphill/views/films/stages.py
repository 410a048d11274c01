"""Where episodes are played to be filmed: a compiled world, or one environment of Gymnasium's.

A policy plays a number of candidate episodes, whose seeds are fixed beforehand. They are played
without drawing anything; an episode that was chosen is drawn afterwards.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.registration import load_env_creator
from jaxtyping import Bool, Float, Key, PRNGKeyArray, PyTree

from uphill.envs.backends import gymnasium as gymnasium_backend
from uphill.envs.backends.checks import Checked, failure
from uphill.envs.backends.old_gym import ModernSignatures, accepts
from uphill.envs.backends.pool_of_one import PooledEnv
from uphill.envs.base import World
from uphill.envs.make import EnvironmentChoice, lane_seed
from uphill.envs.pictures import frames_per_second, render
from uphill.envs.worlds import make_world
from uphill.errors import UphillError
from uphill.policies.actions import action_kind_of
from uphill.policies.actor import Actor
from uphill.policies.encodings import encoding_of
from uphill.training.evaluate import LONGEST, tell
from uphill.trajectory import Array
from uphill.views.films.encoding import Frame

CANDIDATES = 64
HOST_CANDIDATES = 8
HOST_STEPS = 5_000
"""Steps after which no further candidate is begun in a Python environment."""
HOST_SECONDS = 30.0
_OPENGL = ("OpenGL", "EGL", "OSMesa", "GLFW", "mjr_makeContext")
_FILM_SEED = 2**31 - 2  # far from the seeds people train with, and not the evaluation's


@dataclass(frozen=True)
class Episode:
    """An episode that was played."""

    returns: Float[np.ndarray, " states"]
    """the return so far, at every state; 0 at the first"""
    draw: Callable[[Sequence[int]], Iterator[Frame]]
    """pictures of the states with these numbers, which rise"""

    @property
    def total(self) -> float:
        return float(self.returns[-1])


@dataclass(frozen=True)
class Stage:
    """An environment that can be filmed."""

    name: str
    fps: float
    """states to show in a second: real time, where the environment has any"""
    play: Callable[[Actor, bool, int], list[Episode]]
    """`play(actor, deterministic, least)`: the candidates, `least` of them at least"""


@contextmanager
def stage_of(choice: EnvironmentChoice) -> Iterator[Stage]:
    """The stage of an environment, for as long as it is needed.

    Raises:
        UphillError: if the environment can't be made, or can't draw itself.
    """
    if choice.backend == "compiled":
        world = make_world(choice.env, choice.env_kwargs)
        yield Stage(choice.name, frames_per_second(world), partial(_play_compiled, world))
        return
    env = _drawing_environment(choice)
    try:
        fps = float(env.metadata.get("render_fps") or 30)
        yield Stage(choice.name, fps, partial(_play_on_host, env, choice.name))
    finally:
        env.close()


# --- compiled worlds ----------------------------------------------------------------------------


def _play_compiled(world: World, actor: Actor, deterministic: bool, least: int) -> list[Episode]:
    """All candidates in one program; any state can be drawn, since it is kept."""
    num = max(CANDIDATES, least)
    # A few short episodes are too little work for anything but the CPU.
    with jax.default_device(jax.devices("cpu")[0]):
        keys = jax.random.split(jax.random.key(_FILM_SEED), num)
        found = _play_all(world, jax.device_get(actor), keys, np.bool_(deterministic))
    states, rewards, ended = jax.device_get(found)
    return [
        _compiled_episode(world, jax.tree.map(itemgetter(k), states), rewards[k], ended[k])
        for k in range(num)
    ]


def _compiled_episode(
    world: World, states: PyTree, rewards: Float[np.ndarray, " T"], ended: Bool[np.ndarray, " T"]
) -> Episode:
    length = int(ended.argmax()) + 1 if ended.any() else len(ended)
    returns = np.concatenate([[0.0], np.cumsum(rewards[:length], dtype=np.float64)])

    def draw(wanted: Sequence[int]) -> Iterator[Frame]:
        for t in wanted:
            yield render(world, jax.tree.map(itemgetter(t), states))

    return Episode(returns, draw)


@partial(jax.jit, static_argnums=0)
def _play_all(
    world: World, actor: Actor, keys: Key[jax.Array, " N"], deterministic: Array
) -> tuple[PyTree, Float[Array, "N T"], Bool[Array, "N T"]]:
    """States (one more than steps), rewards, and whether the episode had ended after each step; it
    goes on to the time limit, whatever happens."""

    def episode(key: PRNGKeyArray) -> tuple[PyTree, Array, Array]:
        key_initial, key_steps = jax.random.split(key)
        first = world.initial(key_initial)

        def step(state: PyTree, t: Array) -> tuple[PyTree, tuple]:
            key_action, key_transition = jax.random.split(jax.random.fold_in(key_steps, t))
            distribution = actor(world.observation(state))
            action = jnp.where(deterministic, distribution.mode(), distribution.sample(key_action))
            action = actor.policy.action_kind.to_environment(action)
            moved = world.transition(state, action, key_transition)
            reward = world.reward(state, action, moved)
            return moved, (moved, reward, world.terminated(moved))

        steps = jnp.arange(world.max_episode_steps)
        _, (moved, rewards, ended) = jax.lax.scan(step, first, steps)
        states = jax.tree.map(lambda x, rest: jnp.concatenate([x[None], rest]), first, moved)
        return states, rewards, ended

    return jax.vmap(episode)(keys)


# --- Gymnasium's environments -------------------------------------------------------------------


def _play_on_host(
    env: gymnasium.Env, name: str, actor: Actor, deterministic: bool, least: int
) -> list[Episode]:
    """Candidates one after the other, fewer where episodes are long. The chosen one is played again
    with the same seeds to be drawn: to draw is what costs most, and only its pictures are wanted.
    """
    _check_spaces(env, name, actor)
    started, num_steps, episodes = time.perf_counter(), 0, []
    while len(episodes) < max(HOST_CANDIDATES, least):
        is_late = time.perf_counter() - started > HOST_SECONDS
        if len(episodes) >= least and (num_steps >= HOST_STEPS or is_late):
            if is_late:
                tell(f"{name} is slow: the film's episode is one of {len(episodes)} played.")
            break
        seed = lane_seed(_FILM_SEED, len(episodes))
        steps = partial(_steps, env, name, actor, deterministic, seed)
        returns = np.array(list(steps()))
        episodes.append(Episode(returns, partial(_draw_again, env, name, steps)))
        num_steps += len(returns) - 1
    return episodes


def _steps(
    env: gymnasium.Env, name: str, actor: Actor, deterministic: bool, seed: int
) -> Iterator[float]:
    """Play an episode; the return so far, at every state."""
    from uphill.policies.trained import TrainedPolicy

    policy, seeds = TrainedPolicy(actor), np.random.default_rng(seed)
    total, ended, t = 0.0, False, 0
    with _explained(name, t):
        observation, _ = env.reset(seed=seed)
    yield total
    while not ended and t < LONGEST:
        action = policy.act(observation, not deterministic, int(seeds.integers(2**31)))
        t += 1
        with _explained(name, t):
            observation, reward, terminated, truncated, _ = env.step(action)
        total, ended = total + float(reward), bool(terminated or truncated)
        yield total


@contextmanager
def _explained(name: str, step: int) -> Iterator[None]:
    """`Checked` says what was wrong: here the environment is named."""
    try:
        yield
    except UphillError as error:
        raise UphillError(f"{name}, at step {step} of a filmed episode, {error}") from error


def _draw_again(
    env: gymnasium.Env, name: str, steps: Callable[[], Iterator[float]], wanted: Sequence[int]
) -> Iterator[Frame]:
    rising = iter(wanted)
    due = next(rising, None)
    for t, _ in enumerate(steps()):
        if t == due:
            yield _picture(env, name)
            due = next(rising, None)
        if due is None:
            return
    raise UphillError(
        f"{name} plays another episode when it is reset with the same seed: let reset(seed=…) "
        "decide all that is random, so that an episode can be played again to be drawn."
    )


def _picture(env: gymnasium.Env, name: str) -> Frame:
    try:
        picture = env.render()
    except Exception as error:
        raise _cannot_draw(name, error) from error
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[-1] != 3 or array.dtype != np.uint8:
        raise UphillError(
            f"{name} can't be filmed: render() returned {_describe(picture)}, not an RGB picture "
            "(uint8, height × width × 3)."
        )
    return array.copy()


def _describe(picture: Any) -> str:
    if isinstance(picture, np.ndarray):
        return f"an array of {picture.dtype} and shape {picture.shape}"
    return "None" if picture is None else f"a {type(picture).__name__}"


def _check_spaces(env: gymnasium.Env, name: str, actor: Actor) -> None:
    """A policy that was trained on EnvPool is filmed in Gymnasium's environment of that name."""
    encoding, kind = encoding_of(env.observation_space), action_kind_of(env.action_space)
    known = actor.policy.action_kind
    if encoding != actor.encoding:
        raise UphillError(
            f"{name} can't be filmed: Gymnasium's version observes {encoding}, and the policy was "
            f"trained on {actor.encoding}."
        )
    if type(kind) is not type(known) or kind.vector_size != known.vector_size:
        raise UphillError(
            f"{name} can't be filmed: Gymnasium's version takes {env.action_space}, and the policy "
            f"was trained to give {known}."
        )


def _drawing_environment(choice: EnvironmentChoice) -> gymnasium.Env:
    """Gymnasium's environment, with pictures; or EnvPool's, which draws some of those that only it
    has.

    Raises:
        UphillError: if it can't be made with them.
    """
    _prefer_no_display()
    try:
        if choice.backend == "envpool":
            return Checked(PooledEnv(str(choice.env), choice.env_kwargs, "rgb_array"))
        keywords = choice.env_kwargs | _render_mode(choice)
        env = gymnasium_backend.prepare(choice.env, keywords, choice.name).factory()
    except Exception as error:
        raise _cannot_draw(choice.name, error) from error
    base = env.unwrapped
    is_old = isinstance(base, ModernSignatures) and base.draws
    if env.render_mode != "rgb_array" and not is_old:
        env.close()
        raise UphillError(
            f"{choice.name} can't draw itself: its maker takes no render_mode, and a film needs "
            "what Gymnasium calls rgb_array."
        )
    return Checked(env)


def _render_mode(choice: EnvironmentChoice) -> dict[str, str]:
    """The keyword argument that asks for pictures; none where the environment's maker has none.

    Raises:
        UphillError: if the environment says that it has no RGB pictures.
    """
    maker: Any = choice.env
    if isinstance(maker, str):
        entry = gymnasium_backend.spec_of(maker).entry_point
        maker = entry if callable(entry) else load_env_creator(str(entry))
    metadata = getattr(maker, "metadata", None)
    modes = metadata.get("render_modes", []) if isinstance(metadata, dict) else []
    if modes and "rgb_array" not in modes:
        raise UphillError(
            f"{choice.name} can't draw itself: a film needs the render mode rgb_array, and it has "
            f"{', '.join(map(str, modes))}."
        )
    return {"render_mode": "rgb_array"} if accepts(maker, "render_mode") else {}


def _prefer_no_display() -> None:
    """Let pygame and MuJoCo draw in memory, unless the user chose something."""
    if not sys.platform.startswith("linux"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    libraries = {"egl": "EGL", "osmesa": "OSMesa"}
    for backend, library in libraries.items():
        if "MUJOCO_GL" not in os.environ and find_library(library):
            os.environ["MUJOCO_GL"] = backend


def _cannot_draw(name: str, error: Exception) -> UphillError:
    """What to say of an error that came from drawing, or from getting ready for it."""
    reason = str(error).strip().splitlines()[-1:]
    if any(word in str(error) for word in _OPENGL):
        return UphillError(
            f"{name} can't draw itself here, since MuJoCo finds no OpenGL that works without a "
            f"display ({''.join(reason)}): install libegl1 or libosmesa6, and set MUJOCO_GL to egl "
            "or osmesa."
        )
    if isinstance(error, NotImplementedError):
        return UphillError(f"{name} can't draw itself: it has no render().")
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        return UphillError(f"{name} needs a package to draw itself that is missing: {error}")
    return (
        error
        if isinstance(error, UphillError)
        else UphillError(f"{name} {failure('render', error)}")
    )
