"""Folders are packed whole, also while somebody writes in them."""

import json
from pathlib import Path

import pytest

from uphill.clusters import parcels
from uphill.clusters.parcels import names_in, packed, unpack_parcel
from uphill.errors import UphillError


def checkpoint(folder: Path, tensors: str, named: str) -> None:
    (folder / "run/checkpoint").mkdir(parents=True)
    (folder / "run/checkpoint/latest.json").write_text(json.dumps({"tensors": named}))
    (folder / f"run/checkpoint/{tensors}").write_bytes(b"\0\1")


def test_what_was_packed_is_unpacked(tmp_path: Path) -> None:
    checkpoint(tmp_path / "here", "latest-1.safetensors", "latest-1.safetensors")
    for name in ("lock", "metrics.csv", "metrics.csv.tmp"):
        (tmp_path / "here/run" / name).write_text(name)
    parcel = packed(tmp_path / "here")
    unpack_parcel(parcel, tmp_path / "there")
    found = {str(x.relative_to(tmp_path / "there")) for x in tmp_path.glob("there/**/*.*")}
    assert found == set(names_in(parcel))
    assert found == {
        "run/metrics.csv",
        "run/checkpoint/latest.json",
        "run/checkpoint/latest-1.safetensors",
    }
    assert (tmp_path / "there/run/checkpoint/latest-1.safetensors").read_bytes() == b"\0\1"


def test_a_checkpoint_is_packed_with_its_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the names and the contents, a training replaces one checkpoint by the next."""
    checkpoint(tmp_path, "latest-1.safetensors", "latest-2.safetensors")

    def wait(_: float) -> None:
        (tmp_path / "run/checkpoint/latest-2.safetensors").write_bytes(b"\2")

    monkeypatch.setattr(parcels.time, "sleep", wait)
    assert "run/checkpoint/latest-2.safetensors" in names_in(packed(tmp_path))


def test_one_that_never_fits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path, "latest-1.safetensors", "latest-2.safetensors")
    monkeypatch.setattr(parcels.time, "sleep", lambda _: None)
    with pytest.raises(UphillError, match="can't be packed"):
        packed(tmp_path)
