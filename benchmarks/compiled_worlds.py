"""Steps per second of the compiled worlds alone: no policy, no learning."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import rates
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.worlds import WORLDS

STEPS = 512_000  # per round, of all environments together


def worlds() -> None:
    """Every compiled world alone, 8 and 256 environments; random actions, drawn in advance."""
    for name, world in WORLDS.items():
        for num_envs in (8, 256):
            env = CompiledEnvironment(world, num_envs)
            print(f"{name}, {num_envs} environments: {_alone(env, STEPS // num_envs)}", flush=True)


def _alone(env: CompiledEnvironment, num_steps: int) -> str:
    """Steps per second; every round keeps everything that its steps return."""
    actions = _random_actions(env, num_steps)
    steps = jax.jit(lambda state: jax.lax.scan(env.step, state, actions))
    carried = [env.reset(jax.random.key(0))[0]]

    def run() -> int:
        carried[0], _ = jax.block_until_ready(steps(carried[0]))
        return num_steps * env.num_envs

    return rates(run)


def _random_actions(env: CompiledEnvironment, num_steps: int) -> jax.Array:
    rng, space = np.random.default_rng(0), env.action_space
    shape = (num_steps, env.num_envs, *(space.shape or ()))
    if isinstance(space, gymnasium.spaces.Discrete):
        return jnp.asarray(rng.integers(0, space.n, shape), jnp.int32)
    assert isinstance(space, gymnasium.spaces.Box)
    return jnp.asarray(rng.uniform(space.low, space.high, shape), jnp.float32)
