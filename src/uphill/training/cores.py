"""The processor cores that this process may use: not always all cores of the machine."""

import math
import os
from pathlib import Path

from uphill.errors import UphillError

_VARIABLE = "NPROC"
"""Where XLA looks for the number of its threads, when JAX starts."""
_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use: those that it is bound to, at most its container's share,
    and at most as many as `use_threads` allows."""
    counted = getattr(os, "process_cpu_count", None)  # Python 3.13
    if counted is not None:
        bound = counted() or 1
    elif hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    allowed = os.environ.get(_VARIABLE, "")
    limit = int(allowed) if allowed.isdecimal() else bound
    return max(1, min(bound, _share(_CGROUPS) or bound, limit))


def use_threads(threads: int | None = None) -> None:
    """Set the number of threads that JAX uses; by default one for each core of this process.

    Must happen before JAX starts; a variable NPROC in the environment overrules the default.

    Raises:
        UphillError: unless it is at least 1.
    """
    if threads is not None and threads < 1:
        raise UphillError(f"threads is {threads}: use at least 1.")
    if threads is not None:
        os.environ[_VARIABLE] = str(threads)
    elif _VARIABLE not in os.environ and usable_cores() < (os.cpu_count() or 1):
        os.environ[_VARIABLE] = str(usable_cores())


def _share(root: Path) -> int | None:
    """The container's share in whole cores, as version 2 or 1 of Linux's control groups has it;
    None where it has no limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal():  # `max`, or −1
        return None
    return math.ceil(int(quota) / int(period))
