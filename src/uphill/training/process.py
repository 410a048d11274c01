"""Process-wide settings that training makes before JAX starts (devices for the seeds, a compile
cache), and the memory that it returns to the system at the end."""

import ctypes
import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import jax

from uphill.installed import version
from uphill.training.cores import usable_cores, use_threads
from uphill.words import count

LARGEST_CACHE = 512 * 2**20  # bytes


def use_cores(num_seeds: int, is_python: bool = False, devices: int = 1) -> None:
    """Ask JAX for a device for each core that the seeds can use.

    `devices` share each seed. Where Python steps the environments (`is_python`), it is a single
    synchronous device: handing a policy's call to another thread costs as much as the call.

    Must happen before JAX starts; the variable JAX_NUM_CPU_DEVICES overrules it. Where JAX has
    started already (in a notebook, say), training uses the devices that there are.
    """
    use_threads()
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    num_devices = 1 if is_python else min(max(num_seeds, devices), usable_cores())
    try:
        jax.config.update("jax_num_cpu_devices", max(1, num_devices))
        jax.config.update("jax_cpu_enable_async_dispatch", not is_python)
    except RuntimeError:
        return


def is_short_of_devices(num_seeds: int, is_python: bool = False) -> bool:
    """Whether seeds take turns on fewer devices than there are cores for them."""
    devices = jax.devices()
    wanted = 1 if is_python else min(num_seeds, usable_cores())
    return devices[0].platform == "cpu" and len(devices) < wanted


def turns_notice(num_seeds: int, is_python: bool) -> str | None:
    """What to tell the user if seeds take turns."""
    if not is_short_of_devices(num_seeds, is_python):
        return None
    return (
        f"JAX had started before training, and seeds take turns on "
        f"{count(len(jax.devices()), 'device')}: JAX_NUM_CPU_DEVICES=N in the environment gives it "
        "one for each core."
    )


def use_compile_cache() -> None:
    """Keep compiled programs between processes: the next start takes a second less.

    In a private folder of the user's, for this kind of processor and this version of JAX. Does
    nothing where a cache is set already, or the folder can't be made.
    """
    config: Any = jax.config  # its flags are attributes that it gets when JAX is imported
    if config.jax_compilation_cache_dir is not None:
        return
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
        folder = root / "uphill" / f"{version('jaxlib')}-{_processor()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _trim(folder)
    except (OSError, RuntimeError):  # no such folder, or no home
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def give_back_memory() -> None:
    """Give back to the system what was freed: compiling leaves some 250 MB that the C library keeps
    for later, in pieces. Takes milliseconds; nothing happens where the library can't."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        return


@cache  # every checkpoint asks, and a server's file is long
def processor_facts(*names: str) -> tuple[str, ...]:
    """What the system says of the processor under these names, or else what Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return tuple(sorted({line for line in lines if line.startswith(names)}))
    except OSError:
        return platform.machine(), platform.processor()


def _processor() -> str:
    """A short name for what compiled code depends on."""
    facts = "\n".join(processor_facts("model name", "flags"))
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def _trim(folder: Path) -> None:
    """Remove the oldest programs when the cache has grown too large."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    size = sum(path.stat().st_size for path in files)
    for path in files:
        if size <= LARGEST_CACHE:
            return
        size -= path.stat().st_size
        path.unlink(missing_ok=True)
