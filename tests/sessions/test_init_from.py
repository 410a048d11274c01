"""Starting from another run's networks where settings make another thing of the same spaces."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import optax
import pytest
from gymnasium import spaces

import uphill
from small_runs import POLICY, small_ppo, train_small
from uphill.errors import UphillError
from uphill.parts import Algorithm, ValueFunction
from uphill.policies.policy import NetworkSettings
from uphill.words import typed


class Pushing(gymnasium.Env):
    """A table of three categories, in bytes, a number, and actions without bounds."""

    observation_space = spaces.Dict(
        table=spaces.Box(0, 255, (3, 3, 3), np.uint8), wind=spaces.Box(-1, 1, (1,))
    )
    action_space = spaces.Box(-np.inf, np.inf, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action):
        self.t += 1
        return self._observation(), float(action[0]), self.t >= 4, False, {}

    def _observation(self) -> dict[str, np.ndarray]:
        table = self.np_random.integers(0, 3, (3, 3, 3)).astype(np.uint8)
        return {"table": table, "wind": np.float32([0.5])}


def algorithm(policy: dict[str, Any] | None = None, **changes: Any) -> Algorithm:
    settings = {"action_bounds": (-1.0, 1.0)} | (policy or {})
    defaults: dict[str, Any] = {"observation_categories": 3, "normalize_observations": False}
    return small_ppo(policy=replace(POLICY, **settings), **(defaults | changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    out = tmp_path_factory.mktemp("init_from") / "run"
    return train_small(out, algorithm(), env=Pushing, steps=32, episodes=2)


@pytest.mark.parametrize(
    ("changes", "what", "in_python", "on_the_command_line"),
    [
        (
            {"observation_categories": None},
            "observation_categories differ",
            "use observation_categories=3",
            "use --observation-categories 3",
        ),
        (
            {"observation_categories": 4},
            "observation_categories differ",
            "use observation_categories=3",
            "use --observation-categories 3",
        ),
        (
            {"policy": {"distribution": "beta"}},
            "distributions of actions differ",
            "use the policy's distribution='gaussian'",
            "use --policy.distribution gaussian",
        ),
        (
            {"policy": {"action_bounds": (-2.0, 2.0)}},
            "bounds of actions differ",
            "use the policy's action_bounds=(-1.0, 1.0)",
            "use --policy.action-bounds -1.0 1.0",
        ),
        (
            {"normalize_observations": True},
            "normalised observations differ",
            "use normalize_observations=False",
            "use --no-normalize-observations",
        ),
    ],
)
def test_a_setting_that_differs_is_named(
    trained: uphill.Run,
    tmp_path: Path,
    changes: dict[str, Any],
    what: str,
    in_python: str,
    on_the_command_line: str,
) -> None:
    def refusal() -> str:
        with pytest.raises(UphillError) as caught:
            train_small(tmp_path / "run", algorithm(**changes), env=Pushing, init_from=trained.path)
        return str(caught.value)

    said = refusal()
    assert f"whose {what} from those of this run: " in said
    assert said.endswith(f": {in_python}.")
    with typed():
        assert refusal().endswith(f": {on_the_command_line}.")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "is_taken"),
    [
        ({}, True),
        ({"network": NetworkSettings(hidden=(8,), activation="relu")}, False),
        ({"shares_trunk": True}, False),
    ],
)
def test_the_networks_of_a_value_function_are_taken_whatever_its_optimizer(
    changes: dict[str, Any],
    is_taken: bool,
    with_optax: uphill.Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of Optax's, which no file can hold, among them."""
    baseline = ValueFunction(**{"network": NetworkSettings(hidden=(8,))} | changes)
    given = {"steps": 32, "init_from": with_optax.path, "quiet": False}
    train_small(tmp_path / "run", small_ppo(baseline=baseline), **given)
    said = " ".join(capsys.readouterr().err.split())
    assert ("Starts from the policy and the value function of" in said) == is_taken
    assert ("the value function starts anew" in said) != is_taken


@pytest.fixture(scope="module")
def with_optax(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    baseline = ValueFunction(network=NetworkSettings(hidden=(8,)), optimizer=optax.adam(1e-3))
    out = tmp_path_factory.mktemp("init_from") / "optax"
    return train_small(out, small_ppo(baseline=baseline), steps=32)
