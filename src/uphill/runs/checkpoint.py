"""Checkpoints: safetensors and JSON, written atomically, checked by a checksum, never executed.

`latest.json` names the tensors file that belongs to it and the file's SHA-256. It is replaced in
one step, after the tensors are safely on disk, so whatever happens there is a whole checkpoint.
"""

import hashlib
import itertools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError
from safetensors.numpy import load, save

from uphill.errors import UphillError
from uphill.policies.actions import ActionKind
from uphill.policies.encodings import Encoding
from uphill.runs.configuration import decode, encode
from uphill.runs.milestones import Milestone, Tracked
from uphill.runs.older import renamed

FORMAT = 2
READABLE = (1, 2)
"""Formats that can be read: `older.py` knows those before today's."""
_PLAIN_NAME = re.compile(r"[a-z]+-\d+-[0-9a-f]{16}\.safetensors")


@dataclass(frozen=True)
class Facts:
    """What a checkpoint holds beside its tensors: counters, and what the spaces look like."""

    num_updates: int
    num_transitions: tuple[int, ...]
    """per seed"""
    encoding: Encoding
    action_kind: ActionKind
    reward_threshold: float | None
    seconds: float
    compile_seconds: float
    metrics_offset: int
    """length of `metrics.csv` in bytes"""
    recent: tuple[tuple[tuple[float, ...], ...], ...]
    """per seed, newest last: (episodes, sum of their returns) of each update"""
    best_scores: tuple[float | None, ...]
    evaluated_at: int
    tracked: tuple[Tracked, ...]
    """per seed: what its milestones are decided by"""
    milestones: tuple[Milestone, ...]
    """those reached so far"""
    stopped: bool
    """whether training ended before its steps were done"""
    device: dict[str, str]
    best_steps: tuple[int, ...] = ()
    """per seed: transitions when its learner in `best` was so good; a checkpoint that was written
    before there was this field has none"""
    best_seconds: tuple[float, ...] = ()
    """per seed: seconds of training at that moment"""

    def __post_init__(self) -> None:
        num_seeds = len(self.num_transitions)
        counters = (self.num_updates, self.metrics_offset, self.evaluated_at, *self.num_transitions)
        per_seed = (self.recent, self.best_scores, self.tracked)
        moments = (self.best_steps, self.best_seconds)
        pairs = [pair for recent in self.recent for pair in recent]
        if (
            min(counters) < 0
            or num_seeds < 1
            or any(len(x) != num_seeds for x in per_seed)
            or any(len(x) not in (0, num_seeds) for x in moments)
            or any(len(pair) != 2 for pair in pairs)
        ):
            raise UphillError("The checkpoint's counters do not fit together.")

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
    facts: Facts


def write_checkpoint(folder: Path, name: str, tree: PyTree, facts: Facts) -> None:
    """Write `tree` and `facts` as the checkpoint `name`, in place of the last one.

    Raises:
        UphillError: if it can't be written; the last one is untouched then.
    """
    content = to_tensors(tree)
    checksum = hashlib.sha256(content).hexdigest()
    tensors = f"{name}-{facts.num_updates}-{checksum[:16]}.safetensors"
    manifest = encode(Manifest(FORMAT, tensors, checksum, facts))
    try:
        folder.mkdir(exist_ok=True)
        _write_atomically(folder / tensors, content)
        text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
        _write_atomically(folder / f"{name}.json", text.encode())
        for old in folder.glob(f"{name}-*"):
            if old.name != tensors:
                old.unlink()
    except OSError as error:
        raise UphillError(
            f"The checkpoint could not be written to {folder} ({error.strerror}): free some space "
            "or choose another --out. What was saved before is whole."
        ) from error


def write_file(path: Path, content: bytes, is_durable: bool = True) -> None:
    """Write a file in one step: whatever happens, it holds the old content or the new one. One that
    is not durable may be lost if the power fails, and costs no wait for the disk.

    Raises:
        UphillError: if it can't be written.
    """
    try:
        _write_atomically(path, content, is_durable)
    except OSError as error:
        raise UphillError(
            f"{path} could not be written ({error.strerror}): free some space or choose another "
            "folder. What was saved before is whole."
        ) from error


