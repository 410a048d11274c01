"""Compiled worlds: one a file, and the list of all."""

from uphill.envs.base import World
from uphill.envs.worlds.cartpole import CartPole

WORLDS: dict[str, World] = {
    "CartPole-v0": CartPole(max_episode_steps=200, reward_threshold=195.0),
    "CartPole-v1": CartPole(max_episode_steps=500, reward_threshold=475.0),
}
