"""Hands jobs to a cluster's tasks, and hands them out again if a task is lost."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle

from uphill.clusters.connection import LOG_FILE, Cluster, connected
from uphill.clusters.jobs import Job, JobAttempt, Outcome, attempted
from uphill.clusters.post import Post
from uphill.errors import UphillError
from uphill.runs.experiment import installed_versions
from uphill.runs.files import write_file
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupts
from uphill.words import count

MOST_LOSSES = 3
"""How often a job may be lost without having sent anything new: the job itself may be the cause."""
_GLANCE = 0.5
"""Seconds between two polls for results."""
_FAREWELL = 60.0
"""Seconds that jobs get to save their state when they are asked to end."""
_MOST_LISTENERS = 1_000_000
"""Jobs that wait to be told when to end"""
_MOST_ROWS = 12
_PREFIXES = ("JAX_", "XLA_")
_OF_A_TASK = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "NPROC": "1"}
"""A task has one processor, whatever its machine has."""


@dataclass(frozen=True)
class _Sent:
    """A job under way."""

    job: Job
    attempt: JobAttempt
    losses: int = 0


def do_on_cluster(
    address: str,
    aside: Path,
    saved: Path,
    every: float,
    progress: Progress,
    jobs_of: Callable[[int], tuple[str, Sequence[Job]]],
) -> None:
    """Connect to a cluster and have its tasks do jobs: those of so many processors, which are also
    told in words. What the tasks send every so many seconds is in `aside`.

    Raises:
        UphillError: if there is no such cluster, or a job failed; what the others have trained is
            `saved` there.
        KeyboardInterrupt: on Ctrl-C, after what they have was saved.
    """
    progress.say(f"Connecting to Ray ({address}); what it prints is in {aside / LOG_FILE}.")
    with connected(address, aside / LOG_FILE) as cluster:
        told, jobs = jobs_of(cluster.cpus)
        progress.say(f"{told} on {count(cluster.cpus, 'processor')}.")
        faults = Dispatch(cluster, aside, every, progress).run(jobs)
    for name, fault in faults.items():
        others = "" if len(faults) == 1 else f" (and {count(len(faults) - 1, 'task')} more)"
        raise UphillError(
            f"Training {name}{others} failed: {fault}\nWhat the others trained is saved in {saved}:"
            " the same command goes on from there."
        )


class Dispatch:
    """Has a cluster's tasks do jobs. The latest parcel of each job is in `folder`, under its file
    name: `parcel_of`."""

    def __init__(self, cluster: Cluster, folder: Path, every: float, progress: Progress) -> None:
        self._ray, self._folder = cluster.ray, folder
        self._every, self._progress = every, progress
        self._sent: dict[Any, _Sent] = {}
        self._lines: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._post: Any = None
        self._task: Any = None
        self._versions: dict[str, str] = {}

    def run(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Do all; what ended those that could not be done, by their names.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after what they have was saved.
        """
        self._post = self._post_here()
        self._task, self._versions = self._task_of_one(), installed_versions()
        with Interrupts() as interrupts, self._progress.rows(self._rows):
            for job in jobs:
                self._send(job)
            try:
                while self._sent:
                    self._take_all(interrupts.allow(self._ended))
            except KeyboardInterrupt:
                self._end()
                raise
            except self._ray.exceptions.RayError as error:
                raise UphillError(
                    f"The Ray cluster was lost ({_first_line(error)}). What tasks had sent is "
                    f"saved in {self._folder}: the same command goes on from there."
                ) from error
        return self._faults

    def _post_here(self) -> Any:
        """On the node of this process: it is lost with that alone."""
        strategies = import_module("ray.util.scheduling_strategies")
        node = self._ray.get_runtime_context().get_node_id()
        here = strategies.NodeAffinitySchedulingStrategy(node, soft=True)
        given = {"num_cpus": 0, "scheduling_strategy": here, "max_concurrency": _MOST_LISTENERS}
        return self._ray.remote(**given)(Post).remote()

    def _task_of_one(self) -> Any:
        """What does a job: in a process that begins with it, since JAX starts only once."""
        environment = {"env_vars": _environment()}
        given = {"num_cpus": 1, "max_calls": 1, "max_retries": 0, "runtime_env": environment}
        return self._ray.remote(**given)(attempted)

    def _send(self, job: Job, number: int = 0, losses: int = 0) -> None:
        work = cloudpickle.dumps(job.work)
        parcel = parcel_of(self._folder, job)
        attempt = JobAttempt(job.name, number, work, parcel, self._versions, self._every)
        self._sent[self._task.remote(attempt, self._post)] = _Sent(job, attempt, losses)
        self._lines[job.name] = "waits for a processor" if number == 0 else "waits to go on"

    def _ended(self) -> list[Any]:
        """What has ended by now, after a while in which nothing may have."""
        refs = [*self._sent]
        ended, _ = self._ray.wait(refs, num_returns=1, timeout=_GLANCE)
        if ended:  # and all others that have ended by now
            ended, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return ended

    def _take_all(self, ended: Sequence[Any]) -> None:
        """Take in what has come, and what has ended."""
        self._take_news()
        for ref in ended:
            self._take(ref)

    def _take_news(self) -> None:
        lines, parcels = self._ray.get(self._post.news.remote())
        known = {(x.job.name, x.attempt.number): ref for ref, x in self._sent.items()}
        self._lines |= {key[0]: line for key, line in lines.items() if key in known}
        for key in parcels.keys() & known.keys():
            sent = self._sent[known[key]]
            self._keep(sent.job, parcels[key])
            self._sent[known[key]] = replace(sent, losses=0)

    def _take(self, ref: Any) -> None:
        """Take in how an attempt ended."""
        sent, errors = self._sent.pop(ref), self._ray.exceptions
        name = sent.job.name
        try:
            outcome: Outcome = self._ray.get(ref)
        except errors.RayTaskError as error:
            self._fail(name, _cause(error))
        except errors.RayError as error:
            self._send_again(sent, _first_line(error))
        else:
            if outcome.parcel is not None:
                self._keep(sent.job, outcome.parcel)
            if outcome.fault:
                self._fail(name, outcome.fault)
            elif outcome.was_cut_off:  # not by us, who would not have listened any more
                is_new = outcome.parcel not in (None, sent.attempt.parcel)
                sent = replace(sent, losses=0) if is_new else sent
                self._send_again(sent, "its node asked it to end")
            else:
                self._lines[name] = "done"

    def _send_again(self, sent: _Sent, why: str) -> None:
        """Hand a job out again whose attempt was lost, unless that happened too often."""
        name = sent.job.name
        if sent.losses >= MOST_LOSSES:
            self._fail(name, f"its process was lost {count(sent.losses + 1, 'time')} ({why})")
            return
        self._progress.say(f"{_begun(name)}: the process was lost, and another one goes on.")
        self._send(sent.job, sent.attempt.number + 1, sent.losses + 1)

    def _fail(self, name: str, fault: str) -> None:
        self._faults[name] = fault
        self._lines[name] = "failed"
        self._progress.say(f"{_begun(name)} failed: {fault}")

    def _end(self) -> None:
        """Make all jobs end, and keep what they have by then. None is cancelled: Ray ends this
        process ("Tried to complete task that was not pending") if one is done just then."""
        self._progress.say("Saving …")
        begun = self._ray.get(self._post.end.remote())
        refs = [ref for ref, x in self._sent.items() if (x.job.name, x.attempt.number) in begun]
        ended, _ = self._ray.wait(refs, num_returns=len(refs), timeout=_FAREWELL)
        self._take_news()
        for ref in ended:
            with suppress(self._ray.exceptions.RayError):  # it is lost
                outcome: Outcome = self._ray.get(ref)
                if outcome.parcel is not None:
                    self._keep(self._sent[ref].job, outcome.parcel)

    def _keep(self, job: Job, parcel: bytes) -> None:
        write_file(place_of(self._folder, job), parcel)

    def _rows(self) -> Iterator[str]:
        """A row for each job that is under way, and the rest as a number."""
        shown = [
            f"{name} · {line}"
            for name, line in self._lines.items()
            if line not in ("done", "failed")
        ]
        yield from shown[:_MOST_ROWS]
        if (more := len(shown) - _MOST_ROWS) and more > 0:
            yield f"… and {count(more, 'task')} more"
        if done := sum(line == "done" for line in self._lines.values()):
            yield f"{done} of {count(len(self._lines), 'task')} done"


def parcel_of(folder: Path, job: Job) -> bytes | None:
    """What a job sent home last, if it did."""
    try:
        return place_of(folder, job).read_bytes()
    except FileNotFoundError:
        return None


def place_of(folder: Path, job: Job) -> Path:
    """Where that is kept."""
    return folder / f"{job.file}.zip"


def _environment() -> dict[str, str]:
    """Environment variables of a task's process: those that affect exact results are the same as
    here."""
    here = {name: x for name, x in os.environ.items() if name.startswith(_PREFIXES)}
    return here | _OF_A_TASK


def _begun(name: str) -> str:
    """A job's name at the beginning of a sentence."""
    return name[:1].upper() + name[1:]


def _cause(error: Any) -> str:
    """The error that a task raised, without Ray's wrapper."""
    cause = getattr(error, "cause", None) or error
    said = str(cause)
    if "failed to import" in said:
        where = getattr(error, "ip", "") or "a node"
        return f"{where} has no uphill of our version: install the same versions on all nodes."
    return f"{type(cause).__name__}: {said}" if said else type(cause).__name__


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
