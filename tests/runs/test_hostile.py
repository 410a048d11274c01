"""Run directories that somebody altered: whatever reads one gives what it gave before, or one
sentence that names the file. Nothing else is written, and the index of other runs stays.

Here is one of each kind; `tests/faults/test_altered.py` has all of them."""

import shutil
from pathlib import Path

import pytest

import uphill
from altered_runs import (
    BOUNDED,
    CORPUS,
    DISCRETE,
    HALF,
    KEPT,
    LATEST,
    METRICS,
    document,
    nested,
    refused_everywhere,
)
from run_readers import READERS, outcome
from uphill.errors import UphillError
from uphill.runs.bounds import LARGEST_HEADER

CORE = (
    *("steps 10^4000", "hidden", "deep", "half a character in env", "another part"),
    *("shape 2^64", "shape 10^9", "dtype object", "start 2^80", "offset past the end"),
    *("a threshold", "milestone 10^40", "a mean", "another column", "an infinite step"),
    *("a header of 2^63 bytes", "sparse tensors", "a pipe for latest tensors"),
    *("a device for metrics.csv", "a folder for experiment.json", "actions' low"),
)


@pytest.mark.parametrize("base", [DISCRETE, BOUNDED])
def test_what_nobody_altered_is_read_by_all(base: str, tmp_path: Path) -> None:
    run = shutil.copytree(KEPT / base, tmp_path / "run")
    shutil.copytree(KEPT / BOUNDED, tmp_path / "other")
    assert not {name: says for name in READERS if (says := outcome(READERS[name], run)[1])}


@pytest.mark.parametrize("name", CORE)
def test_altered_run_is_one_sentence_that_names_the_file(name: str, tmp_path: Path) -> None:
    refused_everywhere(CORPUS[name], tmp_path, ("load", "plot", "report", "resume", "watch"))


def test_offset_before_the_rows_of_the_checkpoint_changes_nothing(tmp_path: Path) -> None:
    run = shutil.copytree(KEPT / DISCRETE, tmp_path / "run")
    before = (run / METRICS).read_bytes()
    document(LATEST, "facts.metrics_offset", 3)(run)
    assert outcome(READERS["resume"], run)[1] == ""
    assert (run / METRICS).read_bytes() == before


def test_what_could_not_be_read_again_is_not_trained(tmp_path: Path) -> None:
    for env_kwargs in ({"x": nested(900)}, {"x": nested(70)}, {"x": HALF}):
        with pytest.raises(
            UphillError, match=r"env_kwargs.* (nested more than 64 deep|not valid text)"
        ):
            uphill.train("CartPole-v1", env_kwargs=env_kwargs, out=tmp_path / "run", quiet=True)
    with pytest.raises(UphillError, match="seeds is 5000: use at most 4096"):
        uphill.train("CartPole-v1", seeds=5000, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_headers_of_our_own_are_far_below_the_bound() -> None:
    for path in KEPT.glob("*/checkpoint/*.safetensors"):
        assert 20 * int.from_bytes(path.read_bytes()[:8], "little") < LARGEST_HEADER
