"""The picture that a terminal shows while training."""

import io
import time

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from uphill.sessions.display.dashboard import Dashboard, LastLook
from uphill.sessions.display.readings import BLOCKS, Curve, View


def lines(picture: Dashboard | LastLook, width: int = 80, height: int = 24) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, color_system=None)
    console.print(picture)
    return stream.getvalue().splitlines()


def training(num_seeds: int, stars: tuple[int, ...] = ()) -> tuple[View, Curve]:
    """Seed s comes from 0 to 100 (s + 1), in a straight line, and 40 % of the steps are done."""
    curve = Curve()
    best = 100.0 * (1 + np.arange(num_seeds))
    for share in np.linspace(0, 1, 41):
        curve = curve.add([float(x) for x in share * best])
    view = View(
        100_000,
        seeds=tuple(range(5, 5 + num_seeds)),
        shown=time.monotonic(),
        steps=(40_000,) * num_seeds,
        returns=tuple(float(x) for x in best),
        steps_per_second=num_seeds * 12_345.0,
        stars=stars,
    )
    return view, curve


def blocks(line: str) -> str:
    return "".join(letter for letter in line if letter in BLOCKS)


def test_at_first_it_says_that_it_compiles() -> None:
    (line,) = lines(Dashboard(View(10), Curve()))
    assert line.startswith(" compiling …")


def test_before_the_first_episode_ends_only_the_way_is_known() -> None:
    view, _ = training(1)
    unknown = View(100_000, steps=(40_000,), returns=(None,), steps_per_second=1.0)
    (line,) = lines(Dashboard(unknown, Curve().add([None])))
    assert "40 k of 100 k steps" in line
    assert len(lines(LastLook(unknown, Curve()))) == 0
    # Its episodes may end before the first point of the curve.
    assert lines(Dashboard(view, Curve()))[1].strip() == "return 100"


def test_one_seed_is_a_bar_and_its_curve_with_both_ends() -> None:
    first, second = lines(Dashboard(*training(1)))
    assert first.split()[:2] == ["40", "%"]
    assert "40 k of 100 k steps · 12.3 k steps/s" in first
    name, value, low, curve, high = second.split()
    assert (name, value, low, high) == ("return", "100", "0", "100")
    assert curve == "".join(sorted(curve))
    assert set(curve) == set(BLOCKS)


def test_a_few_seeds_have_rows_of_one_scale_and_a_star_for_each_milestone() -> None:
    shown = lines(Dashboard(*training(4, stars=(0, 2, 2, 0, 0))))
    assert len(shown) == 1 + 4 + 1
    rows = shown[1:5]
    assert [row.split()[:3] for row in rows] == [
        ["seed", str(5 + s), f"{100 * (s + 1)}"] for s in range(4)
    ]
    assert [row.count("★") for row in rows] == [3, 0, 2, 0]
    # The best of all seeds is the top of every row: a quarter of it is above two of eight blocks.
    assert [max(blocks(row)) for row in rows] == ["▃", "▅", "▇", "█"]
    name, value, low, curve, high = shown[5].split()
    assert (name, value, low, high) == ("IQM", "250", "0", "400")
    assert len({len(blocks(row)) for row in shown[1:]}) == 1
    assert len({row.index("▁") for row in shown[1:]}) == 1  # below each other
    assert max(curve) == "▆"


def test_many_seeds_are_a_curve_and_where_each_is_now() -> None:
    _, overall, spread = lines(Dashboard(*training(32)))
    assert overall.split()[:2] == ["IQM", "1,650"]
    assert spread.split()[:3] == ["32", "seeds", "100"]
    assert spread.split()[-1] == "3,200"
    assert len(blocks(spread)) == 32
    assert blocks(spread) == "".join(sorted(blocks(spread)))


def test_a_low_terminal_has_no_room_for_rows() -> None:
    assert len(lines(Dashboard(*training(8)), height=24)) == 10
    assert len(lines(Dashboard(*training(8)), height=8)) == 3


@pytest.mark.parametrize("num_seeds", [1, 2, 8, 40])
def test_no_line_is_longer_than_the_terminal_is_wide(num_seeds: int) -> None:
    view, curve = training(num_seeds, stars=(0,) * 12)
    for width in (10, 18, 25, 30, 39, 40, 45, 60, 72, 80, 100, 200):
        for picture in (Dashboard(view, curve), LastLook(view, curve)):
            shown = lines(picture, width)
            assert max(map(cell_len, shown)) < width  # in the last column some terminals wrap
        assert len(lines(Dashboard(view, curve), width)) == len(lines(Dashboard(view, curve)))


def test_what_matters_most_is_shown_in_narrow_terminals() -> None:
    view, curve = training(1)
    for width in (40, 60, 80):
        first, second = lines(Dashboard(view, curve), width)
        assert "s left" in first
        assert "40\u00a0%" in first
        assert "━" in first
        assert len(blocks(second)) >= 8
    assert "left" in lines(Dashboard(view, curve), 20)[0]


def test_the_bar_keeps_its_length_while_words_change() -> None:
    view, curve = training(1)
    early = View(100_000, steps=(7,), returns=(1.0,), steps_per_second=1.0)
    assert lines(Dashboard(view, curve))[0].count("━") == lines(Dashboard(early, curve))[0].count(
        "━"
    )


def test_the_last_look_is_the_curve_alone() -> None:
    view, curve = training(3)
    (line,) = lines(LastLook(view, curve))
    assert line.split()[0] == "IQM"
    assert line.split()[-1] == "200"  # the curve's own ends
    assert set(blocks(line)) == set(BLOCKS)
