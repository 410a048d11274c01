"""What steps are rounded up to."""

import pytest

from uphill.parts import Episodes, Steps
from uphill.sessions.intervals import rounding

WINDOWS = "steps are rounded up to whole updates, each of up to 256 (8 environments × 32)."


@pytest.mark.parametrize("steps", [10, 256, 1_000, 5_119])
def test_few_steps_of_windows(steps: int) -> None:
    assert rounding(Steps(8, 32), steps, None) == f"{steps:,} {WINDOWS}"


@pytest.mark.parametrize("steps", [5_120, 100_000])
def test_where_it_hardly_matters_nothing_is_said(steps: int) -> None:
    assert rounding(Steps(8, 32), steps, None) == ""


def test_whole_episodes() -> None:
    said = rounding(Episodes(16, 2), 10, 500)
    assert said == "10 steps are rounded up to whole updates, each of up to 16,000 (32 episodes)."
    assert rounding(Episodes(16, 2), 16_000, 500) == ""
