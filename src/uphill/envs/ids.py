"""Registers compiled worlds with Gymnasium as `uphill/NAME`. None is imported for that: JAX is
imported when one is made.

`import uphill` registers them: immediately if Gymnasium is imported already, else as soon as it is.
"""

import importlib.util
import sys
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

OURS = "uphill/"
LIMITS: dict[str, tuple[int, float | None]] = {
    "Acrobot-v1": (500, -100.0),
    "CartPole-v0": (200, 195.0),
    "CartPole-v1": (500, 475.0),
    "CarRace-v0": (1000, 80.0),
    "CarRaceContinuous-v0": (1000, 80.0),
    "CartPoleSwingUp-v0": (500, 300.0),
    "CartPoleSwingUp-v1": (500, 400.0),
    "MountainCar-v0": (200, -110.0),
    "MountainCarContinuous-v0": (999, 90.0),
    "Pendulum-v1": (200, None),
}
"""The time limit and the threshold of each world, as it is without arguments."""


def plain(env: str) -> str:
    """An environment's name, without what Gymnasium calls our worlds by."""
    return env.removeprefix(OURS)


def register_worlds() -> None:
    """Register every compiled world with Gymnasium; a second call changes nothing."""
    import gymnasium  # which takes long, and may not be wanted

    for name, (limit, threshold) in LIMITS.items():
        if f"{OURS}{name}" not in gymnasium.registry:
            gymnasium.register(
                f"{OURS}{name}",
                entry_point="uphill.envs.registration:WorldEnv",
                kwargs={"world": name},
                max_episode_steps=limit,
                reward_threshold=threshold,
            )


def register_with_gymnasium() -> None:
    """Register the worlds now, or as soon as Gymnasium is imported, without importing it."""
    if "gymnasium" in sys.modules:
        register_worlds()
    else:
        sys.meta_path.insert(0, _WaitsForGymnasium())


class _WaitsForGymnasium(MetaPathFinder):
    """Looks on while modules are searched, until one that is imported is Gymnasium."""

    def __init__(self) -> None:
        self._is_asking = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "gymnasium" or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegisters(spec.loader, self)
        return spec


class _ThenRegisters(Loader):
    """In the place of Gymnasium's own loader, for one time."""

    def __init__(self, loader: Loader, finder: MetaPathFinder) -> None:
        self._loader, self._finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        with suppress(ValueError):  # it is gone already
            sys.meta_path.remove(self._finder)
        register_worlds()
