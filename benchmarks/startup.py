"""Time from the start of the process to the first update and to an evaluated policy; memory."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def startup(rounds: int = 3) -> None:
    """`uphill train CartPole-v1`, with an empty compile cache and with a warm one."""
    with tempfile.TemporaryDirectory() as folder:
        for k in range(rounds):
            cache = Path(folder) / f"cache-{k}"
            for label in ("cold", "warm"):
                first, total, solved = _train(cache, Path(folder) / f"{label}-{k}")
                print(
                    f"{label}: first update after {first:.2f} s, all done after {total:.2f} s, "
                    f"solved: {solved}"
                )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest resident memory of any of them: {peak:.0f} MiB")


_TIMED = """
import sys, time
from uphill.cli import run
from uphill.training.trainer import Trainer

advance = Trainer.advance

def timed(self, *arguments):
    after = advance(self, *arguments)
    print("first update at", time.time(), file=sys.stderr)
    Trainer.advance = advance
    return after

Trainer.advance = timed
sys.argv[0] = "uphill"
run()
"""
"""The command line, with a clock at the end of the first chunk, which is one update."""


def _train(cache: Path, out: Path) -> tuple[float, float, bool]:
    """Seconds to the first update, seconds in all, and whether CartPole was solved."""
    arguments = ["train", "CartPole-v1", "--json", "--quiet", "--out", str(out)]
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", _TIMED, *arguments],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        check=True,
        text=True,
    )
    total = time.time() - started
    first = float(done.stderr.split("first update at")[1].split()[0]) - started
    return first, total, json.loads(done.stdout)["solved"][0]
