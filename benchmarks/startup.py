"""From the start of the process to the first update and to an evaluated policy; memory."""

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


def _train(cache: Path, out: Path) -> tuple[float, float, bool]:
    """Seconds to the first update, seconds in all, and whether CartPole was solved."""
    command = [str(Path(sys.executable).with_name("uphill")), "train", "CartPole-v1", "--json"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    start, started_at = time.perf_counter(), time.time()
    done = subprocess.run(
        [*command, "--quiet", "--out", str(out)], env=environment, capture_output=True, check=True
    )
    total = time.perf_counter() - start
    result = json.loads(done.stdout)
    # The checkpoint of update 0 is written before the first update is compiled and run: what is
    # compiled is known, and the first chunk is one update.
    written = (out / "experiment.json").stat().st_mtime
    first = written - started_at + result["compile_seconds"]
    return first, total, result["solved"][0]
