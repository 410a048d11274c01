"""Groups settings that can share one compiled program: those that differ only in floats."""

import math
from collections.abc import Sequence

import jax

from uphill.runs.checkpoint import read_manifest
from uphill.studies.sweeps.plan import Phase, Planned

LANES = {"cpu": 128, "gpu": 1024}
"""The most seeds of all settings that train at once, on each device: more is no faster there, and
each holds a batch in memory."""


def groups_of(settings: Sequence[tuple[Planned, Phase]]) -> list[list[tuple[Planned, Phase]]]:
    """The settings of each program, in their order; those that go on stand at the same update."""
    found: dict[object, list[tuple[Planned, Phase]]] = {}
    for planned, phase in settings:
        update = 0
        if phase == "begun":
            update = read_manifest(planned.path, "latest").facts.num_updates
        key = (jax.tree.structure(planned.algorithm), update)
        found.setdefault(key, []).append((planned, phase))
    return list(found.values())


def batches_of(group: list, num_seeds: int) -> list[list]:
    """A group in batches that fit into memory: of one size, if there is one, so that the program
    of the first serves all."""
    devices = jax.devices()
    lanes = LANES.get(devices[0].platform, LANES["gpu"]) * len(devices)
    most = max(1, lanes // num_seeds)
    fewest = math.ceil(len(group) / most)
    number = next((n for n in range(fewest, 2 * fewest) if len(group) % n == 0), fewest)
    size = math.ceil(len(group) / number)
    return [group[k : k + size] for k in range(0, len(group), size)]
