"""`python -m benchmarks [NAME …]`: run the named measurements, or those that take a minute."""

import os
import sys

# Before JAX starts: a device for each core, as `uphill train --seeds 8` asks for.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))

from benchmarks import peers, startup, throughput

MEASUREMENTS = {
    "window": throughput.window,
    "episodes": throughput.episodes,
    "ppo": throughput.ppo_seeds,
    "envpool": throughput.envpool,
    "python": throughput.python,
    "pool-training": throughput.pool_training,
    "startup": startup.startup,
    "sb3": peers.sb3,
}
QUICK = [name for name in MEASUREMENTS if name != "sb3"]


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"There is no measurement {unknown[0]!r}: use {', '.join(MEASUREMENTS)}.")
        return 2
    for name in names or QUICK:
        print(f"--- {name}: {(MEASUREMENTS[name].__doc__ or '').splitlines()[0]}", flush=True)
        MEASUREMENTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
