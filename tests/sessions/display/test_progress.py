"""What a person sees while training."""

import io
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from uphill.runs.milestones import UNTRAINED, Milestone
from uphill.sessions.display import Pause, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(written: str, width: int = 80) -> tuple[list[str], bool]:
    """What a terminal shows after it got `written`, and whether its cursor is visible: the few
    control codes that are used, and an error at any other."""
    rows: list[str] = [""]
    row, column, is_visible = 0, 0, True
    for code, letter in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|([^\x1b])", written):
        if code.endswith("m"):
            continue
        if code:
            assert code in ("1A", "2K", "?25l", "?25h"), code
            is_visible = {"?25l": False, "?25h": True}.get(code, is_visible)
            row -= code == "1A"
            if code == "2K":
                rows[row] = ""
        elif letter == "\r":
            column = 0
        elif letter == "\n" or column == width:
            row, column = row + 1, 0
            rows.extend([""] * (row + 1 - len(rows)))
        if letter not in ("", "\r", "\n"):
            rows[row] = f"{rows[row]:{column}}"[:column] + letter + rows[row][column + 1 :]
            column += 1
    assert "\x1b" not in re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", written)
    return [text.rstrip() for text in rows], is_visible


def in_a_terminal(seeds: tuple[int, ...] = (0,), width: int = 80) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, height=24, _environ={})
    return Progress(2_000, seeds=seeds, console=console), stream


def milestone(name: str, seed_index: int = 0, episode_return: float = 87.0) -> Milestone:
    return Milestone(name, seed_index, 5, 12_544, 1.234, episode_return)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = 0.0

    def set_clock(seconds: float) -> None:
        nonlocal now
        now = seconds

    monkeypatch.setattr("uphill.sessions.display.progress.time.monotonic", lambda: now)
    return set_clock


# --- in a terminal ------------------------------------------------------------------------------


def test_the_picture_changes_what_is_said_stays_and_the_terminal_is_left_clean() -> None:
    progress, stream = in_a_terminal()
    progress.start()
    progress.show([500], [123.44])
    progress.point([100.0])
    progress.point([123.44])
    progress.say("a [notice]")
    progress._live.refresh()
    shown, is_visible = screen(stream.getvalue())
    assert shown[0] == "a [notice]"  # no markup
    assert "25\u00a0%" in shown[1]
    assert shown[2].startswith(" 500 of 2 k steps · ")
    assert "▁ 100 to █ 123.4" in shown[3]
    assert shown[4].split()[:2] == ["0", "123.4"]
    assert not is_visible  # the cursor
    progress.stop()
    progress.stop()
    progress.say("Evaluating …")
    shown, is_visible = screen(stream.getvalue())
    assert is_visible
    assert shown[0] == "a [notice]"
    assert shown[1].split()[0] == "Return:"  # the last look at the curve
    assert [line for line in shown[2:] if line] == []


def test_it_says_that_it_compiles_before_anything_is_known() -> None:
    progress, stream = in_a_terminal()
    progress.start([0], lambda: Pause("compiling", 2.0, 2.0))
    progress._live.refresh()
    assert screen(stream.getvalue())[0][0] == " compiling 2.0 s"
    progress.stop()
    assert "".join(screen(stream.getvalue())[0]) == ""


def test_many_lines_never_tear_the_picture() -> None:
    progress, stream = in_a_terminal((0, 1, 2), width=50)
    progress.start()
    for k in range(1, 30):
        progress.show([60 * k] * 3, [1.0 * k, 2.0, None])
        progress.point([1.0 * k, 2.0, 3.0])
        progress._live.refresh()
        progress.say(f"line {k}")
    progress.stop()
    shown, is_visible = screen(stream.getvalue(), 50)
    assert is_visible
    assert shown[:29] == [f"line {k}" for k in range(1, 30)]
    assert shown[29].split()[0] == "Return:"
    assert not any(shown[30:])


def test_a_milestone_stays_and_its_seed_gets_a_star() -> None:
    progress, stream = in_a_terminal((3, 4))
    progress.start()
    progress.show([500, 500], [1.0, 2.0])
    progress.point([1.0, 2.0])
    progress.milestones([milestone("above_random", 1)])
    progress._live.refresh()
    shown, _ = screen(stream.getvalue())
    assert shown[0] == (
        "★ 12,544 steps · 1.2 s · seed 4: first episode above random play (return 87)"
    )
    assert [line.count("★") for line in shown[4:6]] == [0, 1]
    progress.stop()


def test_in_a_terminal_that_can_do_nothing_it_is_plain(
    monkeypatch: pytest.MonkeyPatch, set_clock: Callable[[float], None]
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "dumb")
    progress = Progress(2_000)
    progress.start([0])
    set_clock(5.0)
    progress.show([500], [1.0])
    progress.tell()
    progress.stop()
    assert stream.getvalue() == "return 1 · 500 of 2 k steps · 100 steps/s · 15 s left\n"


def test_a_terminal_gets_lines_that_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    text = " ".join(["word"] * 30)
    Progress(10).say(text)
    shown = stream.getvalue().splitlines()
    assert len(shown) == 2
    assert max(map(len, shown)) <= 80
    assert shown[1].startswith("  word")
    assert " ".join(stream.getvalue().split()) == text
    progress, live = in_a_terminal(width=40)
    progress.start()
    progress.say(text)
    progress.milestones([milestone("quarter")])
    progress.stop()
    for line in screen(live.getvalue(), 40)[0]:
        assert set(line.split()) <= {"word"} or "★" in line or line.startswith("  ")


