"""Seeds trained on a Ray cluster of two nodes, both of this machine: `make test-ray`."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import uphill
from command_line import SMALL, parsed, run_cli
from small_runs import rows_of, small_ppo, tensors_of
from uphill.clusters import jobs
from uphill.errors import UphillError
from uphill.runs.saved import SavedRun
from uphill.sessions.interrupts import Interrupted

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ALONE = {"JAX_NUM_CPU_DEVICES": "1", "NPROC": "1"}
"""What a task has. With two devices last digits of diagnostics are other ones."""
NETWORK = SMALL[: SMALL.index("--steps")]
# Long enough to send a parcel, be killed, and go on.
GIVEN: dict[str, Any] = {"seeds": 2, "steps": 300_000, "episodes": 4, "checkpoint_every": 1}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster that this process is connected to, of two nodes with a processor each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # of this cluster alone
        import ray  # which reads these
        from ray.cluster_utils import Cluster

        cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=1)
            ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one machine."""
    out = tmp_path_factory.mktemp("alone") / "run"
    program_alone("train", "CartPole-v1", *NETWORK, *flags_of(GIVEN), "--out", str(out), "--quiet")
    return out


def test_a_killed_worker_costs_time_alone(ray: Any, alone: Path, tmp_path: Path) -> None:
    """Its job goes on elsewhere from what it had sent home, and all come to the same bytes."""
    with at_the_first_parcel(tmp_path, lambda: os.kill(worker(), signal.SIGKILL)):
        run = train(tmp_path / "run")
    check_same(run.path, alone)
    assert not (tmp_path / "run.parts").exists()
    assert run.experiment.seeds == 2


@pytest.mark.ray_long
def test_a_worker_that_is_asked_to_end_is_taken_up_too(
    ray: Any, alone: Path, tmp_path: Path
) -> None:
    """By whatever sends SIGTERM: a node that shuts down."""
    with at_the_first_parcel(tmp_path, lambda: os.kill(worker(), signal.SIGTERM)):
        run = train(tmp_path / "run")
    check_same(run.path, alone)


def test_ctrl_c_saves_and_says_how_to_go_on(ray: Any, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with (
        at_the_first_parcel(tmp_path, lambda: os.kill(os.getpid(), signal.SIGINT)),
        pytest.raises(Interrupted, match=r"Go on with: the same uphill\.train\(…, out="),
    ):
        train(out)
    assert not out.exists()
    with pytest.raises(UphillError, match=r"has what was trained with other steps: give what"):
        train(out, steps=100)
    check_same(train(out, checkpoint_every=2).path, alone)


def test_what_a_task_can_not_do_is_one_sentence(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"out": tmp_path / "run", "ray": "auto", "quiet": True, "seeds": 2}
    for field, value in (("eval_every", 100), ("stop_when_solved", True), ("on_point", print)):
        with pytest.raises(UphillError, match=f"^{field}.*leave it out, or train without ray"):
            uphill.train("CartPole-v1", small_ppo(), **given, **{field: value})

    def broken() -> Any:
        """An environment whose maker raises on a node, but not here."""
        assert "RAY_RAYLET_PID" not in os.environ, "there is no such device"
        return gymnasium.make("CartPole-v1")

    with pytest.raises(UphillError, match="AssertionError: there is no such device") as raised:
        uphill.train(broken, small_ppo(), backend="gymnasium", steps=100, **given)
    assert "RayTaskError" not in str(raised.value)
    given["out"] = tmp_path / "other"
    versions = jobs.installed_versions() | {"uphill": "9.9"}
    monkeypatch.setattr("uphill.clusters.dispatch.installed_versions", lambda: versions)
    with pytest.raises(UphillError, match=r"has uphill .* in place of 9\.9: install the same"):
        uphill.train("CartPole-v1", small_ppo(), steps=100, **given)


@pytest.mark.ray_long
def test_a_killed_node_costs_time_alone(ray: Any, alone: Path, tmp_path: Path) -> None:
    """What ran there goes on on the node that is left."""
    lost = ray.add_node(num_cpus=1)
    with at_the_first_parcel(tmp_path, lambda: ray.remove_node(lost, allow_graceful=False)):
        run = train(tmp_path / "run")
    check_same(run.path, alone)


@pytest.mark.ray_long
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "elsewhere"])
def test_an_address_where_no_cluster_is(address: str, tmp_path: Path) -> None:
    """In a process of its own: this one is connected."""
    words = ["train", "CartPole-v1", "--out", str(tmp_path / "run"), "--ray", address, "--quiet"]
    command = [sys.executable, "-m", "uphill.cli", *words]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


