"""What a process of the tests may hold in memory, and how it lets go of compiled programs.

JAX keeps every program that it compiled for as long as the process lives, and a test rarely needs
one of another test. A plugin of pytest (conftest.py); idle where the system has no /proc.
"""

import gc
from pathlib import Path
from typing import Any

import jax
import pytest

from uphill.training.process import give_back_memory

MIB = 2**20
LIMIT = 2048 * MIB
"""The most that a process may ever hold; passing it fails the session."""
ENOUGH, GROWTH = 1024 * MIB, 512 * MIB
"""Programs are let go above `ENOUGH`; if that leaves much, after `GROWTH` more."""

STATUS = Path("/proc/self/status")
_next = ENOUGH
_peaks: dict[str, int] = {}


def held(line: str) -> int:
    """Bytes of memory, as the kernel counts them: `VmRSS` now, `VmHWM` at most so far."""
    if not STATUS.exists():
        return 0
    found = [x.split()[1] for x in STATUS.read_text().splitlines() if x.startswith(line)]
    return int(found[0]) * 1024 if found else 0


def let_go() -> None:
    """Drop all programs that nothing else holds, and give their memory back to the system."""
    gc.collect()
    jax.clear_caches()
    gc.collect()
    give_back_memory()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    global _next
    if held("VmRSS") > _next:
        let_go()
        _next = max(ENOUGH, held("VmRSS") + GROWTH)


def pytest_sessionfinish(session: pytest.Session) -> None:
    peak, output = held("VmHWM"), getattr(session.config, "workeroutput", None)
    if output is not None:
        output["peak"] = peak  # a process of several: the first one judges
        return
    _peaks.setdefault("this process", peak)
    if max(_peaks.values()) > LIMIT and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _peaks[node.gateway.id] = getattr(node, "workeroutput", {}).get("peak", 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    told = ", ".join(f"{name} {peak / MIB:,.0f} MiB" for name, peak in _peaks.items())
    terminalreporter.write_line(f"most memory held: {told}")
    if max(_peaks.values(), default=0) > LIMIT:
        terminalreporter.write_line(
            f"ERROR: no process of the tests may hold more than {LIMIT / MIB:,.0f} MiB "
            "(tests/memory.py): which test holds so much?",
            red=True,
        )
