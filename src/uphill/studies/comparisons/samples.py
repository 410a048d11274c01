"""One side of a comparison: a run, and its further seeds in neighbouring run directories.

Further seeds of `runs/a` with the seeds 0 to 4 lie in `runs/a-seeds-5-7`, `runs/a-seeds-8-11`, …:
runs like any other, of the same experiment, so each can be viewed, resumed and repeated.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from uphill.errors import UphillError
from uphill.run import Run
from uphill.runs.configuration import encode
from uphill.runs.experiment import OF_THE_PROCESS, Experiment
from uphill.runs.unbegun import is_unbegun
from uphill.words import call

_OF_ONE_RUN = (
    *("$type", "seed", "seeds", "episodes", "log", "checkpoint_every", "devices", "step_timeout"),
    *OF_THE_PROCESS,
)


@dataclass(frozen=True)
class RunSample:
    """A run with its further seeds, in their order."""

    run: Run
    further: tuple[Run, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """All that were evaluated."""
        return tuple(s for run in (self.run, *self.further) for s in run.experiment.all_seeds)

    @property
    def scores(self) -> Float[np.ndarray, " S"]:
        """Each seed's mean return of the final policy, deterministic."""
        found = [run.evaluation for run in (self.run, *self.further)]
        scores = [x for one in found if one for x in one["deterministic"]["per_seed"]]
        return np.array(scores, np.float64)

    @property
    def following(self) -> Path | None:
        """The run directory that has the next seeds, evaluated or not; None if there is none.
        One that ended before its first checkpoint is none: training begins there."""
        run, following = self.run, self.seeds[-1] + 1
        for path in sorted(_home(run).parent.iterdir()):
            name = re.fullmatch(rf"{re.escape(_home(run).name)}-seeds-(\d+)-(\d+)", path.name)
            if name and int(name[1]) == following and path.is_dir() and not is_unbegun(path):
                return path
        return None

    def folder_for(self, count: int) -> Path:
        """The folder for this many more seeds."""
        home, first = _home(self.run), self.seeds[-1] + 1
        return home.parent / f"{home.name}-seeds-{first}-{first + count - 1}"

    def joined(self, run: Run) -> "RunSample":
        """This sample, with the seeds of another run.

        Raises:
            UphillError: if that is of another experiment, or another evaluation.
        """
        ours, theirs = _described(self.run.experiment), _described(run.experiment)
        differs = [name for name in ours if ours[name] != theirs.get(name)]
        if run.experiment.seed != self.seeds[-1] + 1:
            differs = ["seed"]
        if differs:
            raise UphillError(
                f"{run.path} should have further seeds of {self.run.path} by its name, and its "
                f"{differs[0]} is another: rename it."
            )
        check_evaluations(self.run, run)
        return replace(self, further=(*self.further, run))


def sample_of(run: Run) -> tuple[RunSample, Path | None]:
    """A run with all its further seeds that were evaluated; and the run directory of those that
    were not, if there is one."""
    sample = RunSample(run)
    while (path := sample.following) is not None:
        other = Run(path, **run.given)
        if other.evaluation is None:
            return sample, path
        sample = sample.joined(other)
    return sample, None


def check_evaluations(run: Run, other: Run) -> None:
    """Raises:
    UphillError: if one was evaluated over more episodes than the other.
    """
    ours, theirs = (episodes_of(each) for each in (run, other))
    if ours != theirs:
        more, fewer = sorted((ours, theirs), reverse=True)
        short = other if theirs == fewer else run
        raise UphillError(
            f"{run.path} was evaluated over {ours} episodes, and {other.path} over {theirs}: "
            f"`{call('evaluate', short.path, episodes=more)}`."
        )


def episodes_of(run: Run) -> int:
    """Episodes of each seed's evaluation.

    Raises:
        UphillError: if it was not evaluated.
    """
    evaluation = run.evaluation
    if evaluation is None:
        how = f"`{call('evaluate', run.path)}` evaluates it"
        facts = run.reached
        if facts is None or not facts.is_trained(run.experiment.steps):
            how = f"`{call('resume', run.path)}` trains it to its end, {how} as it is"
        raise UphillError(f"{run.path} has no evaluation.json: {how}.")
    return evaluation["episodes"]


def _described(experiment: Experiment) -> dict[str, object]:
    """What further seeds must share."""
    return {name: x for name, x in encode(experiment).items() if name not in _OF_ONE_RUN}


def _home(run: Run) -> Path:
    """Its folder with a name, also where it was called `.` or `runs/..`."""
    return run.path if run.path.name not in ("", "..") else run.path.resolve()
