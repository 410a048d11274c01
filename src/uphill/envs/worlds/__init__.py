"""Compiled worlds, one per file, and the list of them all.

A world is five pure functions for one environment. It knows of no batch, time limit or autoreset;
its pictures are drawn in `pictures`.
"""

from typing import Any

from uphill.envs.base import Configurable, World
from uphill.envs.ids import LIMITS
from uphill.envs.worlds.acrobot import Acrobot
from uphill.envs.worlds.car_race import CarRace, CarRaceContinuous
from uphill.envs.worlds.cartpole import CartPole
from uphill.envs.worlds.cartpole_swingup import CartPoleSwingUp
from uphill.envs.worlds.mountain_car import MountainCar, MountainCarContinuous
from uphill.envs.worlds.pendulum import Pendulum
from uphill.errors import UphillError

WORLDS: dict[str, World] = {
    "Acrobot-v1": Acrobot(*LIMITS["Acrobot-v1"]),
    "CartPole-v0": CartPole(*LIMITS["CartPole-v0"]),
    "CartPole-v1": CartPole(*LIMITS["CartPole-v1"]),
    "CarRace-v0": CarRace(),
    "CarRaceContinuous-v0": CarRaceContinuous(),
    "CartPoleSwingUp-v0": CartPoleSwingUp(*LIMITS["CartPoleSwingUp-v0"], is_reward_positive=False),
    "CartPoleSwingUp-v1": CartPoleSwingUp(*LIMITS["CartPoleSwingUp-v1"], is_reward_positive=True),
    "MountainCar-v0": MountainCar(*LIMITS["MountainCar-v0"]),
    "MountainCarContinuous-v0": MountainCarContinuous(*LIMITS["MountainCarContinuous-v0"]),
    "Pendulum-v1": Pendulum(*LIMITS["Pendulum-v1"]),
}


def make_world(env: str | World, arguments: dict[str, Any]) -> World:
    """The world of that name, or the world itself, with these keyword arguments.

    Raises:
        UphillError: if it does not take them.
    """
    world = WORLDS[env] if isinstance(env, str) else env
    if not arguments:
        return world
    taken = world.arguments if isinstance(world, Configurable) else ()
    if unknown := sorted(set(arguments) - set(taken)):
        takes = f"these are: {', '.join(taken)}" if taken else "it takes none"
        name = env if isinstance(env, str) else type(env).__name__
        raise UphillError(f"{name} has no argument {', '.join(unknown)} ({takes}).")
    assert isinstance(world, Configurable)
    return world.configured(**arguments)
