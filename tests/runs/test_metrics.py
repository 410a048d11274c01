"""`metrics.csv`."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uphill.errors import UphillError
from uphill.runs.metrics import MetricsFile, read_metrics, summarize_window


def window(**changes: Any) -> dict[str, np.ndarray]:
    """Three updates of two seeds; the second seed waits in the last one."""
    rows = {
        "updated": np.array([[1, 1], [1, 1], [1, 0]]),
        "num_episodes": np.array([[2, 0], [0, 0], [1, 0]]),
        "return_sum": np.array([[30.0, 0.0], [0.0, 0.0], [3.0, 0.0]], np.float32),
        "length_sum": np.array([[30, 0], [0, 0], [6, 0]]),
        "policy/entropy": np.array([[0.6, 0.5], [0.5, 0.3], [0.1, 99.0]], np.float32),
    }
    return rows | changes


def test_window_means_count_episodes_and_updates_once() -> None:
    first, second = (summarize_window(window(), s) for s in (0, 1))
    assert first["rollout/episode_return"] == 33 / 3  # a mean over episodes, not over updates
    assert first["rollout/episode_length"] == 36 / 3
    assert first["rollout/num_episodes"] == 3
    assert first["policy/entropy"] == pytest.approx(0.4)
    assert second["rollout/episode_return"] is None
    assert second["policy/entropy"] == pytest.approx(0.4)  # the update that it waited out is not in


def test_milestones_of_a_world_are_shares_of_the_episodes() -> None:
    summary = summarize_window(
        window(**{"reached:full_lap": np.array([[1, 0], [0, 0], [1, 0]])}), 0
    )
    assert summary["rollout/full_lap"] == 2 / 3


def test_updates_that_measured_nothing_are_no_zeros_in_a_mean() -> None:
    nan = np.nan
    rows = window(**{"policy/kl": np.array([[nan, nan], [nan, nan], [0.25, 9.0]], np.float32)})
    assert summarize_window(rows, 0)["policy/kl"] == 0.25
    assert summarize_window(rows, 1)["policy/kl"] is None  # it waited where it would have


def row(steps: int, seed: int = 0, **cells: Any) -> dict[str, Any]:
    """A row with the columns that every picture needs."""
    always = {"time/seconds": 1.5, "rollout/episode_return": 20.0}
    return {"seed": seed, "steps": steps, **always, **cells}


def test_rows_are_read_back_and_empty_cells_are_nan(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append([row(32, **{"a/b": 1 / 3}), row(31, 1, **{"a/b": None})])
    file.append([row(64, **{"a/b": float("nan")}), row(62, 1, **{"a/b": 2})])
    columns = read_metrics(tmp_path)
    assert list(columns) == [*row(0), "a/b"]
    np.testing.assert_array_equal(columns["steps"], [32, 31, 64, 62])
    np.testing.assert_allclose(columns["a/b"], [1 / 3, np.nan, np.nan, 2], rtol=1e-7)
    assert file.offset == (tmp_path / "metrics.csv").stat().st_size


def test_new_columns_of_a_file_that_is_gone_are_a_sentence(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append([row(32)])
    (tmp_path / "metrics.csv").unlink()
    with pytest.raises(UphillError, match=r"metrics\.csv could not be written \(No such file"):
        file.append([row(64) | {"own/reach": 1.0}])


def test_resumed_file_is_cut_back_and_goes_on_in_the_same_columns(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append([row(32)])
    offset = file.offset
    file.append([row(64)])
    resumed = MetricsFile(tmp_path, offset)
    resumed.append([dict(reversed(row(65).items()))])
    np.testing.assert_array_equal(read_metrics(tmp_path)["steps"], [32, 65])


def test_a_crash_after_new_columns_leaves_the_rows_of_the_checkpoint(tmp_path: Path) -> None:
    """The file is wider then than when the checkpoint counted its bytes."""
    file = MetricsFile(tmp_path)
    file.append([row(32, seed=s, update=1) for s in (0, 1)])
    file.append([row(64, seed=s, update=2) for s in (0, 1)])
    offset = file.offset
    file.append([row(96, seed=s, update=3) | {"own/reach, in m": 0.5} for s in (0, 1)])
    with (tmp_path / "metrics.csv").open("a") as cut_off:
        cut_off.write("0,4")
    resumed = MetricsFile(tmp_path, offset, num_updates=2)
    assert resumed.offset == (tmp_path / "metrics.csv").stat().st_size
    resumed.append([row(96, seed=s, update=3) for s in (0, 1)])
    columns = read_metrics(tmp_path)
    np.testing.assert_array_equal(columns["update"], [1, 1, 2, 2, 3, 3])
    assert np.isnan(columns["own/reach, in m"]).all()
    with pytest.raises(UphillError, match="is damaged: it holds"):
        MetricsFile(tmp_path, resumed.offset, num_updates=2)


def test_file_resumed_from_before_its_first_row_starts_again(tmp_path: Path) -> None:
    MetricsFile(tmp_path).append([row(32)])
    MetricsFile(tmp_path, 0).append([row(33)])
    np.testing.assert_array_equal(read_metrics(tmp_path)["steps"], [33])


def test_full_disk_is_one_sentence_and_earlier_rows_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = MetricsFile(tmp_path)
    file.append([row(32)])
    offset = file.offset

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UphillError, match=r"metrics.csv could not be written \(No space left"):
        file.sync()
    monkeypatch.undo()
    with Path("/dev/full").open("wb") as device:
        monkeypatch.setattr(os, "fdopen", lambda *_: device)
        with pytest.raises(UphillError, match=r"metrics.csv could not be written \(No space left"):
            file.append([row(64)])
        monkeypatch.undo()
    assert file.offset == offset
    MetricsFile(tmp_path, file.offset)
    np.testing.assert_array_equal(read_metrics(tmp_path)["steps"], [32])


def test_missing_or_shortened_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=r"can't be cut back .*No such file"):
        MetricsFile(tmp_path, 10)
    (tmp_path / "metrics.csv").write_text("seed,steps\n0,1\n")
    with pytest.raises(UphillError, match="damaged: it holds 15 bytes, and had 20"):
        MetricsFile(tmp_path, 20)


@pytest.mark.parametrize("text", ["", "seed,steps\n0,1\n0\n", "seed\nzero\n", "seed\n\x00\n"])
def test_damaged_file_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UphillError, match=r"metrics.csv can't be read"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.csv").unlink()
    with pytest.raises(UphillError, match=r"metrics.csv is not there yet"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("seed", "0.5", "line 2 has 0.5 as seed"),
        ("steps", "inf", "line 2 has inf as steps"),
        ("steps", "", "line 2 has nan as steps"),
        ("update", "-1", "line 2 has -1 as update"),
        ("time/seconds", "nan", "line 2 has nan as time/seconds"),
        ("rollout/episode_return", "1.7e308", r"line 2 has 1\.7e\+308 as rollout/episode_return"),
        ("rollout/episode_return", "-inf", "line 2 has -inf as rollout/episode_return"),
    ],
)
def test_numbers_that_training_does_not_write_are_named(
    column: str, cell: str, says: str, tmp_path: Path
) -> None:
    cells = {"update": 1} | row(32) | {column: cell}
    text = ",".join(cells) + "\n" + ",".join(str(x) for x in cells.values()) + "\n"
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UphillError, match=rf"metrics\.csv can't be read: {says}\.$"):
        read_metrics(tmp_path)
    MetricsFile(tmp_path).append([row(32)])
    for name in row(32):
        renamed = (tmp_path / "metrics.csv").read_text().replace(name, "other", 1)
        (tmp_path / "renamed").mkdir(exist_ok=True)
        (tmp_path / "renamed" / "metrics.csv").write_text(renamed)
        with pytest.raises(UphillError, match=f"it has no column {name}"):
            read_metrics(tmp_path / "renamed")
