"""Checkpoints: what goes in comes out, in one step, and nothing else is ever believed."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from standing import FACTS
from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest, read_tensors, write_checkpoint
from uphill.runs.files import tree_from, write_file

MEND = r"copy the run directory again, or train again with the command in experiment\.json"
OTHER_CHECKSUM = rf"damaged \(its checksum is not that in latest\.json\): {MEND}\.$"


def tree(seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "weights": generator.normal(size=(2, 3)).astype(np.float32),
        "counts": [np.uint32(seed), np.arange(4)],
        "absent": None,
        "key": jax.random.split(jax.random.key(seed), 2),
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path, "latest", tree(), FACTS)
    return tmp_path


@pytest.fixture
def folder(run: Path) -> Path:
    return run / "checkpoint"


def read(run: Path, seed: int = 1) -> Any:
    """The checkpoint, in a skeleton that has other numbers."""
    return tree_from(tree(seed), read_tensors(run, read_manifest(run, "latest")))


def assert_same(found: Any, expected: Any) -> None:
    leaves = [jax.tree.leaves(x) for x in (found, expected)]
    for a, b in zip(*leaves, strict=True):
        if isinstance(b, jax.Array):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_what_goes_in_comes_out(run: Path) -> None:
    assert read_manifest(run, "latest").facts == FACTS
    assert [FACTS.moment_of_best(s) for s in (0, 1)] == [(40, 1.25), (0, 0.0)]
    earlier = replace(FACTS, best_steps=(), best_seconds=())  # as it was written without them
    assert [earlier.moment_of_best(s) for s in (0, 1)] == [(64, 1.5), (70, 1.5)]
    assert_same(read(run), tree(0))


def test_next_checkpoint_replaces_the_last_and_leaves_nothing_behind(
    run: Path, folder: Path
) -> None:
    (folder / "latest-9-0000000000000000.safetensors.tmp").write_bytes(b"of a process killed")
    write_checkpoint(run, "best", tree(7), FACTS)
    write_checkpoint(run, "latest", tree(2), replace(FACTS, num_updates=4))
    assert_same(read(run), tree(2))
    assert len(list(folder.iterdir())) == 4  # two of each: JSON, and its tensors
    assert read_manifest(run, "best").facts == FACTS


def disk_full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_at(count: int, real: Callable) -> Callable:
    """`real`, but the disk is full from its `count`-th call on."""
    calls = iter(range(10**6))
    return lambda *a, **k: disk_full() if next(calls) >= count else real(*a, **k)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_crash_at_any_write_leaves_the_last_checkpoint_whole(
    where: str, count: int, run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, where, fails_at(count, getattr(os, where)))
    with pytest.raises(UphillError, match=r"No space left on device.*saved before is whole"):
        write_checkpoint(run, "latest", tree(2), replace(FACTS, num_updates=4))
    monkeypatch.undo()
    assert_same(read(run), tree(0))
    assert read_manifest(run, "latest").facts == FACTS
    write_checkpoint(run, "latest", tree(2), replace(FACTS, num_updates=4))
    assert_same(read(run), tree(2))
    assert len(list(folder.iterdir())) == 2


def test_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evaluation.json"
    write_file(path, b"old")
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(UphillError, match=r"evaluation.json could not be written \(No space"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# --- damage -------------------------------------------------------------------------------------


def tensors_file(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def alter(folder: Path, **changes: Any) -> None:
    """Change the JSON of the checkpoint; dots lead into its facts."""
    path = folder / "latest.json"
    document = json.loads(path.read_text())
    for name, value in changes.items():
        owner = document if name in document else document["facts"]
        owner[name] = value
    path.write_text(json.dumps(document))


def test_truncated_tensors(run: Path, folder: Path) -> None:
    path = tensors_file(folder)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UphillError, match=OTHER_CHECKSUM):
        read(run)


def test_one_altered_bit_of_the_tensors(run: Path, folder: Path) -> None:
    path = tensors_file(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UphillError, match=OTHER_CHECKSUM):
        read(run)


def test_missing_tensors(run: Path, folder: Path) -> None:
    tensors_file(folder).unlink()
    with pytest.raises(UphillError, match=rf"can't be read \(No such file .*\): {MEND}\.$"):
        read(run)


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=rf"There is no checkpoint .*: {MEND}\.$"):
        read(tmp_path)


def test_where_one_checkpoint_is_lost_the_other_is_named(run: Path, folder: Path) -> None:
    path = tensors_file(folder)
    write_checkpoint(run, "best", tree(), FACTS)
    path.write_bytes(b"")
    with pytest.raises(
        UphillError, match=rf"{MEND} \(uphill.load\(run, checkpoint='best'\) has oth"
    ):
        read(run)
    (folder / "best.json").write_text("{")
    with pytest.raises(UphillError, match=rf"damaged \(.* {MEND} \(.* checkpoint='latest'\) has"):
        read_manifest(run, "best")


def test_tensors_that_are_no_safetensors(run: Path, folder: Path) -> None:
    content = b"\xff" * 7 + b"\x7f" + b'{"a": "huge header"}'
    tensors_file(folder).write_bytes(content)
    alter(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(UphillError, match="is damaged"):
        read(run)


@pytest.mark.parametrize(
    "name",
    [
        "../../secret-0-0123456789abcdef.safetensors",
        "/etc/passwd",
        "latest-3-0123456789abcdef.safetensors\n",
        "latest-0123456789abcdef.safetensors/../x",
        "",
        "x.pkl",
    ],
)
def test_tensors_elsewhere_are_never_opened(name: str, run: Path, folder: Path) -> None:
    alter(folder, tensors=name)
    with pytest.raises(UphillError, match="names no tensors file of its own"):
        read(run)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        "null",
        "\x00\x01",
        '{"format": 1}',
        '{"format": 2, "facts": {}}',
        '{"$type": "Manifest", "format": 1, "tensors": 3, "sha256": "", "facts": {}}',
        '{"$type": "os.system", "format": 1, "command": "true"}',
        "[" * 100_000,
        "1" * 10_000,
    ],
)
def test_hostile_json_is_one_sentence(text: str, run: Path, folder: Path) -> None:
    (folder / "latest.json").write_text(text)
    with pytest.raises(UphillError, match=r"latest\.json"):
        read_manifest(run, "latest")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_updates": "many"},
        {"num_updates": -1},
        {"num_updates": 1.5},
        {"num_updates": True},
        {"num_transitions": []},
        {"num_transitions": {"0": 64}},
        {"num_transitions": [64, -70]},
        {"best_scores": [1.0]},
        {"best_scores": ["high", None]},
        {"best_steps": [40]},
        {"best_seconds": ["soon", 0.0]},
        {"recent": [[[1.0]], []]},
        {"recent": [[["__import__", "os"]], []]},
        {"recent": [[]]},
        {"seconds": None},
        {"seconds": float("nan")},
        {"metrics_offset": -5},
        {"encoding": {"$type": "Facts"}},
        {"encoding": {"$type": "Numbers"}},
        {"action_kind": {"$type": "Choice", "size": "2", "start": 0, "dtype": "int64"}},
        {"device": "cpu"},
        {"surprise": 1},
    ],
    ids=str,
)
def test_facts_of_the_wrong_kind_are_one_sentence(
    changes: dict[str, Any], run: Path, folder: Path
) -> None:
    alter(folder, **changes)
    with pytest.raises(UphillError, match=r"latest\.json is damaged"):
        read_manifest(run, "latest")


@pytest.mark.parametrize(
    ("skeleton", "sentence"),
    [
        (tree() | {"weights": np.zeros((3, 2), np.float32)}, r"weights should be float32\[3, 2\]"),
        (tree() | {"weights": np.zeros((2, 3), np.float64)}, r"the file has float32\[2, 3\]"),
        (tree() | {"more": np.zeros(1)}, r"more should be .* the file has none"),
    ],
    ids=["shape", "type", "missing"],
)
def test_tensors_that_do_not_fit(skeleton: Any, sentence: str, run: Path) -> None:
    tensors = read_tensors(run, read_manifest(run, "latest"))
    with pytest.raises(UphillError, match=sentence):
        tree_from(skeleton, tensors)