@pytest.mark.ray_long
def test_a_sweep_on_a_cluster_is_that_of_one_machine(ray: Any, tmp_path: Path) -> None:
    grid = ("--grid", "optimizer.learning-rate=1e-3,3e-3", "--steps", "2000")
    by_itself("sweep", *grid, out=tmp_path / "here")
    _, algorithm, _ = parsed("CartPole-v1", *NETWORK)
    given = FEW | {"grid": {"optimizer.learning_rate": [1e-3, 3e-3]}, "steps": 2000}
    there = uphill.sweep("CartPole-v1", algorithm, out=tmp_path / "there", ray="auto", **given)
    assert len(there.runs) == 2
    for run in there.runs:
        check_same(run.path, tmp_path / "here" / run.path.name)


@pytest.mark.ray_long
def test_a_search_on_a_cluster_is_that_of_one_machine(ray: Any, tmp_path: Path) -> None:
    asked = {"trials": 2, "fresh_seeds": 2, "steps": 2000}
    search = "optimizer.learning-rate=1e-4:1e-2:log"
    by_itself("tune", *flags_of(asked), "--search", search, out=tmp_path / "here")
    _, algorithm, _ = parsed("CartPole-v1", *NETWORK)
    given = FEW | asked | {"search": {"optimizer.learning_rate": "1e-4:1e-2:log"}}
    there = uphill.tune("CartPole-v1", algorithm, out=tmp_path / "there", ray="auto", **given)
    check_all_same(there.path, tmp_path / "here", 4)  # two trials, the winner and the default


@pytest.mark.ray_long
def test_a_study_of_sensitivity_on_a_cluster_is_that_of_one_machine(
    ray: Any, tmp_path: Path
) -> None:
    asked = ["CartPole-v1", "CartPole-v0", "--algo", "vpg", "--steps", "2000", "--fresh-seeds", "2"]
    asked += ["--grid", "optimizer.learning-rate=1e-3,3e-3", *flags_of(FEW)]
    program_alone("sensitivity", *asked, "--out", str(tmp_path / "here"))
    assert run_cli("sensitivity", *asked, "--out", tmp_path / "there", "--ray", "auto") == 0
    fresh = len([*(tmp_path / "here/vpg-fresh").rglob("evaluation.json")])
    assert fresh >= 2
    check_all_same(tmp_path / "there", tmp_path / "here", 4 + fresh)


@pytest.mark.ray_long
def test_a_reproduction_on_a_cluster_is_that_of_one_machine(ray: Any, tmp_path: Path) -> None:
    asked = ["step-by-step", "--seeds", "2", "--steps", "1000", "--quiet"]
    program_alone("reproduce", *asked, "--out", str(tmp_path / "here"))
    assert run_cli("reproduce", *asked, "--out", tmp_path / "there", "--ray", "auto") == 0
    check_all_same(tmp_path / "there", tmp_path / "here", 2)  # the source's and ours


FEW: dict[str, Any] = {"seeds": 2, "episodes": 4, "quiet": True}


def by_itself(command: str, *words: str, out: Path) -> None:
    """The same of CartPole-v1 by a process that has no cluster, and one device."""
    program_alone(command, "CartPole-v1", *NETWORK, *words, *flags_of(FEW), "--out", str(out))


def program_alone(*words: str) -> None:
    program = [sys.executable, "-m", "uphill.cli", *words]
    subprocess.run(program, env=os.environ | ALONE, check=True, stdout=subprocess.DEVNULL)


def flags_of(given: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in given.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def train(out: Path, **changes: Any) -> uphill.Run:
    given = GIVEN | {"out": out, "ray": "auto", "quiet": True} | changes
    _, algorithm, _ = parsed("CartPole-v1", *NETWORK)
    return uphill.train("CartPole-v1", algorithm, **given)


@contextmanager
def at_the_first_parcel(folder: Path, act: Callable[[], object]) -> Iterator[None]:
    """Act once, when a job has sent home what it has."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            if [*folder.glob("*.parts/*.zip")]:
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def worker() -> int:
    """The process of a task."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.read_bytes().startswith(b"ray::attempted"):
            return int(path.parent.name)
    raise AssertionError("no task is running")


def check_all_same(study: Path, other: Path, number: int) -> None:
    """All runs of a folder, and those of another one."""
    found = [evaluation.parent for evaluation in study.rglob("evaluation.json")]
    assert len(found) == number
    for run in found:
        check_same(run, other / run.relative_to(study))


def check_same(run: Path, other: Path) -> None:
    """Last digits of what programs of their own measure may depend on how many seeds there are."""
    for found, expected in zip(rows_of(run), rows_of(other), strict=True):
        for name in ("gradient/snr", "policy/kl"):
            measured = [float(row.pop(name, "") or "nan") for row in (found, expected)]
            assert measured[0] == pytest.approx(measured[1], rel=1e-3, nan_ok=True)
        assert found == expected
    assert SavedRun(run).evaluation == SavedRun(other).evaluation
    for name in ("latest", "best"):
        found, expected = tensors_of(run, name), tensors_of(other, name)
        assert found.keys() == expected.keys()
        assert all((found[x] == expected[x]).all() for x in found)
