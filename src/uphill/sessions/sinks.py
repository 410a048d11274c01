"""Further destinations for the rows of `metrics.csv`: TensorBoard and Weights & Biases.

Both get every column by its name, separately for each seed, over the seed's transitions.
"""

import importlib.util
import json
import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from uphill.errors import UphillError
from uphill.runs.configuration import encode
from uphill.runs.experiment import Experiment
from uphill.runs.files import make_inner, read_json, write_atomically
from uphill.runs.settings import SinkName
from uphill.training.rows import LoggedRow
from uphill.words import option

_AXIS = ("seed", "steps")


@runtime_checkable
class Sink(Protocol):
    """Takes what training logs. It may raise whatever it likes: `Sinks` deals with it."""

    def write(self, rows: Sequence[LoggedRow]) -> None:
        """Take the rows of a logging point, one for each seed."""
        ...

    def finish(self, evaluation: Mapping[str, Any] | None) -> None:
        """Take the contents of `evaluation.json`, or None where training did not come so far; and
        close."""
        ...


class Sinks:
    """All sinks of a run, in a separate thread: training never waits for a network. A sink that
    fails is dropped with a message, and training goes on."""

    def __init__(
        self,
        sinks: Mapping[str, Sink] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._sinks, self._say = dict(sinks or {}), say
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="uphill-sinks")  # starts when used

    def write(self, rows: Sequence[LoggedRow]) -> None:
        """Hand on the rows of a logging point."""
        if self._sinks:
            self._thread.submit(self._write, rows)

    def finish(self, evaluation: Mapping[str, Any] | None) -> None:
        """Wait until all have everything, and close them."""
        if self._sinks:
            self._thread.submit(self._finish, evaluation).result()
        self._thread.shutdown()

    def _write(self, rows: Sequence[LoggedRow]) -> None:
        for name, sink in list(self._sinks.items()):
            try:
                sink.write(rows)
            except Exception as error:  # whatever it is, it is no reason to lose a training
                del self._sinks[name]
                self._tell(name, error)
                with suppress(Exception):
                    sink.finish(None)

    def _finish(self, evaluation: Mapping[str, Any] | None) -> None:
        while self._sinks:
            name, sink = self._sinks.popitem()
            try:
                sink.finish(evaluation)
            except Exception as error:
                self._tell(name, error)

    def _tell(self, name: str, error: Exception) -> None:
        self._say(
            f"{option('log', name)} failed, and gets nothing more ({_in_a_line(error)}); "
            "metrics.csv has every row."
        )


