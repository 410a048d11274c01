"""Checkpoints: safetensors and JSON, written atomically, verified by checksum, never executed.

`latest.json` names its tensors file and that file's SHA-256, from which the name is made. It is
replaced atomically, after the tensors are safely on disk, so there is always a complete checkpoint.
"""

import hashlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import PyTree

from uphill.errors import UphillError
from uphill.learning.counting import MOST_COUNTED
from uphill.policies.actions import ActionKind
from uphill.policies.encodings import Encoding
from uphill.runs.bounds import check_action_kind, check_encoding, check_names, check_returns
from uphill.runs.configuration import decode, encode
from uphill.runs.divergence import Divergence
from uphill.runs.files import (
    CHECKPOINT_FOLDER,
    NotWrittenError,
    Tensors,
    damaged,
    from_tensors,
    manifest_file,
    mend,
    read_json,
    to_tensors,
)
from uphill.runs.folder import Folder, mend_of
from uphill.runs.machine import Machine, Moved
from uphill.runs.milestones import Milestone, Tracked
from uphill.runs.older import renamed
from uphill.training.guard import NotFinite
from uphill.words import count, option, quoted

WRAPS = "learners.num_wraps"
"""Not among a checkpoint's tensors: its JSON has whole counts."""
CHECKPOINT_FORMAT = 2
READABLE = (1, 2)
"""Formats that can be read: `older.py` knows those before today's."""
# Of earlier versions it has a number, too: the updates when it was written.
_PLAIN_NAME = re.compile(r"[a-z]+-(\d+-)?[0-9a-f]{16}\.safetensors")


@dataclass(frozen=True, kw_only=True)
class History:
    """The history of a training run, besides tensors."""

    seconds: float = 0.0
    """of training, compiling included"""
    compile_seconds: float = 0.0
    recent: tuple[tuple[tuple[float, ...], ...], ...]
    """per seed, newest last: (episodes, sum of their returns) of each update"""
    best_scores: tuple[float | None, ...]
    """per seed: how good its learner in `best` was"""
    best_steps: tuple[int, ...] = ()
    """per seed: its transitions at that score; missing in checkpoints from before this field
    existed"""
    best_seconds: tuple[float, ...] = ()
    """per seed: seconds of training at that moment"""
    evaluated_at: int = 0
    """transitions at the last evaluation while training"""
    tracked: tuple[Tracked, ...]
    """per seed: what its milestones are decided by"""
    milestones: tuple[Milestone, ...] = ()
    """those reached so far"""
    weights_at_first: tuple[tuple[float, ...], ...] = ()
    """the largest weights when training began: of the policies of all seeds, of their value
    functions, and of what the estimator learns, if that has networks; missing in checkpoints from
    before this field existed"""
    diverged: tuple[Divergence | None, ...] = ()
    """per seed: what was seen of learning that diverged"""
    not_finite: tuple[NotFinite | None, ...] = ()
    """per seed: why it stopped, if it did; empty where none has"""
    moved: tuple[Moved, ...] = ()
    """where it was trained before it went on elsewhere, in order"""

    @property
    def steady_seconds(self) -> float:
        """Seconds of training without compiling; never 0."""
        return max(self.seconds - self.compile_seconds, 1e-9)


@dataclass(frozen=True, kw_only=True)
class Standing(History):
    """The progress of a training run when a checkpoint was written: everything that is not a
    tensor."""

    num_updates: int
    num_transitions: tuple[int, ...]
    """per seed"""
    encoding: Encoding
    action_kind: ActionKind
    reward_threshold: float | None
    metrics_offset: int
    """length of `metrics.csv` in bytes; 0 in `best`, from which no training goes on"""
    stopped: bool
    """whether training ended before its steps were done"""
    device: Machine
    """where it was trained last"""

    def __post_init__(self) -> None:
        check_encoding(self.encoding)
        check_action_kind(self.action_kind)
        check_returns(reward_threshold=self.reward_threshold)
        check_names(**{f"device.{name}": value for name, value in self.device.items()})
        for name, values in self._returns().items():
            for value in values:
                check_returns(**{name: value})
        num_seeds = len(self.num_transitions)
        counters = (self.num_updates, self.metrics_offset, self.evaluated_at, *self.num_transitions)
        per_seed = (self.recent, self.best_scores, self.tracked)
        moments = (self.best_steps, self.best_seconds, self.diverged, *self.weights_at_first)
        moments = (*moments, self.not_finite)
        pairs = [pair for recent in self.recent for pair in recent]
        if (
            min(counters) < 0
            or max(counters) > MOST_COUNTED
            or num_seeds < 1
            or any(len(x) != num_seeds for x in per_seed)
            or any(len(x) not in (0, num_seeds) for x in moments)
            or any(len(pair) != 2 for pair in pairs)
        ):
            raise UphillError("The checkpoint's counters do not fit together.")

    def _returns(self) -> dict[str, list[float | None]]:
        """All that were collected, and times, by field."""
        tracked = self.tracked
        return {
            "best_scores": [*self.best_scores],
            "recent": [x for recent in self.recent for pair in recent for x in pair],
            "tracked.first_sum": [x.first_sum for x in tracked],
            "tracked.first_best": [x.first_best for x in tracked],
            "tracked.best": [x.best for x in tracked],
            "tracked.seen": [seen.episode_return for x in tracked for seen in x.seen],
            "milestones.episode_return": [m.episode_return for m in self.milestones],
            "seconds": [self.seconds, self.compile_seconds, *self.best_seconds],
        }

    @property
    def steps_done(self) -> int:
        """Transitions of the seed that has the fewest, of those that have not stopped."""
        reasons = self.not_finite or (None,) * len(self.num_transitions)
        pairs = zip(self.num_transitions, reasons, strict=True)
        return min((n for n, why in pairs if why is None), default=min(self.num_transitions))

    def is_trained(self, steps: int) -> bool:
        """Whether training has come to its end, which is after this many steps unless something
        stopped it before."""
        return self.stopped or self.steps_done >= steps

    @property
    def history(self) -> History:
        """The way so far, by itself."""
        return History(**{field.name: getattr(self, field.name) for field in fields(History)})

    def moment_of_best(self, seed_index: int) -> tuple[int, float]:
        """A seed's transitions, and the seconds of training, when its learner in `best` was so
        good; where that is not known, when `best` was written."""
        if not (self.best_steps and self.best_seconds):
            return self.num_transitions[seed_index], self.seconds
        return self.best_steps[seed_index], self.best_seconds[seed_index]