def test_an_exception_leaves_the_terminal_clean() -> None:
    progress, stream = in_a_terminal()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, as the session does it
        progress.start()
        try:
            progress._live.refresh()
            raise KeyboardInterrupt
        finally:
            progress.stop()
    shown, is_visible = screen(stream.getvalue())
    assert is_visible
    assert "".join(shown) == ""
    assert sys.stderr is not stream


def test_what_comes_after_training_is_shown_with_its_seconds_and_leaves_nothing(
    set_clock: Callable[[float], None],
) -> None:
    progress, stream = in_a_terminal()
    with progress.doing("evaluating"):
        set_clock(3.2)
        progress._live.refresh()
        assert screen(stream.getvalue())[0][0] == " evaluating 3.2 s"
        progress.say("2 of 100 episodes were cut off.")
    shown, is_visible = screen(stream.getvalue())
    assert is_visible
    assert [line for line in shown if line] == ["2 of 100 episodes were cut off."]


# --- elsewhere ----------------------------------------------------------------------------------


def test_elsewhere_plain_lines(
    capsys: pytest.CaptureFixture[str], set_clock: Callable[[float], None]
) -> None:
    progress, pause = Progress(1_000_000), Pause("compiling", 4.0, 4.0)
    progress.start([0], lambda: pause)
    progress.tell()
    pause = Pause(total=5.0)
    set_clock(6.0)
    progress.show([60_000], [None])
    progress.tell()
    pause = Pause("compiling", 2.0, 7.0)
    set_clock(8.0)
    progress.tell()
    pause = Pause(total=7.0)
    set_clock(11.5)
    progress.show([1_000_000], [1.26])
    progress.tell()
    progress.stop()
    assert capsys.readouterr().err.splitlines() == [
        "compiling 4.0 s",
        "return – · 60 k of 1 M steps · 12 k steps/s · 78 s left",
        "return – · 60 k of 1 M steps · 12 k steps/s · compiling 2.0 s",
        "return 1.26 · 1 M of 1 M steps · 269 k steps/s · 0 s left",
    ]


@pytest.mark.parametrize("what", ["training", "evaluating"])
def test_plain_lines_come_by_themselves(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waited(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.written = threading.Event()

        def flush(self) -> None:
            self.written.set()

    stream = Waited()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("uphill.sessions.display.progress.EVERY", 0.01)
    progress = Progress(10)
    if what == "training":
        progress.start([0], lambda: Pause("compiling", 2.0, 2.0))
        assert stream.written.wait(60)
        progress.stop()
        assert stream.getvalue().startswith("compiling 2.0 s\n")
        return
    with progress.doing("evaluating"):
        assert stream.getvalue() == "Evaluating …\n"
        stream.written.clear()
        assert stream.written.wait(60)
    assert re.fullmatch(r"Evaluating …\n(evaluating [\d.]+ m?s\n)+", stream.getvalue())


def test_the_return_of_several_seeds_is_their_interquartile_mean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(1000, seeds=range(5))
    progress.show([100] * 5, [None, 1.0, 2.0, 3.0, 900.0])
    progress.tell()
    assert capsys.readouterr().err.startswith("return 2.5 · 5 seeds × 100 of 1 k steps ·")


def test_of_several_seeds_the_first_and_the_last_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(1000, seeds=(7, 8, 9))
    progress.milestones(milestone(UNTRAINED, s) for s in (1, 0, 2))
    progress.milestones(
        [milestone("half", 1, 250.5), milestone("half"), milestone("first_curve", 2)]
    )
    progress.milestones([milestone("half", 2)])
    assert capsys.readouterr().err.splitlines() == [
        "★ 12,544 steps · 1.2 s · seed 8: half of the way to the threshold (return 250.5)",
        "★ 12,544 steps · 1.2 s · seed 9: first curve (return 87)",
        "★ 12,544 steps · 1.2 s · all 3 seeds: half of the way to the threshold",
    ]


def test_milestones_are_told_in_the_order_of_their_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(1000, seeds=(0, 1, 2))
    steps = {0: 2_618, 1: 2_531, 2: 2_700}
    new = [
        replace(milestone(name, s), steps=steps[s]) for s in steps for name in ("quarter", "half")
    ]
    progress.milestones(new)
    told = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert told == ["2,531", "2,531", "2,700", "2,700"]


def test_what_a_run_came_to_before_it_was_resumed_is_not_told_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(1000, seeds=(0, 1))
    progress.recall([[1.0, 2.0], [2.0, 3.0]], [milestone("half", 1)])
    assert not capsys.readouterr().err
    progress.milestones([milestone("half", 0)])
    assert capsys.readouterr().err.count("all 2 seeds") == 1


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(10, quiet=True)
    progress.start()
    progress.say("hello")
    progress.show([5], [1.0])
    progress.point([1.0])
    progress.milestones([milestone("half")])
    progress.stop()
    with progress.doing("evaluating"):
        progress.say("hello")
    assert not stream.getvalue()