def check_installed(names: Sequence[SinkName]) -> None:
    """Raises:
    UphillError: if the package of a sink is missing.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        # A folder called wandb, which W&B makes wherever it runs, is a package without an origin.
        if spec is None or spec.origin is None:
            raise UphillError(
                f"{option('log', name)} needs the package {name}: pip install 'uphill[{name}]'."
            )


def open_sinks(
    folder: Path, experiment: Experiment, steps: Sequence[int], say: Callable[[str], None]
) -> Sinks:
    """The sinks that the experiment asks for. `steps` are those of each seed so far: of a run that
    goes on, what was logged after them will come again.

    Raises:
        UphillError: if one can't begin.
    """
    makers: dict[str, Callable[[], Sink]] = {
        "tensorboard": lambda: TensorBoard(folder, experiment, steps),
        "wandb": lambda: WeightsAndBiases(folder, experiment, say),
    }
    sinks = {}
    for name in experiment.log:
        try:
            sinks[name] = makers[name]()
        except Exception as error:
            hint = ": `wandb login`, or WANDB_MODE=offline" if name == "wandb" else ""
            raise UphillError(
                f"{option('log', name)} could not begin ({_in_a_line(error)}){hint}."
            ) from error
    return Sinks(sinks, say)


class TensorBoard:
    """Event files in RUN/tensorboard/seed0, seed1, …

    They are written here and now, without the library's thread: there is little to write, and a
    full disk is noticed at once.
    """

    def __init__(self, folder: Path, experiment: Experiment, steps: Sequence[int]) -> None:
        self._seeds, self._steps = experiment.all_seeds, list(steps)
        folders = [make_inner(folder, "tensorboard", f"seed{seed}") for seed in self._seeds]
        self._files = [_EventFile(*pair) for pair in zip(folders, steps, strict=True)]

    def write(self, rows: Sequence[LoggedRow]) -> None:
        for s, row in enumerate(rows):
            if row["steps"] > self._steps[s]:  # else the seed waits for the others
                self._steps[s] = row["steps"]
                self._files[s].write(dict(_scalars(row)), row["steps"])

    def finish(self, evaluation: Mapping[str, Any] | None) -> None:
        for s, file in enumerate(self._files):
            if evaluation is not None:
                file.write(_final(evaluation, s), self._steps[s])
            file.close()


class _EventFile:
    """One event file; it takes back what others in its folder hold after `steps`."""

    def __init__(self, folder: Path, steps: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._events: Any = event_pb2  # whose names a type checker can't see
        self._summaries: Any = summary_pb2
        # They are read in the order of their names, also those of the same second.
        count = sum(1 for _ in folder.iterdir())
        name = f"events.out.tfevents.{int(time.time()):010d}.{count:04d}.{socket.gethostname()}"
        self._file = (folder / name).open("xb")
        self._writer = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        # The first start that a reader meets begins the run; a later one voids what is there from
        # its step on.
        log = self._events.SessionLog
        self._add(session_log=log(status=log.START), step=steps + 1)
        self._file.flush()

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        summary = self._summaries.Summary
        values = [summary.Value(tag=tag, simple_value=x) for tag, x in scalars.items()]
        self._add(summary=summary(value=values), step=step)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _add(self, **fields: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())


class WeightsAndBiases:
    """A run of W&B for each seed; several are a group with the name of the run directory.

    RUN/wandb/uphill.json holds their names there and the steps that each was given, so that a run
    that goes on continues them, and rows that come again are left out: W&B takes nothing back.
    """

    def __init__(self, folder: Path, experiment: Experiment, say: Callable[[str], None]) -> None:
        import wandb

        seeds, name = experiment.all_seeds, folder.resolve().name
        self._file = make_inner(folder, "wandb") / "uphill.json"
        fresh = {"ids": [secrets.token_hex(4) for _ in seeds], "steps": [0] * len(seeds)}
        kept = read_json(self._file) if self._file.exists() else fresh
        self._ids, self._steps = kept["ids"], kept["steps"]
        self._runs = [
            wandb.init(
                dir=os.fspath(folder),
                project=os.environ.get("WANDB_PROJECT", "uphill"),
                group=name if len(seeds) > 1 else None,
                name=f"{name}-seed{seed}" if len(seeds) > 1 else name,
                config={**encode(experiment), "seed": seed},
                id=id,
                resume="allow",
                reinit="create_new",
                # stdout belongs to the result
                settings=wandb.Settings(silent=True, console="off"),
            )
            for seed, id in zip(seeds, self._ids, strict=True)
        ]
        self._keep()
        first = self._runs[0]
        where = f"offline, in {self._file.parent}" if first.offline else f"at {first.url}"
        say(f"Weights & Biases: {where}.")

    def write(self, rows: Sequence[LoggedRow]) -> None:
        for s, row in enumerate(rows):
            if row["steps"] > self._steps[s]:
                self._steps[s] = row["steps"]
                self._runs[s].log(dict(_scalars(row)), step=row["steps"])
        self._keep()

    def finish(self, evaluation: Mapping[str, Any] | None) -> None:
        for s, run in enumerate(self._runs):
            if evaluation is not None:
                run.summary.update(_final(evaluation, s))
            run.finish(exit_code=int(evaluation is None))

    def _keep(self) -> None:
        content = json.dumps({"ids": self._ids, "steps": self._steps}).encode()
        write_atomically(self._file, content, is_durable=False)


def _scalars(row: LoggedRow) -> Iterator[tuple[str, float]]:
    """The cells of a row that are not empty in `metrics.csv` either."""
    for name, value in row.items():
        if name not in _AXIS and value is not None and math.isfinite(value):
            yield name, float(value)


def _final(evaluation: Mapping[str, Any], seed_index: int) -> dict[str, float]:
    kinds = ("deterministic", "stochastic")
    return {f"final/{kind}_return": evaluation[kind]["per_seed"][seed_index] for kind in kinds}


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
