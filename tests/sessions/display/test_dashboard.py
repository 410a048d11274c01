"""The picture that a terminal shows while training."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from uphill.sessions.display.dashboard import Dashboard, LastLook
from uphill.sessions.display.readings import BLOCKS, Curve, Pause, View

NOW = 20.0
NONE = Pause()


def dashboard(view: View, curve: Curve, pause: Pause = NONE) -> Dashboard:
    return Dashboard(view, curve, NOW, pause)


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
        shown=NOW,
        steps=(40_000,) * num_seeds,
        returns=tuple(float(x) for x in best),
        steps_per_second=num_seeds * 12_345.0,
        left=4.86,
        stars=stars,
    )
    return view, curve


def blocks(line: str) -> str:
    return "".join(letter for letter in line if letter in BLOCKS)


def test_at_first_it_says_what_it_waits_for() -> None:
    (line,) = lines(dashboard(View(10, started=18.0), Curve()))
    assert line == " starting 2.0 s"
    (line,) = lines(dashboard(View(10), Curve(), Pause("compiling", 1.5, 1.5)))
    assert line == " compiling 1.5 s"


def test_a_pause_stands_in_place_of_the_time_left() -> None:
    view, curve = training(1)
    assert lines(dashboard(view, curve))[0].endswith("  5 s left")
    shown = lines(dashboard(view, curve, Pause("compiling", 9.5, 12.0)))
    assert shown[0].endswith("  compiling 9.5 s")
    assert "left" not in " ".join(shown)


def test_before_the_first_episode_ends_only_the_way_is_known() -> None:
    view, _ = training(1)
    unknown = View(100_000, steps=(40_000,), returns=(None,), steps_per_second=1.0)
    _, line = lines(dashboard(unknown, Curve().add([None])))
    assert "40 k of 100 k steps" in line
    assert len(lines(LastLook(unknown, Curve()))) == 0
    # Its episodes may end before the first point of the curve.
    assert lines(dashboard(view, Curve()))[2].strip() == "return 100"


def test_one_seed_is_a_bar_and_its_curve_below_the_heads() -> None:
    first, second, heads, row = lines(dashboard(*training(1)))
    assert first.split()[:2] == ["40", "%"]
    assert second == " 40 k of 100 k steps · 12.3 k steps/s · 20 s so far"
    assert heads.split("  ")[-1].strip() == "milestones"
    assert "learning curve, ▁ 0 to █ 100" in heads
    name, value, curve = row.split()
    assert (name, value) == ("5", "100")
    assert curve == "".join(sorted(curve))
    assert set(curve) == set(BLOCKS)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98, 1.0])
def test_without_colour_the_bar_says_how_much_is_done(share: float) -> None:
    view, curve = training(1)
    bar = lines(dashboard(replace(view, steps=(int(100_000 * share),)), curve))[0]
    done, rest = bar.count("━"), bar.count("─")
    assert done / (done + rest) == pytest.approx(share, abs=0.02)
    assert done + rest > 40


def test_of_several_seeds_it_says_what_is_of_each_and_what_of_all() -> None:
    second = lines(dashboard(*training(8)))[1]
    assert second == " 8 seeds × 40 k of 100 k steps · 98.8 k steps/s in all · 20 s so far"


def test_a_few_seeds_have_rows_of_one_scale_and_a_star_for_each_milestone() -> None:
    shown = lines(dashboard(*training(4, stars=(0, 2, 2, 0, 0))))
    assert len(shown) == 3 + 4 + 1
    heads, rows = shown[2], shown[3:7]
    assert [row.split()[:2] for row in rows] == [[str(5 + s), f"{100 * (s + 1)}"] for s in range(4)]
    assert [row.count("★") for row in rows] == [3, 0, 2, 0]
    # The best of all seeds is the top of every row: a quarter of it is above two of eight blocks.
    assert [max(blocks(row)) for row in rows] == ["▃", "▅", "▇", "█"]
    assert "▁ 0 to █ 400" in heads
    name, value, curve = shown[7].split()
    assert (name, value) == ("IQM", "250")
    assert len({len(blocks(row)) for row in shown[3:]}) == 1
    assert {row.index("▁") for row in shown[3:]} == {heads.index("learning")}  # below each other
    assert rows[0].index("★") == heads.index("milestones")
    assert heads.index("return") + len("return") == rows[0].index("100") + len("100")
    assert max(curve) == "▆"


def test_many_seeds_are_a_curve_and_where_each_is_now() -> None:
    *_, overall, spread = lines(dashboard(*training(32)))
    assert overall.split()[:2] == ["IQM", "1,650"]
    assert spread.split()[:2] == ["32", "seeds"]
    assert spread.endswith("now 100 to 3,200")
    assert len(blocks(spread)) == 32
    assert blocks(spread) == "".join(sorted(blocks(spread)))


def test_a_low_terminal_has_no_room_for_rows() -> None:
    assert len(lines(dashboard(*training(8)), height=24)) == 12
    assert len(lines(dashboard(*training(8)), height=12)) == 5


@pytest.mark.parametrize("num_seeds", [1, 2, 8, 40])
def test_no_line_is_longer_than_the_terminal_is_wide(num_seeds: int) -> None:
    view, curve = training(num_seeds, stars=(0,) * 12)
    for width in (10, 18, 25, 30, 39, 40, 45, 60, 72, 80, 100, 200):
        for picture in (dashboard(view, curve), LastLook(view, curve)):
            shown = lines(picture, width)
            assert max(map(cell_len, shown)) < width  # in the last column some terminals wrap
        assert len(lines(dashboard(view, curve), width)) == len(lines(dashboard(view, curve)))


def test_what_matters_most_is_shown_in_narrow_terminals() -> None:
    view, curve = training(1)
    for width in (40, 60, 80):
        first, *_, last = lines(dashboard(view, curve), width)
        assert "s left" in first
        assert "40\u00a0%" in first
        assert "━" in first
        assert len(blocks(last)) >= 8
    assert "left" in lines(dashboard(view, curve), 20)[0]


def test_the_bar_keeps_its_length_while_words_change() -> None:
    view, curve = training(1)
    lengths = set()
    for pause in (Pause(), Pause("compiling", 3.0, 3.0), Pause("evaluating", 200.0, 900.0)):
        for steps in (7, 40_000):
            shown = lines(dashboard(replace(view, steps=(steps,), left=9e3), curve, pause))
            lengths.add(shown[0].count("━") + shown[0].count("─"))
    assert len(lengths) == 1


def test_the_last_look_is_the_curve_alone() -> None:
    view, curve = training(3)
    (line,) = lines(LastLook(view, curve))
    words = line.split()
    assert words[:2] == ["Return:", "0"]
    assert set(words[2]) == set(BLOCKS)
    assert line.endswith("200, now 200 (interquartile mean of 3 seeds)")  # the curve's own ends
