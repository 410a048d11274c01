"""The policies of a run's milestones: `milestones.json`, and a safetensors file for each."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from uphill.errors import UphillError
from uphill.policies.actor import Actor
from uphill.runs.configuration import decode, encode
from uphill.runs.files import (
    MILESTONES_FILE,
    from_tensors,
    make_folder,
    read_json,
    restore,
    to_tensors,
    write_file,
)
from uphill.runs.milestones import Milestone

FOLDER = "milestones"
_PLAIN_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Milestones:
    """The contents of `milestones.json`, in the order in which they were reached."""

    milestones: tuple[Milestone, ...]


def keep_policy(run: Path, milestone: Milestone, actor: Actor) -> Milestone:
    """Write the policy of a milestone; the milestone, with the file's checksum.

    Nothing waits for the disk: training goes on meanwhile, and what a failing power takes is told
    by the checksum.

    Raises:
        UphillError: if it can't be written.
    """
    make_folder(run / FOLDER)
    content = to_tensors(actor)
    write_file(_path(run, milestone), content, is_durable=False)
    return replace(milestone, sha256=hashlib.sha256(content).hexdigest())


def write_milestones(run: Path, milestones: tuple[Milestone, ...]) -> None:
    """Write `milestones.json`.

    Raises:
        UphillError: if it can't be written.
    """
    document = encode(Milestones(milestones))
    content = (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
    write_file(run / MILESTONES_FILE, content, is_durable=False)


def read_milestones(run: Path, num_seeds: int) -> tuple[Milestone, ...]:
    """The milestones of a run; none if there is no such file.

    Raises:
        UphillError: if the file is damaged or was altered.
    """
    path = run / MILESTONES_FILE
    if not path.exists():
        return ()
    try:
        milestones = decode(Milestones, read_json(path)).milestones
    except UphillError as error:
        raise UphillError(f"{path} is damaged: {error}") from error
    for m in milestones:
        if not _PLAIN_NAME.fullmatch(m.name) or not 0 <= m.seed_index < num_seeds:
            raise UphillError(
                f"{path} was altered: {m.name!r} of seed {m.seed_index} is no milestone."
            )
    return milestones


def read_policy(run: Path, milestone: Milestone, skeleton: Actor) -> Actor:
    """The policy of a milestone; `skeleton` is one of the same shapes.

    Raises:
        UphillError: if its file is missing, damaged, or of another policy.
    """
    path = _path(run, milestone)
    return restore(skeleton, from_tensors(path, milestone.sha256))


def _path(run: Path, milestone: Milestone) -> Path:
    return run / FOLDER / f"{milestone.seed_index}-{milestone.name}.safetensors"
