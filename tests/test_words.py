"""Numbers as people read them."""

import pytest

from uphill.words import among, count, duration, forecast, glued, listed, number, percent, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (-0.0, "0"), (500.0, "500"), (486.71, "486.7"), (12345.6, "12,346")),
        *((0.6931, "0.693"), (-1.25, "−1.25"), (-200.04, "−200.0"), (1e-3, "0.001")),
        *((1.76e-5, "1.8 × 10⁻⁵"), (-2.5e12, "−2.5 × 10¹²")),
        *((999.94, "999.9"), (999.96, "1,000"), (-999.96, "−1,000")),
        *((float("nan"), "–"), (float("-inf"), "–")),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_what_fits_below_an_axis() -> None:
    assert [short(x) for x in (0.0, 0.25, 999.0, 23_400.0, 2.5e6, -1500.0)] == [
        *("0", "0.25", "999", "23.4k", "2.5M", "−1.5k")
    ]
    assert [short(x) for x in (999_800.0, -999.7, 2e9, 1e12)] == ["1M", "−1k", "2G", "1T"]
    assert [short(x, " ") for x in (12, 1_234_567, 999_800)] == ["12", "1.23 M", "1 M"]


def test_durations_counts_and_lists() -> None:
    assert [duration(s) for s in (4.21, 42.0, 120.0, 200.0, 3599.7, 8000.0)] == [
        *("4.2 s", "42 s", "2 min", "3 min 20 s", "1 h 0 min", "2 h 13 min")
    ]
    assert [duration(s) for s in (0.0, 2.1e-5, 1.234e-3, 0.06)] == [
        "0.0 s",
        "21 µs",
        "1.23 ms",
        "0.1 s",
    ]
    assert [forecast(s) for s in (0.04, 9.94, 75.0, 119.0, 754.0, 7980.0)] == [
        *("0 s", "10 s", "75 s", "2 min", "13 min", "2 h 13 min")
    ]
    assert (count(1, "seed"), count(1200, "seed")) == ("1 seed", "1,200 seeds")
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
    assert listed(("a", "b", "c"), "or") == "a, b or c"
    assert among("abc", 2) == ["a", "b", "…"]
    assert among("ab", 2) == ["a", "b"]
    assert percent(0.834) == "83\u00a0%"


@pytest.mark.parametrize(
    ("text", "in_one_piece"),
    [
        ("after 1,743 steps, 7.7 s", "after 1,743_steps, 7.7_s"),
        ("3 min 20 s or 2 h 13 min", "3_min_20_s or 2_h_13_min"),
        ("8.1 × 10⁻⁵ of 83 %", "8.1_×_10⁻⁵ of 83_%"),
        ("5 sheep in 3 meadows", "5 sheep in 3 meadows"),
        ("uphill train X --seeds 8 --steps 100", "uphill train X --seeds 8 --steps 100"),
    ],
)
def test_no_line_breaks_between_a_number_and_its_unit(text: str, in_one_piece: str) -> None:
    assert glued(text) == in_one_piece.replace("_", "\N{NO-BREAK SPACE}")
