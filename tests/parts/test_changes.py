"""Keywords that are no field of an algorithm are refused with where they belong."""

import re
from dataclasses import fields
from typing import Any

import pytest

from uphill import parts
from uphill.errors import UphillError
from uphill.parts.algorithms import ALGORITHMS, a2c, npg, ppo, reinforce, vpg

MISPLACED = [
    (ppo, {"learning_rate": 1e-3}, "optimizer=Adam(learning_rate=0.001)"),
    (reinforce, {"learning_rate": 1e-2}, "optimizer=Adam(learning_rate=0.01, max_grad_norm=None)"),
    (ppo, {"learning_rate": "linear:1:0"}, "optimizer=Adam(learning_rate='linear:1.0:0.0')"),
    (ppo, {"gamma": 0.9}, "estimator=GAE(gamma=0.9)"),
    (a2c, {"gamma": 0.9}, "estimator=GAE(gamma=0.9)"),
    (npg, {"gamma": 0.9}, "estimator=GAE(gamma=0.9, lam=0.97)"),
    (ppo, {"num_steps": 64}, "sampling=Steps(num_steps=64)"),
    (
        vpg,
        {"num_steps": 9},
        "baseline=ValueFunction(optimizer=Adam(learning_rate=0.01), num_steps=9",
    ),
    (ppo, {"hidden": (32,)}, "policy=PolicySettings(hidden=(32,))"),
    (ppo, {"epsilon": 0.1}, "surrogate=ClippedRatio(epsilon=0.1)"),
]


@pytest.mark.parametrize(("algorithm", "changes", "call"), MISPLACED)
def test_a_setting_of_a_part_is_shown_where_it_belongs(
    algorithm: Any, changes: dict[str, Any], call: str
) -> None:
    with pytest.raises(UphillError, match=re.escape(f"so write {call}")) as raised:
        algorithm(**changes)
    # What is proposed does what was asked for, and leaves all else as it was.
    place, _, written = str(raised.value).removesuffix(".").partition("so write ")[2].partition("=")
    made, before = eval(written, vars(parts)), getattr(algorithm(), place)
    (name,) = changes
    changed = {f.name for f in fields(made) if getattr(made, f.name) != getattr(before, f.name)}
    assert changed == {name}
    assert algorithm(**{place: made}).name == algorithm().name


@pytest.mark.parametrize(
    ("changes", "call"),
    [
        ({"sampling": parts.Episodes(), "num_envs": 4}, "so write sampling=Episodes(num_envs=4)"),
        (
            {"optimizer": parts.SGD(), "learning_rate": 0.1},
            "so write optimizer=SGD(learning_rate=0.1)",
        ),
        ({"baseline": 3, "gamma": 0.5}, "so write estimator=GAE(gamma=0.5)"),
    ],
)
def test_a_part_that_is_given_is_the_one_that_is_changed(changes: dict, call: str) -> None:
    with pytest.raises(UphillError, match=re.escape(call)):
        ppo(**changes)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=list(ALGORITHMS))
def test_misspelt_names_are_told_the_right_one(algorithm: Any) -> None:
    with pytest.raises(UphillError, match=r"surogate is 3: .*; perhaps you mean surrogate"):
        algorithm(surogate=3)
    with pytest.raises(UphillError, match="perhaps you mean gamma, a setting of the estimator"):
        algorithm(gama=0.9)


def test_a_name_like_no_other_is_told_all_names() -> None:
    with pytest.raises(UphillError, match=r"tau is 1: .*; its fields are sampling, est"):
        ppo(tau=1)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lr", "learning_rate, a setting of the optimizer"),
        ("n_steps", "num_steps, a setting of the sampling"),
        ("clip_range", "epsilon, a setting of the surrogate"),
        ("gae_lambda", "lam, a setting of the estimator"),
        ("ent_coef", "entropy"),
        ("n_epochs", "num_epochs"),
        ("net_arch", "hidden, a setting of the policy"),
    ],
)
def test_what_other_libraries_call_a_setting_is_told_ours(name: str, meant: str) -> None:
    with pytest.raises(UphillError, match=f"{name} is 1: .*; perhaps you mean {meant}.$"):
        ppo(**{name: 1})


def test_a_value_that_means_nothing_is_said_first() -> None:
    with pytest.raises(UphillError, match=r"^gamma is 2\.0: use a number from 0 to 1"):
        ppo(gamma=2.0)