@dataclass(frozen=True)
class Manifest:
    """The JSON part of a checkpoint."""

    format: int
    tensors: str
    """name of the tensors file beside it"""
    sha256: str
    """checksum of the tensors file"""
    facts: Standing


def write_checkpoint(run: Path, name: str, tree: PyTree, facts: Standing) -> None:
    """Write `tree` and `facts` as the checkpoint `name` of a run, in place of the last one.

    Raises:
        UphillError: if it can't be written; the last one is untouched then.
    """
    content = to_tensors(tree, without=WRAPS)
    checksum = hashlib.sha256(content).hexdigest()
    tensors = f"{name}-{checksum[:16]}.safetensors"
    manifest = encode(Manifest(CHECKPOINT_FORMAT, tensors, checksum, facts))
    try:
        with Folder(run) as outer, outer.inner(CHECKPOINT_FOLDER) as inner:
            inner.write(tensors, content)
            text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
            inner.write(f"{name}.json", text.encode())
            for old in {x for x in inner.names() if x.startswith(f"{name}-")} - {tensors}:
                inner.delete(old)
    except OSError as error:
        raise NotWrittenError(
            f"The checkpoint could not be written to {run / CHECKPOINT_FOLDER} ({error.strerror}): "
            f"{mend_of(error)}, or choose another {option('out')}. What was saved before is whole."
        ) from error


def read_manifest(run: Path, name: str, num_seeds: int | None = None) -> Manifest:
    """The JSON part of a run's checkpoint, for this many seeds if that is known.

    Raises:
        UphillError: if there is none, or it was altered.
    """
    path = manifest_file(run, name)
    if not path.exists():
        raise UphillError(f"There is no checkpoint {path}: {mend(path)}.")
    try:
        document = read_json(path)
    except UphillError as error:
        raise damaged(path, error) from error
    version = document.get("format") if isinstance(document, dict) else None
    if type(version) is not int or version not in READABLE:
        raise UphillError(
            f"{path} has format {quoted(version)}, and this version reads {CHECKPOINT_FORMAT}: use "
            "the version that experiment.json names, or train again."
        )
    try:
        if isinstance(facts := document.get("facts"), dict):
            facts["$type"] = Standing.__name__  # it was called Facts
        manifest = decode(Manifest, document)
    except UphillError as error:
        raise damaged(path, error) from error
    if not _PLAIN_NAME.fullmatch(manifest.tensors) or not manifest.tensors.startswith(f"{name}-"):
        raise damaged(path, "it names no tensors file of its own")
    found = len(manifest.facts.num_transitions)
    if num_seeds not in (None, found):
        raise damaged(path, f"it is of {count(found, 'seed')}, and experiment.json has {num_seeds}")
    return manifest


def read_tensors(run: Path, manifest: Manifest) -> Tensors:
    """The tensors of a run's checkpoint, by name.

    Raises:
        UphillError: if they are missing, truncated or altered.
    """
    path = run / CHECKPOINT_FOLDER / manifest.tensors
    tensors = from_tensors(path, manifest.sha256, f"{path.name.partition('-')[0]}.json")
    tensors = renamed(tensors, manifest.format)
    wraps = np.array([steps >> 32 for steps in manifest.facts.num_transitions], np.uint32)
    return tensors | {WRAPS: wraps}


def has_stopped(run: Path) -> bool:
    """Whether none of its seeds has finite numbers any more.

    Raises:
        UphillError: if its checkpoint is damaged.
    """
    if not manifest_file(run, "latest").exists():
        return False
    return all(read_manifest(run, "latest").facts.not_finite or [None])
