"""A custom compiled world whose functions return something else is answered in a sentence."""

import re
from dataclasses import dataclass
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import pytest

from uphill.envs.make import make_env
from uphill.errors import UphillError


@dataclass(frozen=True)
class Walk:
    """A point that walks left or right."""

    max_episode_steps: int = 50
    reward_threshold: float | None = None

    @property
    def observation_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Box(-10, 10, (1,))

    @property
    def action_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Dict({"step": gymnasium.spaces.Discrete(2)})

    def initial(self, key: Any) -> Any:
        return {"x": jax.random.uniform(key), "time": 0}

    def transition(self, state: Any, action: Any, key: Any) -> Any:
        moved = state["x"] + jnp.where(action["step"] == 1, 0.1, -0.1)
        return {"x": moved, "time": state["time"] + 1}

    def observation(self, state: Any) -> Any:
        return state["x"][None]

    def reward(self, state: Any, action: Any, next_state: Any) -> Any:
        return -jnp.abs(next_state["x"])

    def terminated(self, state: Any) -> Any:
        return jnp.abs(state["x"]) > 5

    def milestones(self, state: Any) -> Any:
        return {"far_out": state["x"] > 1}


def test_a_world_that_keeps_the_protocol_is_made() -> None:
    env, _ = make_env(Walk())
    assert env.action_space == Walk().action_space


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"observation": lambda _, s: s["x"]}, "observation returns float32[]: return what its sp"),
        ({"observation": lambda _, s: {"x": s["x"]}}, "returns {'x': float32[]}: return what its"),
        ({"reward": lambda _, s, a, n: jnp.ones(1)}, "reward returns float32[1]: return one num"),
        ({"reward": lambda _, s, a, n: None}, "reward returns None: return one number"),
        (
            {"reward": lambda _, s, a, n: 1.0 if s["x"] > 0 else 0.0},
            "reward can't be compiled (TracerBoolConversionError: ",
        ),
        ({"terminated": lambda _, s: 0}, "terminated returns int32[]: return one truth value"),
        (
            {"transition": lambda _, s, a: s},
            "transition can't be compiled (TypeError: ",
        ),
        (
            {"transition": lambda _, s, a, k: {"x": jnp.int32(1), "time": 0}},
            "transition returns {'time': int32[], 'x': int32[]}: return a state like that of init",
        ),
        ({"milestones": lambda _, s: [s["x"] > 1]}, "milestones returns (bool[]): return a dict"),
        ({"milestones": lambda _, s: {"far": s["x"]}}, "return one truth value for 'far'"),
        ({"milestones": lambda _, s: {"Far out": s["x"] > 1}}, "names 'Far out': use a name of a-"),
        ({"milestones": lambda _, s: {101 * "a": s["x"] > 1}}, "of at most 100 letters"),
        (
            {"milestones": lambda _, s: {f"m{k}": s["x"] > k for k in range(201)}},
            "milestones has 201 names: use 200 at most",
        ),
        (
            {"milestones": lambda _, s: {"episode_return": s["x"] > 1}},
            "names 'episode_return', and rollout/episode_return is a column of every training",
        ),
        (
            {"observation_space": property(lambda _: gymnasium.spaces.MultiDiscrete([3]))},
            "observation returns float32[1]: return what its space has, int32[1]",
        ),
    ],
)
def test_what_a_function_returns_is_named(changes: dict[str, Any], sentence: str) -> None:
    world = type("Own", (Walk,), changes)()
    with pytest.raises(UphillError, match=rf"^Own\..*{re.escape(sentence)}"):
        make_env(world)
