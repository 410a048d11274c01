"""Environments that truncate their own episodes without saying so beforehand."""

from typing import Any

import pytest

import python_envs
from uphill.envs import self_limited
from uphill.envs.alterations import Alterations
from uphill.envs.make import choose
from uphill.envs.self_limited import with_bound
from uphill.errors import UphillError


def test_what_truncates_its_episodes_gets_a_bound_and_it_is_told() -> None:
    choice, notice = with_bound(choose(python_envs.Truncating))
    assert choice.alterations.max_episode_steps == 120
    assert notice is not None
    assert "(one after 12 steps): they are cut off after 120 steps at the latest" in notice


@pytest.mark.parametrize(
    ("env", "limit"),
    [
        (python_envs.Counting, None),  # terminates, always
        (python_envs.limited_by_hand, None),  # declares its limit
        (python_envs.Truncating, 40),  # it was asked for
        ("CartPole-v1", None),
    ],
)
def test_all_others_stay_as_they_are(
    env: Any, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_limited, "PLAYED", 100)
    choice = choose(env, alterations=Alterations(limit))
    assert with_bound(choice) == (choice, None)


def test_it_is_given_so_many_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_limited, "SECONDS", 0.0)
    choice = choose(python_envs.Truncating)
    assert with_bound(choice) == (choice, None)


def test_one_that_breaks_meanwhile_is_named() -> None:
    with pytest.raises(UphillError, match=r"Faulty, at step 3 of random play, returned nan|raised"):
        with_bound(choose(python_envs.Faulty, env_kwargs={"fault": "raise"}))
