"""A compiled world beside Gymnasium's environment of the same name: the same steps and ends."""

from collections.abc import Callable, Sequence

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from uphill.envs.compiled import BatchState, CompiledEnvironment
from uphill.envs.worlds import WORLDS

NUM_ENVS = 10

Policy = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(states of Gymnasium's environments, random numbers) → actions"""


def at_random(space: gymnasium.Space) -> Policy:
    """Uniform over the space."""

    def act(states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if isinstance(space, gymnasium.spaces.Box):
            shape = (len(states), *space.shape)
            return rng.uniform(space.low, space.high, shape).astype(np.float32)
        return rng.integers(0, space.n, len(states)).astype(np.int32)

    return act


def state_like(example, values: np.ndarray):
    """Our state with the numbers of Gymnasium's, one environment a row; theirs has our order."""
    columns = list(jnp.asarray(values.T, jnp.float32))
    return jax.tree.unflatten(jax.tree.structure(example), columns)


def check_episodes(env_id: str, policy: Policy, num_steps: int) -> dict[str, int]:
    """Step ten environments of each, ours from Gymnasium's state before every step, and compare
    all that they return; the number of episodes that ended for either reason."""
    rng = np.random.default_rng(0)
    # Gymnasium warns of old versions; their dynamics are what is wanted.
    spec = gymnasium.spec(env_id)
    theirs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(spec)] * NUM_ENVS)
    ours = CompiledEnvironment(WORLDS[env_id], NUM_ENVS)
    step = jax.jit(ours.step)
    theirs.reset(seed=3)
    state, _ = ours.reset(jax.random.key(0))
    ended = np.zeros(NUM_ENVS, bool)
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(num_steps):
        before = np.array([env.unwrapped.state for env in theirs.envs])
        action = policy(before, rng)
        world = state_like(state.world, before)
        state, timestep = step(BatchState(world, state.elapsed, state.ended, state.key), action)
        observation, reward, terminated, truncated, _ = theirs.step(action)
        # The step after an episode's end resets both, each to a state of its own.
        np.testing.assert_allclose(timestep.observation[~ended], observation[~ended], atol=1e-4)
        np.testing.assert_allclose(timestep.reward, reward, atol=1e-4)
        np.testing.assert_array_equal(timestep.terminated, terminated)
        np.testing.assert_array_equal(timestep.truncated, truncated)
        ended = terminated | truncated
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
    theirs.close()
    return ends


def check_transitions(env_id: str, states: np.ndarray, actions: Sequence) -> np.ndarray:
    """Compare one step from each of `states` (`[n, state]`); Gymnasium's next states.

    Also relative, since here all numbers may be at their limits at once.
    """
    env = gymnasium.make(gymnasium.spec(env_id), disable_env_checker=True).unwrapped
    env.reset(seed=0)
    world = WORLDS[env_id]
    example = world.initial(jax.random.key(0))

    @jax.jit
    @jax.vmap
    def step(state, action):
        moved = world.transition(state, action, jax.random.key(0))
        reward = world.reward(state, action, moved)
        return moved, world.observation(moved), reward, world.terminated(moved)

    ours = state_like(example, states)
    moved, *returned = step(ours, jnp.asarray(np.array(actions)))
    next_states, theirs = [], []
    for state, action in zip(states, actions, strict=True):
        env.state = state
        theirs.append(env.step(action)[:3])
        next_states.append(np.array(env.state))
    observation, reward, terminated = map(np.array, zip(*theirs, strict=True))
    np.testing.assert_allclose(returned[0], observation, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(returned[1], reward, atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(returned[2], terminated)
    reached = np.stack(jax.tree.leaves(moved), 1)
    np.testing.assert_allclose(reached, next_states, atol=1e-4, rtol=1e-4)
    return np.array(next_states)


def check_spec(env_id: str) -> None:
    """Spaces, time limit and threshold are those of Gymnasium's registry."""
    spec = gymnasium.spec(env_id)
    env, world = gymnasium.make(spec), WORLDS[env_id]
    assert world.action_space == env.action_space
    assert world.observation_space == env.observation_space
    assert world.max_episode_steps == spec.max_episode_steps
    assert world.reward_threshold == spec.reward_threshold


def first_states(env_id: str) -> list[np.ndarray]:
    """4,000 values of each number of the initial state."""
    keys = jax.random.split(jax.random.key(0), 4000)
    return [np.asarray(x) for x in jax.tree.leaves(jax.vmap(WORLDS[env_id].initial)(keys))]


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() <= high
    np.testing.assert_allclose(values.std(), (high - low) / np.sqrt(12), rtol=0.05)
