"""Signals wait while something is written down, and cut short what may be cut short."""

import os
import signal
import threading

import pytest

from uphill.sessions.interrupts import Interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_waits_until_it_is_allowed(number: int) -> None:
    done = []
    # Several statements belong inside: what is tested is which of them still run.
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:  # noqa: PT012
        send(number)
        send(number)
        done.append("recorded")
        interrupts.allow(done.append, "the next chunk")
    assert done == ["recorded"]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_cuts_short_what_is_allowed(number: int) -> None:
    done = []

    def chunk() -> None:
        send(number)
        done.append("never")

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            interrupts.allow(chunk)
        send(number)
        done.append("saved")  # a second one does not disturb the saving
        with pytest.raises(KeyboardInterrupt):
            interrupts.allow(done.append, "no more")
        interrupts._has_come = False
    assert done == ["saved"]


def test_who_asks_again_is_heard_where_an_environment_was_deaf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("uphill.sessions.interrupts.time.monotonic", lambda: now)
    heard = []

    def deaf() -> None:
        nonlocal now
        for seconds in (0.0, 0.5, 1.0):
            now += seconds
            try:
                send(signal.SIGINT)
            except BaseException:
                heard.append(seconds)

    with Interrupts() as interrupts:
        interrupts.allow(deaf)
        interrupts._has_come = False
    assert heard == [0.0, 1.0]


def test_signal_in_the_last_words_comes_after_them() -> None:
    done = []
    # Several statements belong inside: what is tested is which of them still run.
    with pytest.raises(KeyboardInterrupt), Interrupts():  # noqa: PT012
        send(signal.SIGINT)
        done.append("saved")
    assert done == ["saved"]


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts() as interrupts:
        assert interrupts.allow(max, 1, 2) == 2
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_ignored_stays_ignored(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)  # as nohup does
    try:
        with Interrupts() as interrupts:
            send(number)
            assert interrupts.allow(max, 1, 2) == 2
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_other_threads_train_without_signals() -> None:
    found = []

    def work() -> None:
        with Interrupts() as interrupts:
            found.append(interrupts.allow(max, 1, 2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [2]
