"""How often is logged, and what steps are rounded up to."""

import pytest

import uphill
from uphill.parts import Episodes, Steps
from uphill.sessions.intervals import LONGEST_WINDOW, logging_interval, rounding

WINDOWS = "steps are rounded up to whole updates, each of up to 256 (8 environments × 32)."


@pytest.mark.parametrize("steps", [10, 256, 1_000, 5_119])
def test_few_steps_of_windows(steps: int) -> None:
    assert rounding(Steps(8, 32), steps, None) == f"{steps:,} {WINDOWS}"


@pytest.mark.parametrize("steps", [5_120, 100_000])
def test_where_it_hardly_matters_nothing_is_said(steps: int) -> None:
    assert rounding(Steps(8, 32), steps, None) == ""


@pytest.mark.parametrize(
    ("steps", "of_windows", "of_episodes"),
    [(25_000, 1, 1), (10**6, 78, 2), (10**8, 7_812, 5), (10**10, LONGEST_WINDOW, 250)],
)
def test_logs_are_bounded_however_long_training_is(
    steps: int, of_windows: int, of_episodes: int
) -> None:
    windows = uphill.ppo(sampling=Steps(8, 32), num_minibatches=1)
    assert logging_interval(windows, steps, 500) == of_windows
    episodes = uphill.reinforce(sampling=Episodes(16))
    assert logging_interval(episodes, steps, 500) == of_episodes


def test_whole_episodes() -> None:
    said = rounding(Episodes(16, 2), 10, 500)
    assert said == "10 steps are rounded up to whole updates, each of up to 16,000 (32 episodes)."
    assert rounding(Episodes(16, 2), 16_000, 500) == ""
