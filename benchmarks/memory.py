"""Whether memory stays flat during training, and what is written stays small."""

import tempfile
import time
from pathlib import Path
from typing import Any

import uphill

MINUTES = 120
MIB = 2**20


def memory() -> None:
    """PPO on CartPole-v1 for two hours: memory after the first minute and at the end (Linux)."""
    started, last = time.perf_counter(), 0
    held: list[float] = []

    def look(rows: list[dict[str, Any]], _: Any) -> bool | None:
        nonlocal last
        minute = int((time.perf_counter() - started) / 60)
        if minute > last:
            last = minute
            held.append(_resident())
        return minute >= MINUTES or None

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        trained = uphill.train(
            "CartPole-v1", algo="ppo", steps=10**11, out=run, quiet=True, on_point=look
        )
        written = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        steps = min(trained.summary()["steps"])
    print(
        f"{held[0]:.0f} MiB after a minute, {held[-1]:.0f} after {last} "
        f"({held[-1] / held[0] - 1:+.1%}), {steps:,} steps; {written / MIB:.1f} MiB written"
    )


def _resident() -> float:
    """Resident memory of this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
