"""Checkpoints: safetensors and JSON, written atomically, checked by a checksum, never executed.

`latest.json` names the tensors file that belongs to it and the file's SHA-256. It is replaced in
one step, after the tensors are safely on disk, so whatever happens there is a whole checkpoint.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError
from safetensors.numpy import load, save

from uphill.errors import UphillError

FORMAT = 1
_PLAIN_NAME = re.compile(r"[a-z]+-\d+-[0-9a-f]{16}\.safetensors")


def write_checkpoint(folder: Path, name: str, tree: PyTree, facts: dict[str, Any]) -> None:
    """Write `tree` and `facts` as the checkpoint `name`, in place of the last one.

    Raises:
        UphillError: if it can't be written; the last one is untouched then.
    """
    content = save(_to_tensors(tree))
    checksum = hashlib.sha256(content).hexdigest()
    tensors = f"{name}-{facts.get('num_updates', 0)}-{checksum[:16]}.safetensors"
    document = {"format": FORMAT, "tensors": tensors, "sha256": checksum, **facts}
    try:
        folder.mkdir(exist_ok=True)
        _write_atomically(folder / tensors, content)
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        _write_atomically(folder / f"{name}.json", text.encode())
        for old in folder.glob(f"{name}-*.safetensors"):
            if old.name != tensors:
                old.unlink()
    except OSError as error:
        raise UphillError(
            f"The checkpoint could not be written to {folder} ({error.strerror}): free some space "
            "or choose another --out. What was saved before is whole."
        ) from error


def read_facts(folder: Path, name: str) -> dict[str, Any]:
    """The JSON part of a checkpoint.

    Raises:
        UphillError: if there is none, or it can't be read.
    """
    path = folder / f"{name}.json"
    try:
        facts = json.loads(path.read_text())
        if facts["format"] != FORMAT:
            raise UphillError(f"{path} has format {facts['format']}: this version reads {FORMAT}.")
        if not _PLAIN_NAME.fullmatch(facts["tensors"]):
            raise UphillError(f"{path} names no tensors file of its own: it was altered.")
    except FileNotFoundError:
        raise UphillError(f"There is no checkpoint {path}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, UphillError):
            raise
        raise UphillError(f"The checkpoint {path} is damaged: it is no JSON we wrote.") from error
    return facts


def read_tensors(folder: Path, facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint, by name.

    Raises:
        UphillError: if they are missing, truncated or altered.
    """
    path = folder / facts["tensors"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UphillError(f"The checkpoint {path} can't be read ({error.strerror}).") from error
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise UphillError(f"The checkpoint {path} is damaged: its checksum does not match.")
    try:
        return load(content)
    except (SafetensorError, ValueError) as error:
        raise UphillError(f"The checkpoint {path} is damaged: {error}.") from error


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
                f"{expected.dtype}{list(expected.shape)}, and the file has {have}."
            )
        restored.append(_like(leaf, found))
    return jax.tree_util.tree_unflatten(structure, restored)


def _to_tensors(tree: PyTree) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): np.ascontiguousarray(_plain(leaf)) for path, leaf in leaves}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(leaf: Any, found: np.ndarray) -> Any:
    if not _is_key(leaf):
        return found
    return jax.random.wrap_key_data(found, impl=jax.random.key_impl(leaf))


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
