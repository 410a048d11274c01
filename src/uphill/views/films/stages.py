"""Where episodes are played for films: in a compiled world, or in one Gymnasium environment.

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
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree

from uphill.collecting.episodes import Step, play, play_on_host
from uphill.collecting.lanes import start_lanes
from uphill.envs.backends import gymnasium as gymnasium_backend
from uphill.envs.backends.checks import Checked, failure
from uphill.envs.backends.old_gym import ModernSignatures
from uphill.envs.backends.pool_of_one import PooledEnv
from uphill.envs.base import World
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.drawing import render_mode
from uphill.envs.make import EnvironmentChoice, lane_seed
from uphill.envs.pictures import frames_per_second, render
from uphill.envs.worlds import make_world
from uphill.errors import UphillError
from uphill.parts.sampling import num_blocks
from uphill.policies.actions import ActionKind, action_kind_of, is_for
from uphill.policies.actor import Actor
from uphill.policies.encodings import is_of
from uphill.policies.trained import TrainedPolicy
from uphill.training.evaluate import LONGEST, tell
from uphill.training.programs import quickly
from uphill.trajectory import BLOCK, Array
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
    draw: Callable[[Sequence[int], int | None], Iterator[Frame]]
    """pictures of the states with these numbers, which rise; of a width, where that can be had"""

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
        limit = choice.alterations.max_episode_steps
        play = partial(_play_compiled, world, limit)
        yield Stage(choice.name, frames_per_second(world), play)
        return
    env = _drawing_environment(choice)
    try:
        fps = float(env.metadata.get("render_fps") or 30)
        yield Stage(choice.name, fps, partial(_play_on_host, env, choice.name))
    finally:
        env.close()


# --- compiled worlds ----------------------------------------------------------------------------


def _play_compiled(
    world: World, limit: int | None, actor: Actor, deterministic: bool, least: int
) -> list[Episode]:
    """All candidates in one program; any state can be drawn, since it is kept."""
    num = max(CANDIDATES, least)
    # A few short episodes are too little work for anything but the CPU.
    with jax.default_device(jax.devices("cpu")[0]):
        key = jax.random.key(_FILM_SEED)
        found = _play_all(world, limit, num, jax.device_get(actor), key, np.asarray(deterministic))
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

    def draw(wanted: Sequence[int], width: int | None) -> Iterator[Frame]:
        for t in wanted:
            yield render(world, jax.tree.map(itemgetter(t), states), width)

    return Episode(returns, draw)


# Hardly optimised: it runs a few times for less than a tenth of a second each, and to optimise it
# takes two.
@partial(quickly, static_argnums=(0, 1, 2))
def _play_all(
    world: World,
    limit: int | None,
    num: int,
    actor: Actor,
    key: PRNGKeyArray,
    deterministic: Array,
) -> tuple[PyTree, Float[Array, "N T"], Bool[Array, "N T"]]:
    """States (one more than steps), rewards, and whether the episode ended with each step; what
    comes after its end is not of it."""
    env = CompiledEnvironment(world, num, limit)
    key_reset, key_act = jax.random.split(key)
    state, observation = env.reset(key_reset)

    def act(observation: PyTree, key: PRNGKeyArray) -> tuple:
        distribution = actor(observation)
        action = jnp.where(deterministic, distribution.mode(), distribution.sample(key))
        action = actor.policy.action_kind.to_environment(action)
        return action, None, action

    def kept(notes: None, step: Step) -> tuple[None, tuple]:
        return notes, (step.lanes.env_state.world, step.row.reward, step.lanes.ended)

    blocks = num_blocks(1, env.max_episode_steps)
    keys = jax.random.split(key_act, (blocks, BLOCK))
    lanes = start_lanes(state, observation)
    played = play(env, act, lanes, lambda i: keys[i], 1, kept, num_blocks=blocks)
    moved, rewards, ended = played.rows
    states = jax.tree.map(lambda x, rest: jnp.concatenate([x[None], rest]), state.world, moved)
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (states, rewards, ended))


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
    policy, seeds = TrainedPolicy(actor), np.random.default_rng(seed)

    def act(observation: PyTree, _: int) -> tuple:
        alone = jax.tree.map(itemgetter(0), observation)
        action = policy.act(alone, not deterministic, int(seeds.integers(2**31)))
        return action, None, action

    with _explained(name, 0):
        observation, _ = env.reset(seed=seed)
    yield 0.0
    lanes = start_lanes((), _as_batch(observation))
    for step in play_on_host(_OfOne(env, name), act, lanes, 1, LONGEST, np.float64):
        yield float(step.running_return[0])


class _OfOne:
    """One environment of Gymnasium's, as those are stepped that are many."""

    num_envs = 1

    def __init__(self, env: gymnasium.Env, name: str) -> None:
        self._env, self._name, self._num_steps = env, name, 0

    def step(self, action: Any) -> tuple[PyTree, np.ndarray, np.ndarray, np.ndarray]:
        """Observation, reward, terminated, truncated."""
        self._num_steps += 1
        with _explained(self._name, self._num_steps):
            observation, reward, terminated, truncated, _ = self._env.step(action)
        flags = np.array([bool(terminated)]), np.array([bool(truncated)])
        return _as_batch(observation), np.array([float(reward)]), *flags


def _as_batch(observation: PyTree) -> PyTree[np.ndarray]:
    return jax.tree.map(lambda x: np.asarray(x)[None], observation)


@contextmanager
def _explained(name: str, step: int) -> Iterator[None]:
    """`Checked` says what was wrong: here the environment is named."""
    try:
        yield
    except UphillError as error:
        raise UphillError(f"{name}, at step {step} of a filmed episode, {error}") from error


def _draw_again(
    env: gymnasium.Env,
    name: str,
    steps: Callable[[], Iterator[float]],
    wanted: Sequence[int],
    width: int | None,
) -> Iterator[Frame]:
    """Played once more; such an environment draws in its own size, whatever was asked for."""
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
        "determine everything random, so that an episode can be replayed and drawn."
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
    known = actor.policy.action_kind
    if not is_of(actor.encoding, env.observation_space):
        raise UphillError(
            f"{name} can't be filmed: Gymnasium's version observes {env.observation_space}, and "
            f"the policy was trained on {actor.encoding}."
        )
    if not is_for(known, env.action_space) and not _is_alike(known, env.action_space):
        raise UphillError(
            f"{name} can't be filmed: Gymnasium's version takes {env.action_space}, and the policy "
            f"was trained to give {known}."
        )


def _is_alike(known: ActionKind, space: gymnasium.Space) -> bool:
    """Whether an action may be one of `space`, though its numbers have another type or bounds."""
    try:
        kind = action_kind_of(space)
    except UphillError:
        return False
    return type(kind) is type(known) and kind.vector_size == known.vector_size


def _drawing_environment(choice: EnvironmentChoice) -> gymnasium.Env:
    """Gymnasium's environment, with pictures; or EnvPool's, which draws some of those that only it
    has.

    Raises:
        UphillError: if it can't be made with them.
    """
    _prefer_no_display()
    try:
        if choice.backend == "envpool":
            return Checked(PooledEnv(str(choice.env), choice.pool_arguments, "rgb_array"))
        keywords = choice.env_kwargs | render_mode(choice)
        env = gymnasium_backend.prepare(
            choice.env, keywords, choice.name, choice.alterations
        ).factory()
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
