import os
import subprocess
import sys
from pathlib import Path

import pytest

from uphill.errors import UphillError
from uphill.training import cores
from uphill.training.cores import usable_cores, use_threads


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that may use eight cores, of a container without a limit."""
    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)


def test_cores_are_those_that_the_process_is_bound_to() -> None:
    assert usable_cores() == 8


@pytest.mark.parametrize(
    ("quota", "expected"), [("max", 8), ("150000", 2), ("400000", 4), ("1000", 1), ("9900000", 8)]
)
def test_a_container_has_its_share(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert usable_cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3)])
def test_the_first_version_of_control_groups(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == expected


def test_threads_limit_the_cores() -> None:
    use_threads(3)
    assert os.environ["NPROC"] == "3"
    assert usable_cores() == 3


def test_without_a_number_they_are_the_cores_of_the_process() -> None:
    use_threads()
    assert os.environ["NPROC"] == "8"


def test_a_variable_that_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPROC", "2")
    use_threads()
    assert os.environ["NPROC"] == "2"
    assert usable_cores() == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(threads: int) -> None:
    with pytest.raises(UphillError, match=f"threads is {threads}: use at least 1"):
        use_threads(threads)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_jax_starts_as_many_threads_as_that() -> None:
    """What XLA makes of the variable: eight more threads for each pool of it."""
    count = """
import sys
from pathlib import Path
from uphill.training.cores import use_threads
use_threads(int(sys.argv[1]))
import jax
jax.devices()
print(len(list(Path("/proc/self/task").iterdir())))
"""
    environment = {name: x for name, x in os.environ.items() if name != "NPROC"}

    def threads(number: int) -> int:
        command = [sys.executable, "-c", count, str(number)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert threads(9) - threads(1) >= 8
