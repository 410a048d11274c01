"""A process that trains for as long as it is told to, and otherwise waits: devices, programs
and memory are those of this training alone."""

import json
import subprocess
import sys
from dataclasses import dataclass

from uphill.parts import Algorithm
from uphill.runs.configuration import encode

_TRAINING = """
import itertools, json, resource, sys, time
import jax
from uphill.parts import Algorithm
from uphill.runs.configuration import decode
from uphill.training.process import use_cores
from uphill.training.trainer import Trainer
env, seeds, devices = sys.argv[1], int(sys.argv[3]), int(sys.argv[4])
algorithm = decode(Algorithm, json.loads(sys.argv[2]))
use_cores(seeds, devices=devices)
if devices > 1:  # all that can share the environments
    envs = algorithm.sampling.num_envs
    devices = max(n for n in range(1, len(jax.devices()) + 1) if envs % n == 0)
trainer = Trainer(env, algorithm, tuple(range(seeds)), 2**32 - 1, devices=devices)
state, _ = trainer.advance(trainer.start(), 1)
for seconds in itertools.chain([0.0], map(float, sys.stdin)):  # each when it is asked for
    before, start = sum(state.num_transitions), time.perf_counter()
    while time.perf_counter() - start < seconds:
        state, _ = trainer.advance(state, 4)
    took = time.perf_counter() - start
    device = jax.devices()[0]
    held = (device.memory_stats() or {}).get("peak_bytes_in_use")
    held = held or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({
        "rate": (sum(state.num_transitions) - before) / took,
        "compiling": trainer.compile_seconds,
        "mebibytes": held / 2**20,
        "devices": devices,
        "platform": device.platform,
        "kind": device.device_kind,
    }), flush=True)
trainer.close()
"""


@dataclass(frozen=True)
class Report:
    """What a training says of itself."""

    rate: float
    """transitions a second of all seeds"""
    compiling: float
    """seconds"""
    mebibytes: float
    """the most memory that it held: of the GPU, or on processors of the whole process"""
    devices: int
    platform: str
    """cpu or gpu"""
    kind: str
    """of device"""


class TrainingProcess:
    """Trains `algorithm` on one device, or with several `devices` on as many as can
    share the environments. Nothing is measured until `report` asks for it."""

    def __init__(self, env: str, algorithm: Algorithm, seeds: int = 1, devices: int = 1) -> None:
        composition = json.dumps(encode(algorithm))
        command = [sys.executable, "-c", _TRAINING, env, composition, str(seeds), str(devices)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.first = self._next()

    def report(self, seconds: float) -> Report:
        """Train for so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._next()

    def close(self) -> None:
        self._process.communicate()

    def _next(self) -> Report:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the training ended with {self._process.wait()}")
        return Report(**json.loads(line))
