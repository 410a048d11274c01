"""The policies of a run's milestones: `milestones.json`, and a safetensors file for each."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uphill.envs.base import MILESTONE_NAME
from uphill.errors import UphillError
from uphill.policies.actor import Actor
from uphill.runs.bounds import MOST_MILESTONES, check_countable, check_returns
from uphill.runs.configuration import decode, encode
from uphill.runs.files import (
    MILESTONES_FILE,
    MILESTONES_FOLDER,
    from_tensors,
    make_inner,
    not_written,
    read_json,
    read_tensors_file,
    to_tensors,
    tree_from,
    write_file,
    write_json,
)
from uphill.runs.folder import Folder
from uphill.runs.milestones import Milestone
from uphill.words import abridged, quoted


@dataclass(frozen=True)
class Milestones:
    """The contents of `milestones.json`, in the order in which they were reached."""

    milestones: tuple[Milestone, ...]


def keep_policy(run: Path, milestone: Milestone, actor: Actor) -> Milestone:
    """Write the policy of a milestone; the milestone, with the file's checksum.

    Nothing waits for the disk: training goes on meanwhile, and the checksum detects what a power
    failure damaged.

    Raises:
        UphillError: if it can't be written.
    """
    content, path = to_tensors(actor), _path(run, milestone)
    try:
        with Folder(run) as folder, folder.inner(MILESTONES_FOLDER) as inner:
            inner.write(path.name, content, is_durable=False)
    except OSError as error:
        raise not_written(path, error) from error
    return replace(milestone, sha256=hashlib.sha256(content).hexdigest())


def copy_policy(source: Path, run: Path, known: Milestone, milestone: Milestone) -> Milestone:
    """Write the policy of a milestone of another run, which is `known` there; the milestone, with
    the file's checksum.

    Raises:
        UphillError: if it can't be read or written.
    """
    original = _path(source, known)
    try:
        content = read_tensors_file(original)
    except OSError as error:
        raise UphillError(f"{original} can't be read: {error.strerror}.") from error
    write_file(
        make_inner(run, MILESTONES_FOLDER) / _path(run, milestone).name, content, is_durable=False
    )
    return replace(milestone, sha256=hashlib.sha256(content).hexdigest())


def write_milestones(run: Path, milestones: tuple[Milestone, ...]) -> None:
    """Write `milestones.json`.

    Raises:
        UphillError: if it can't be written.
    """
    write_json(run / MILESTONES_FILE, encode(Milestones(milestones)), is_durable=False)


def read_milestones(run: Path, num_seeds: int) -> tuple[Milestone, ...]:
    """The milestones of a run; none if there is no such file.

    Raises:
        UphillError: if the file is damaged or was altered.
    """
    path = run / MILESTONES_FILE
    if not path.exists():
        return ()
    try:
        document = read_json(path)
        _check_number(document, num_seeds)
        milestones = decode(Milestones, document).milestones
    except UphillError as error:
        raise UphillError(f"{path} is damaged: {abridged(error)}") from error
    for m in milestones:
        if not MILESTONE_NAME.fullmatch(m.name) or not 0 <= m.seed_index < num_seeds:
            raise UphillError(
                f"{path} was altered: {quoted(m.name)} of seed {m.seed_index} is not a milestone."
            )
        try:
            check_countable(update=m.update, steps=m.steps)
            check_returns(episode_return=m.episode_return, seconds=m.seconds)
        except UphillError as error:
            raise UphillError(f"{path} is damaged: {m.name}'s {abridged(error)}") from error
    if len({(m.seed_index, m.name) for m in milestones}) < len(milestones):
        raise UphillError(f"{path} was altered: a seed has a milestone twice.")
    return milestones


def _check_number(document: Any, num_seeds: int) -> None:
    """Raises:
    UphillError: if it has more milestones than this many seeds can reach.
    """
    found = document.get("milestones") if isinstance(document, dict) else None
    if isinstance(found, list) and len(found) > MOST_MILESTONES * num_seeds:
        raise UphillError(
            f"a seed has at most {MOST_MILESTONES} milestones, and {len(found)} are there."
        )


def read_policy(run: Path, milestone: Milestone, skeleton: Actor) -> Actor:
    """The policy of a milestone; `skeleton` is one of the same shapes.

    Raises:
        UphillError: if its file is missing, damaged, or of another policy.
    """
    path = _path(run, milestone)
    return tree_from(skeleton, from_tensors(path, milestone.sha256, MILESTONES_FILE), path=path)


def _path(run: Path, milestone: Milestone) -> Path:
    return run / MILESTONES_FOLDER / f"{milestone.seed_index}-{milestone.name}.safetensors"
