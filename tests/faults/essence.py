"""What two runs of the same bytes have in common, and what is true of every run directory."""

import hashlib
import json
from pathlib import Path
from typing import Any

import uphill
from small_runs import rows_of

TIMES = {"seconds", "compile_seconds", "best_seconds", "metrics_offset"}
"""Fields that a clock wrote, and the length of a file that has times in it."""


def essence(run: Path) -> dict[str, Any]:
    """All that a run directory holds, times apart, by file."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or name == "lock":
            continue
        if name == "metrics.csv":
            found[name] = rows_of(run)
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text()))
            if name.startswith("checkpoint"):
                found[name].pop("tensors")
                if "best" in name:
                    found[name] = found[name]["sha256"], found[name]["facts"]["best_steps"]
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    # Where it was written, and by which words, is another for each.
    found["experiment.json"] = {**found["experiment.json"], "command": ""}
    return found


def _timeless(document: Any) -> Any:
    if isinstance(document, dict):
        return {k: _timeless(x) for k, x in document.items() if k not in TIMES}
    return [_timeless(x) for x in document] if isinstance(document, list) else document


def differences(run: Path, whole: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What a run directory has otherwise than `whole`, by file."""
    found = essence(run)
    names = sorted(found.keys() | whole.keys())
    return {x: (found.get(x), whole.get(x)) for x in names if found.get(x) != whole.get(x)}


def check_whole(run: Path) -> None:
    """Whatever happened, there is a checkpoint that can be read, and no half a file."""
    opened = uphill.load(run)
    assert opened.learners.num_updates.shape == (opened.experiment.seeds,)
    assert opened.summary()["steps"]
    _ = opened.evaluation, opened.milestones
