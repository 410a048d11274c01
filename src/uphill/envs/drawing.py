"""Whether an environment can draw itself, as far as this is known without making it."""

from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from uphill.envs.backends import gymnasium as gymnasium_backend
from uphill.envs.backends.old_gym import accepts
from uphill.envs.make import Backend, EnvironmentChoice
from uphill.errors import UphillError


def backend_to_draw(env: str, backend: Backend) -> Backend:
    """What draws an environment that a backend ran: where that was EnvPool, Gymnasium's environment
    of that name draws better, if there is one."""
    is_known = backend != "envpool" or env in gymnasium.registry
    return "gymnasium" if backend != "compiled" and is_known else backend


def can_draw(choice: EnvironmentChoice) -> bool:
    """Whether films of it can be expected."""
    if choice.backend != "gymnasium":
        return True
    try:
        if render_mode(choice):
            return True
        maker = _maker(choice)
        kind = maker.func if isinstance(maker, partial) else maker
        # A function may make one that draws. A class that neither takes a render mode nor draws as
        # the old Gym did, can't.
        return not isinstance(kind, type) or accepts(getattr(kind, "render", lambda: None), "mode")
    except Exception:  # its module may do anything
        return False


def render_mode(choice: EnvironmentChoice) -> dict[str, str]:
    """The keyword argument that asks for pictures; none where the environment's maker has none.

    Raises:
        UphillError: if the environment says that it has no RGB pictures.
    """
    maker = _maker(choice)
    metadata = getattr(maker, "metadata", None)
    modes = metadata.get("render_modes", []) if isinstance(metadata, dict) else []
    if modes and "rgb_array" not in modes:
        raise UphillError(
            f"{choice.name} can't draw itself: a film needs the render mode rgb_array, and it has "
            f"{', '.join(map(str, modes))}."
        )
    return {"render_mode": "rgb_array"} if accepts(maker, "render_mode") else {}


def _maker(choice: EnvironmentChoice) -> Any:
    """What is called to make one."""
    maker: Any = choice.env
    if isinstance(maker, str):
        entry = gymnasium_backend.spec_of(maker).entry_point
        maker = entry if callable(entry) else load_env_creator(str(entry))
    return maker