def make_folder(folder: Path) -> Path:
    """The folder, made if it is not there.

    Raises:
        UphillError: if it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UphillError(
            f"The folder {folder} can't be made ({error.strerror}): choose another --out."
        ) from error
    return folder


def unused(path: Path) -> Path:
    """The path, or the first of NAME-2, NAME-3, … where nothing is yet."""
    others = (path.with_name(f"{path.name}-{k}") for k in itertools.count(2))
    return next(free for free in itertools.chain([path], others) if not free.exists())


def read_json(path: Path) -> Any:
    """A file of plain JSON.

    Raises:
        UphillError: if it can't be read, or is none.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise UphillError(f"{path} can't be read: {reason}.") from error


def read_manifest(folder: Path, name: str) -> Manifest:
    """The JSON part of a checkpoint.

    Raises:
        UphillError: if there is none, or it was altered.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        raise UphillError(f"There is no checkpoint {path}: {_mend(path)}.")
    try:
        document = read_json(path)
    except UphillError as error:
        raise _damaged(path, error) from error
    found = document.get("format") if isinstance(document, dict) else None
    if found not in READABLE:
        raise UphillError(
            f"{path} has format {found!r}, and this version reads {FORMAT}: use the version that "
            "experiment.json names, or train again."
        )
    try:
        manifest = decode(Manifest, document)
    except UphillError as error:
        raise _damaged(path, error) from error
    if not _PLAIN_NAME.fullmatch(manifest.tensors):
        raise _damaged(path, "it names no tensors file of its own")
    return manifest


def _damaged(path: Path, why: object) -> UphillError:
    return UphillError(f"The checkpoint {path} is damaged ({str(why).rstrip('.')}): {_mend(path)}.")


def _mend(path: Path) -> str:
    """What helps where a file of a run is lost."""
    other = "best" if path.name.startswith("latest") else "latest"
    mend = "copy the run directory again, or train again with the command in experiment.json"
    if (path.parent / f"{other}.json").exists():
        mend += f" (uphill.load(run, checkpoint={other!r}) has other policies)"
    return mend


def read_tensors(folder: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint, by name.

    Raises:
        UphillError: if they are missing, truncated or altered.
    """
    tensors = from_tensors(folder / manifest.tensors, manifest.sha256)
    return renamed(tensors, manifest.format)


def to_tensors(tree: PyTree) -> bytes:
    """The contents of a safetensors file; tensors are named by their place in the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return save({_name(path): np.asarray(_plain(leaf), order="C") for path, leaf in leaves})


def from_tensors(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file with this checksum, by name.

    Raises:
        UphillError: if they are missing, truncated or altered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UphillError(
            f"The checkpoint {path} can't be read ({error.strerror}): {_mend(path)}."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _damaged(path, "its checksum does not match")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def restore(skeleton: PyTree, tensors: dict[str, np.ndarray], prefix: str = "") -> PyTree:
    """`skeleton`, with the numbers of the file.

    Raises:
        UphillError: if a tensor is missing or has another shape or type.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(skeleton)
    restored = []
    for path, leaf in leaves:
        name = prefix + _name(path)
        expected = _plain(leaf)
        found = tensors.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            have = "none" if found is None else f"{found.dtype}{list(found.shape)}"
            raise UphillError(
                f"The checkpoint does not fit: {name} should be "
                f"{expected.dtype}{list(expected.shape)}, and the file has {have}: give the "
                "network of training, and leave experiment.json as training wrote it."
            )
        restored.append(_like(leaf, found))
    return jax.tree_util.tree_unflatten(structure, restored)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(leaf: Any, found: np.ndarray) -> Any:
    if not _is_key(leaf):
        return found
    return jax.random.wrap_key_data(jnp.asarray(found), impl=jax.random.key_impl(leaf))


def _write_atomically(path: Path, content: bytes, is_durable: bool = True) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
