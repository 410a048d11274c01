"""What a person sees while training."""

import io
import sys

import pytest

from uphill.runs.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_terminal_one_line_changes_and_what_is_said_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(2_000)
    progress.say("CartPole-v1: ppo")
    progress.start()
    progress.show(500, 123.44, 61_234.0)
    progress.say("a [notice]")
    progress.stop()
    shown = stream.getvalue()
    assert "return 123.4 · 500 of 2 k steps · 61.2 k steps/s" in shown
    assert "25%" in shown
    assert shown.startswith("CartPole-v1: ppo\n")
    assert "a [notice]" in shown  # no markup
    assert "\x1b[?25h" in shown[-40:]  # the cursor is visible again


def test_elsewhere_a_plain_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("uphill.runs.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(1_000_000)
    progress.start()
    progress.show(1000, None, 1000.0)
    assert not stream.getvalue()
    now = 6.0
    progress.show(6000, None, 1000.0)
    progress.show(6001, 1.0, 1000.0)
    progress.stop()
    assert stream.getvalue() == "return – · 6 k of 1 M steps · 1 k steps/s · 994 s left\n"


def test_time_left_is_that_of_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("uphill.runs.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(1_000_000, num_seeds=8)
    now = 10.0
    # Eight seeds took 250 k steps each in ten seconds: three quarters are left.
    progress.show(250_000, 1.0, 8 * 250_000 / now)
    assert stream.getvalue().endswith("· 200 k steps/s · 30 s left\n")


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(10, quiet=True)
    progress.start()
    progress.say("hello")
    progress.show(5, 1.0, 1.0)
    progress.stop()
    assert not stream.getvalue()
