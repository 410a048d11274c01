"""The load of a large cluster on the machine where `uphill` was typed, with jobs that sleep.

Workers are reused, so that their start (two seconds of a processor each) is not measured.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import uphill
from uphill.clusters.connection import Cluster, connected
from uphill.clusters.dispatch import Dispatch
from uphill.clusters.jobs import Job, JobAttempt, Outcome
from uphill.clusters.parcels import packed
from uphill.runs.experiment import write_experiment
from uphill.runs.files import CURVE_FILE
from uphill.runs.merged import merge_runs
from uphill.sessions.display import Progress

JOBS = 2_000
WORKERS = 16
PARTS = 200
SLEEP = 0.2


def _asleep(attempt: JobAttempt, post: Any) -> Outcome:
    """A job that reports something, sends a parcel and ends with another."""
    assert attempt.parcel is None
    parcel = os.urandom(int(attempt.name.split()[1]))
    post.tell.remote(attempt.name, attempt.number, "sleeps")
    time.sleep(SLEEP)
    post.keep.remote(attempt.name, attempt.number, parcel)
    return Outcome(parcel)


class _Sleeping(Dispatch):
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder, 10.0, Progress(0, quiet=True))
        self._workers = cluster.ray.remote(num_cpus=1, max_retries=0)(_asleep)

    def _task_of_one(self) -> Any:
        return self._workers


def cluster() -> None:
    """Tasks per second, bytes, memory of the driver, and the time that merging takes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = uphill.train("CartPole-v1", seeds=1, steps=20_000, out=folder / "run", quiet=True)
        (run.path / CURVE_FILE).unlink()  # tasks draw no curves
        size = len(packed(run.path))
        print(f"parcel of one seed of CartPole-v1 ({run.experiment.algo}): {size:,} bytes")
        _dispatching(folder, size)
        _merging(run, folder)


def cluster_start(rounds: int = 5) -> None:
    """From typing `uphill train … --ray local` to the first update, a new cluster each time."""
    waits = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            waits.append(_first_update(Path(place)))
        print(f"{waits[-1]:.1f} s", flush=True)
    print(f"median {statistics.median(waits):.1f} s ({min(waits):.1f} to {max(waits):.1f})")


def _first_update(folder: Path) -> float:
    """Seconds until a worker's metrics.csv, in the folder for temporary files, has its first row:
    then the worker has learned from its first batch."""
    command = [sys.executable, "-m", "uphill.cli", "train", "CartPole-v1", "--ray", "local"]
    command += ["--seeds", "2", "--steps", "20000", "--out", str(folder / "run"), "--quiet"]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.DEVNULL
    )
    try:
        while not any(_lines(file) > 1 for file in folder.glob("uphill-*/**/metrics.csv")):
            if process.poll() is not None:
                raise SystemExit(f"It ended with {process.returncode} before a first update.")
            time.sleep(0.02)
        return time.perf_counter() - started
    finally:
        process.wait()


def _lines(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.read_bytes().count(b"\n")
    return 0


def _memory() -> float:
    """MiB that belong to this process alone, without memory shared with Ray's object store."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def _dispatching(folder: Path, size: int) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray: Any = import_module("ray")  # an extra
    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    (folder / "jobs").mkdir()
    for number in (JOBS // 4, JOBS):  # the first starts the workers
        jobs = [Job(f"job {size} {k}", f"job-{k}", print) for k in range(number)]
        before, started, processor = _memory(), time.perf_counter(), time.process_time()
        with connected("local", folder / "ray.log") as found:
            _Sleeping(found, folder / "jobs").run(jobs)
        took = time.perf_counter() - started
        print(
            f"{number:,} jobs: {number / took:.0f} per second (at most {WORKERS / SLEEP:.0f}), "
            f"{1e3 * (time.process_time() - processor) / number:.1f} ms of the driver each; it "
            f"held {before:.0f} MiB before, {_memory():.0f} MiB after"
        )
    ray.shutdown()


def _merging(run: uphill.Run, folder: Path) -> None:
    parts = []
    for k in range(PARTS):
        path = folder / f"part-{k}"
        for file in run.path.rglob("*"):
            if file.is_file():
                copy = path / file.relative_to(run.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
        write_experiment(path, replace(run.experiment, seed=k))
        metrics = (path / "metrics.csv").read_text().splitlines()
        lines = [metrics[0], *(f"{k},{line.partition(',')[2]}" for line in metrics[1:])]
        (path / "metrics.csv").write_text("\n".join(lines) + "\n")
        parts.append(path)
    out = folder / "merged"
    out.mkdir()
    before, started = _memory(), time.perf_counter()
    merge_runs(parts, replace(run.experiment, seeds=PARTS), out)
    print(
        f"merging {PARTS} parts of one seed: {time.perf_counter() - started:.1f} s; "
        f"{before:.0f} MiB before, {_memory():.0f} MiB after"
    )
