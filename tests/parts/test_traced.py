"""Numbers may be traced: the constructors check what is known, and skip what is not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from uphill.errors import UphillError
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    Adam,
    ClippedRatio,
    ConstantValue,
    DiscountedRewardToGo,
    KLPenalty,
    NaturalGradient,
    NStep,
    Optax,
    RewardToGo,
    RMSProp,
    RunningMean,
    TDResidual,
    TotalReturn,
    TrustRegion,
    ValueFunction,
)

SETTINGS: dict[Callable[..., Any], tuple[str, ...]] = {
    Adam: ("learning_rate", "max_grad_norm", "b1", "b2", "eps"),
    RMSProp: ("learning_rate", "max_grad_norm", "decay", "eps"),
    SGD: ("learning_rate", "max_grad_norm"),
    Optax: ("learning_rate", "max_grad_norm"),
    NaturalGradient: ("max_kl", "damping"),
    TrustRegion: ("max_kl", "damping"),
    GAE: ("gamma", "lam"),
    **dict.fromkeys((TotalReturn, RewardToGo, DiscountedRewardToGo, NStep), ("gamma",)),
    **dict.fromkeys((TDResidual, ActionValue), ("gamma",)),
    **dict.fromkeys((RunningMean, ConstantValue), ("decay",)),
    ValueFunction: ("coefficient", "lam"),
    ClippedRatio: ("epsilon",),
    KLPenalty: ("coefficient", "target"),
    uphill.ppo: ("entropy", "uniform_mixture", "target_kl"),
}
ALL = [(make, name) for make, names in SETTINGS.items() for name in names]


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap], ids=["jit", "vmap"])
@pytest.mark.parametrize(("make", "name"), ALL, ids=lambda x: getattr(x, "__name__", x))
def test_a_number_may_be_traced(make: Any, name: str, transform: Any) -> None:
    shown = []

    def through(number: jax.Array) -> Any:
        part = make(**{name: number})
        shown.append(repr(part))
        return part

    numbers = jnp.float32(0.25) if transform is jax.jit else jnp.float32([0.25, 0.5])
    part = transform(through)(numbers)
    found = getattr(part, name)
    np.testing.assert_array_equal(getattr(found, "number", found), numbers)
    assert f"{name}=" in shown[0]


def test_a_traced_number_is_skipped_and_no_other() -> None:
    with pytest.raises(UphillError, match=r"^b1 is 1\.5: use a number from 0 to below 1\."):
        jax.jit(lambda x: Adam(x, b1=1.5))(0.1)
    with pytest.raises(UphillError, match=r"^gamma is "):
        jax.vmap(lambda x: GAE(lam=x, gamma=jnp.float32(2.0)))(jnp.ones(2))


def test_numbers_of_jax_are_checked() -> None:
    assert GAE(lam=jnp.float32(0.5)).lam == 0.5
    with pytest.raises(UphillError, match=r"^lam is .*: use a number from 0 to 1\.$"):
        GAE(lam=jnp.float32(1.5))
