"""`python -m benchmarks [NAME …]`: runs the named measurements, or those that take a minute.

`house` and `understand` examine the code of this checkout, or of the checkouts whose folders
follow; `first` runs commands of this checkout and of another one, alternating.
"""

import subprocess
import sys

from benchmarks import (
    beside,
    determinism,
    devices,
    first_second,
    house,
    limit,
    peers,
    recording,
    scaling,
    searches,
    sequential,
    startup,
    sweeps,
    throughput,
    understand,
)
from benchmarks.checkpointing import checkpointing
from benchmarks.clusters import cluster, cluster_start
from benchmarks.compiled_worlds import worlds
from benchmarks.memory import memory

MEASUREMENTS = {
    "worlds": worlds,
    "window": throughput.window,
    "episodes": throughput.episodes,
    "ppo": throughput.ppo_seeds,
    "car-race": throughput.car_race,
    "envpool": throughput.envpool,
    "python": throughput.python,
    "pool-training": throughput.pool_training,
    "checkpointing": checkpointing,
    "memory": memory,
    "startup": startup.startup,
    "first": first_second.first,
    "recording": recording.recording,
    "determinism": determinism.determinism,
    "sequential": sequential.sequential,
    "sweep": sweeps.sweep,
    "search": searches.search,
    "zoo": searches.zoo,
    "cluster": cluster,
    "cluster-start": cluster_start,
    "house": house.house,
    "understand": understand.understand,
    "sb3": peers.sb3,
    "sb3-cartpole": peers.sb3_cartpole,
    "sb3-car-race": peers.sb3_car_race,
    "rejax": peers.rejax,
    "beside": beside.beside,
    "devices": devices.devices,
    "scaling": scaling.scaling,
    "gpu": scaling.gpu,
    "limit": limit.limit,
}
SLOW = (
    *("cluster", "sb3", "first", "rejax", "beside", "sweep", "checkpointing", "determinism"),
    *("sequential", "memory", "search", "zoo", "devices", "scaling", "gpu"),
)
QUICK = [name for name in MEASUREMENTS if not name.startswith(SLOW)]


OF_CHECKOUTS = ("house", "understand", "first")


def main(names: list[str]) -> int:
    if names and names[0] in OF_CHECKOUTS:
        MEASUREMENTS[names[0]](*names[1:])
        return 0
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"There is no measurement {unknown[0]!r}: use {', '.join(MEASUREMENTS)}.")
        return 2
    if len(names) != 1:
        # Each in its own process: how JAX starts depends on what is measured.
        commands = [[sys.executable, "-m", "benchmarks", name] for name in names or QUICK]
        return max(subprocess.run(command, check=False).returncode for command in commands)
    print(f"--- {names[0]}: {(MEASUREMENTS[names[0]].__doc__ or '').splitlines()[0]}", flush=True)
    MEASUREMENTS[names[0]]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
