"""Each part's own settings: sampling, estimators, baselines, surrogates."""

import re
from typing import Any

import pytest

from uphill.errors import UphillError
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    ClippedRatio,
    ConstantValue,
    DiscountedRewardToGo,
    Episodes,
    KLPenalty,
    NStep,
    Replay,
    RewardToGo,
    RunningMean,
    Steps,
    TDResidual,
    TotalReturn,
    ValueFunction,
)

NAN, INF = float("nan"), float("inf")
UNIT, COUNT = "use a number from 0 to 1", "use at least 1"
ESTIMATORS = (TotalReturn, RewardToGo, DiscountedRewardToGo, NStep, TDResidual, GAE, ActionValue)

REFUSED = [
    (Steps, {"num_envs": 0}, f"num_envs is 0: {COUNT}"),
    (Steps, {"num_steps": -3}, f"num_steps is -3: {COUNT}"),
    (Steps, {"tail": "bootstrap"}, "tail is 'bootstrap': choose cut or mask"),
    (Episodes, {"num_envs": 0}, f"num_envs is 0: {COUNT}"),
    (Episodes, {"per_env": 0}, f"per_env is 0: {COUNT}"),
    *((estimator, {"gamma": 1.01}, f"gamma is 1.01: {UNIT}") for estimator in ESTIMATORS),
    (RewardToGo, {"gamma": NAN}, f"gamma is nan: {UNIT}"),
    (GAE, {"gamma": -0.1}, f"gamma is -0.1: {UNIT}"),
    (GAE, {"lam": 2.0}, f"lam is 2.0: {UNIT}"),
    (NStep, {"num_steps": 0}, f"num_steps is 0: {COUNT}"),
    (ActionValue, {"num_steps": 0}, f"num_steps is 0: {COUNT}"),
    *(
        (mean, {"decay": 1.0}, "decay is 1.0: use a number from 0 to below 1")
        for mean in (RunningMean, ConstantValue)
    ),
    (Replay, {"capacity": 0}, f"capacity is 0: {COUNT}"),
    (Replay, {"num_samples": 0}, f"num_samples is 0: {COUNT}"),
    (ValueFunction, {"num_steps": 0}, f"num_steps is 0: {COUNT}"),
    (ValueFunction, {"lam": -0.5}, f"lam is -0.5: {UNIT}"),
    (ValueFunction, {"coefficient": -1.0}, "coefficient is -1.0: use a number that is 0 or more"),
    (ValueFunction, {"coefficient": INF}, "coefficient is inf: use a number that is 0 or more"),
    (
        ValueFunction,
        {"targets": "q"},
        "targets is 'q': choose estimator, monte-carlo, td or lambda",
    ),
    (
        ValueFunction,
        {"optimizer": SGD(), "replay": Replay(), "targets": "td", "scale_targets": True},
        "scale_targets is True: a memory would mix targets of different scales, so leave this or "
        "replay out",
    ),
    (
        ValueFunction,
        {"optimizer": SGD(), "replay": Replay(), "targets": "lambda"},
        "targets is 'lambda': a memory holds single transitions, so use td or monte-carlo",
    ),
    (
        ValueFunction,
        {"num_steps": 3},
        "num_steps is 3: without its own optimizer, the value function learns in the policy's "
        "steps, so use 1, or give it an optimizer",
    ),
    (
        ValueFunction,
        {"replay": Replay(), "targets": "td"},
        "replay is Replay: without its own optimizer, the value function learns from the "
        "policy's batch, so leave it out, or give it an optimizer",
    ),
    (
        ValueFunction,
        {"shares_trunk": True, "optimizer": SGD()},
        "shares_trunk is True: the value function's own steps would change the policy, so leave "
        "its optimizer out",
    ),
    (ClippedRatio, {"epsilon": -0.2}, "epsilon is -0.2: use 0 or more"),
    (ClippedRatio, {"epsilon": "linear:0.2:-1"}, "epsilon is linear:0.2:-1.0: use 0 or more"),
    (KLPenalty, {"coefficient": 0.0}, "coefficient is 0.0: use a number above 0"),
    (KLPenalty, {"coefficient": INF}, "coefficient is inf: use a number above 0"),
    (KLPenalty, {"target": -0.01}, "target is -0.01: use 0 or more"),
]


@pytest.mark.parametrize(("make", "changes", "sentence"), REFUSED)
def test_settings_that_mean_nothing_are_refused(
    make: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UphillError, match=f"^{re.escape(sentence)}\\.$"):
        make(**changes)


def test_a_field_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="gama"):
        RewardToGo(gama=0.9)


def test_trap_15_value_losses_are_not_clipped() -> None:
    assert not [name for name in ValueFunction.__annotations__ if "clip" in name]
