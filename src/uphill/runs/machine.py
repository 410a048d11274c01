"""The machine of a training run: what its exact results depend on besides its settings. A run may
continue on another machine; its checkpoint keeps the former ones."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from uphill.errors import UphillError
from uphill.installed import version
from uphill.training.process import processor_facts
from uphill.words import listed

Machine = dict[str, str]
"""Names and values; older checkpoints have `platform` and `prng` alone."""


_OF_A_SEED = "devices of a seed"
"""Named only where it is not 1."""


@dataclass(frozen=True)
class Moved:
    """A training run that continued on another machine."""

    update: int
    """updates by then"""
    left: Machine
    """where it ran until then"""


def machine(num_seeds: int, devices_each: int = 1) -> Machine:
    """What runs this many seeds here, each on so many devices."""
    devices, config = jax.devices(), _config()
    kind = devices[0]
    return {
        "platform": kind.platform,
        "prng": str(config.jax_default_prng_impl),
        "devices": str(min(len(devices), num_seeds)),  # more have nothing to do
        "processor": _processor() if kind.platform == "cpu" else kind.device_kind,
        "jaxlib": version("jaxlib"),
    } | ({_OF_A_SEED: str(devices_each), "devices": "1"} if devices_each > 1 else {})


def differences(before: Mapping[str, str], now: Machine) -> str:
    """What differs, in words; empty if nothing does.

    >>> differences({"platform": "cpu"}, {"platform": "gpu", "devices": "1"})
    'platform gpu in place of cpu'
    """
    alone = {_OF_A_SEED: "1"}
    before, now = alone | dict(before), alone | now
    return listed(
        [
            f"{name} {now.get(name, 'unknown')} in place of {value}"
            for name, value in before.items()
            if now.get(name) != value
        ]
    )


def check_random_numbers(before: Mapping[str, str], checkpoint: Path) -> None:
    """Raises:
    UphillError: if the random numbers of this process are of another generator than those of
        the checkpoint.
    """
    name = "jax_default_prng_impl"
    here, there = str(getattr(_config(), name)), before.get("prng")
    if there not in (None, here):
        raise UphillError(
            f"{name} is {here!r}, and the keys in {checkpoint} are of {there!r}: set "
            f"{name.upper()}={there}."
        )


def _config() -> Any:
    return jax.config  # its flags are attributes that it gets when JAX is imported


def _processor() -> str:
    """The model of the processor, as the system names it."""
    facts = processor_facts("model name") or (platform.machine(),)
    return facts[0].rpartition(": ")[2].strip()
