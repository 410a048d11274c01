"""Run directories whose training ended before the first checkpoint: nothing was learned, so the
same experiment may start in them."""

import dataclasses
import os
from pathlib import Path

from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.runs.configuration import encode
from uphill.runs.experiment import OF_THE_PROCESS, Experiment, read_experiment
from uphill.runs.files import CHECKPOINT_FOLDER, EXPERIMENT_FILE
from uphill.runs.folder import HALF
from uphill.runs.lock import LOCK_FILE
from uphill.runs.own_parts import OwnParts, own_parts_in
from uphill.words import listed, option

_AT_FIRST = {EXPERIMENT_FILE, LOCK_FILE, CHECKPOINT_FOLDER, "tensorboard", "wandb"}
"""What is written before the first checkpoint is whole."""
_NOT_COMPARED = (*OF_THE_PROCESS, "checkpoint_every", "devices")


def is_unbegun(run: Path) -> bool:
    """Whether the folder has nothing but what a training writes before its first checkpoint."""
    try:
        names = {name.removesuffix(HALF) for name in os.listdir(run)}
        saved = os.listdir(run / CHECKPOINT_FOLDER) if CHECKPOINT_FOLDER in names else []
    except OSError:
        return False
    if not names <= _AT_FIRST or "latest.json" in saved:
        return False
    try:
        # The best learners are written first; those of no update are the ones that it began with.
        best = read_manifest(run, "best") if "best.json" in saved else None
    except UphillError:
        return False
    return best is None or best.facts.num_updates == 0


def check_same(run: Path, experiment: Experiment) -> None:
    """Raises:
    UphillError: if the folder was made for another experiment, or there are two different ones.
    """
    if differ := _differing(run, experiment):
        raise UphillError(
            f"{run} was made for another training, which was ended before it learned anything "
            f"(other {listed(differ)}): choose another {option('out')}, or delete that folder."
        )


def check_continued(run: Path, experiment: Experiment) -> None:
    """Raises:
    UphillError: if the folder has what was trained of another experiment.
    """
    if differ := _differing(run, experiment):
        raise UphillError(
            f"{run} has what was trained with other {listed(differ)}: give what was given then, or "
            f"choose another {option('out')}."
        )


def _differing(run: Path, experiment: Experiment) -> list[str]:
    """The settings in which the experiment of a folder, if there is one, differs from this one."""
    if not (run / EXPERIMENT_FILE).exists():
        return []
    other = read_experiment(run, OwnParts(own_parts_in(experiment.algorithm)))
    fields = [f.name for f in dataclasses.fields(Experiment) if f.name not in _NOT_COMPARED]
    return [
        name for name in fields if encode(getattr(other, name)) != encode(getattr(experiment, name))
    ]
