"""What TensorBoard and Weights & Biases get: read back with TensorBoard's own reader, and from the
files that W&B keeps offline."""

import importlib.machinery
import json
import os
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as Served,
)
from wandb.proto import wandb_internal_pb2

import uphill
from small_runs import small_ppo, small_vpg, train_small
from uphill.cli import main
from uphill.errors import UphillError
from uphill.runs.configuration import encode
from uphill.runs.experiment import Experiment, make_experiment, read_experiment
from uphill.runs.metrics import MetricsFile, read_metrics
from uphill.sessions import sinks as module
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.sinks import Sinks, TensorBoard, WeightsAndBiases, check_installed

Curves = dict[str, list[tuple[int, float]]]
"""For each column the steps and values, in the order in which they came."""
EVALUATION = {
    "deterministic": {"per_seed": [7.0, 8.0]},
    "stochastic": {"per_seed": [5.0, 6.0]},
}


def experiment(num_seeds: int = 2) -> Experiment:
    return Experiment(
        env="CartPole-v1",
        is_callable=False,
        env_kwargs={},
        backend="compiled",
        algo="ppo",
        algorithm=small_ppo(),
        seed=3,
        seeds=num_seeds,
        steps=1000,
    )


def rows(*steps: int, value: float = 0.0) -> list[dict[str, Any]]:
    """A logging point at which each seed has its own steps."""
    return [
        {"seed": 3 + s, "steps": x, "update": 1, "policy/kl": value + s, "gradient/snr": None}
        for s, x in enumerate(steps)
    ]


def in_tensorboard(run: Path, seed: int) -> Curves:
    reader = EventAccumulator(str(run / "tensorboard" / f"seed{seed}"), {"scalars": 0}).Reload()
    scalars = {tag: reader.Scalars(tag) for tag in reader.Tags()["scalars"]}
    return {tag: [(x.step, x.value) for x in events] for tag, events in scalars.items()}


def in_metrics(run: Path, seed: int) -> Curves:
    columns = read_metrics(run)
    own = columns["seed"] == seed
    steps = columns["steps"][own]
    is_new = np.diff(steps, prepend=0) > 0  # a seed that has its steps waits for the others
    curves = {}
    for name, column in columns.items():
        known = is_new & np.isfinite(column[own])
        if name not in ("seed", "steps") and known.any():
            curves[name] = [*zip(steps[known].astype(int), column[own][known], strict=True)]
    return curves


def assert_same(found: Curves, expected: Curves) -> None:
    assert set(found) == set(expected)
    for name, points in expected.items():
        steps, values = zip(*points, strict=True)
        assert tuple(step for step, _ in found[name]) == steps, name
        np.testing.assert_allclose([x for _, x in found[name]], values, rtol=1e-6)


class Records:
    """What one of W&B's offline files holds: blocks of 32 KiB with records that are whole (1), or
    come in a first (2), middle (3) and last (4) part."""

    def __init__(self, path: Path) -> None:
        self.history: Curves = defaultdict(list)
        self.summary: dict[str, Any] = {}
        for record in map(self.parsed, self.whole(path.read_bytes())):
            if record.HasField("run"):
                self.run = record.run
            elif record.HasField("history"):
                for item in record.history.item:
                    name = item.key or ".".join(item.nested_key)
                    if not name.startswith("_"):
                        point = (record.history.step.num, json.loads(item.value_json))
                        self.history[name].append(point)
            elif record.HasField("summary"):
                for item in record.summary.update:
                    name = item.key or ".".join(item.nested_key)
                    self.summary[name] = json.loads(item.value_json)
            elif record.HasField("exit"):
                self.exit_code = record.exit.exit_code

    @staticmethod
    def whole(content: bytes) -> Iterator[bytes]:
        at, parts = 7, b""
        while at < len(content):
            if 32768 - at % 32768 < 7:  # no room for a header
                at += 32768 - at % 32768
                continue
            _, length, kind = struct.unpack_from("<IHB", content, at)
            parts += content[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):
                yield parts
                parts = b""

    @staticmethod
    def parsed(content: bytes) -> Any:
        record: Any = wandb_internal_pb2
        record = record.Record()
        record.ParseFromString(content)
        return record

    @property
    def config(self) -> dict[str, Any]:
        return {item.key: json.loads(item.value_json) for item in self.run.config.update}


def in_wandb(run: Path) -> list[Records]:
    """The files of a run directory, the oldest first; W&B's own process may have some to write
    still when a run is finished."""
    ends = time.monotonic() + 60
    while True:
        paths = sorted((run / "wandb").glob("offline-run-*/*.wandb"), key=os.path.getmtime)
        records = [Records(path) for path in paths]
        is_whole = all(
            hasattr(record, "run") and hasattr(record, "exit_code") for record in records
        )
        if is_whole or time.monotonic() > ends:
            return records
        time.sleep(0.1)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.teardown()


# --- TensorBoard --------------------------------------------------------------------------------


def test_tensorboard_gets_what_metrics_csv_gets_also_after_a_resume(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", small_vpg(), seeds=2, log="tensorboard")
    for seed in (0, 1):
        found = in_tensorboard(run.path, seed)
        last = run.summary()["steps"][seed]
        for kind in ("deterministic", "stochastic"):
            (point,) = found.pop(f"final/{kind}_return")
            assert point == (last, pytest.approx(run.evaluation[kind]["per_seed"][seed]))
        assert_same(found, in_metrics(run.path, seed))
    run = uphill.resume(run.path, steps=900, quiet=True, episodes=4)
    for seed in (0, 1):
        found = in_tensorboard(run.path, seed)
        del found["final/deterministic_return"], found["final/stochastic_return"]
        assert_same(found, in_metrics(run.path, seed))
        assert found["update"][-1][0] >= 900


def test_what_was_logged_after_the_checkpoint_is_taken_back(tmp_path: Path) -> None:
    first = TensorBoard(tmp_path, experiment(), [0, 0])
    for steps in (100, 200, 300, 400):
        first.write(rows(steps, steps + 1, value=1.0))
    first.finish(None)
    # A crash, and a checkpoint at 200 steps: files are read in their order within a second, too.
    second = TensorBoard(tmp_path, experiment(), [200, 201])
    for steps in (300, 400, 500):
        second.write(rows(steps, steps + 1, value=2.0))
    second.finish(EVALUATION)
    found = in_tensorboard(tmp_path, 4)
    assert found["policy/kl"] == [(101, 2.0), (201, 2.0), (301, 3.0), (401, 3.0), (501, 3.0)]
    assert found["final/deterministic_return"] == [(501, 8.0)]
    # TensorBoard's own server reads in another way.
    served = Served(str(tmp_path / "tensorboard/seed4")).Reload()
    assert [event.step for event in served.Tensors("policy/kl")] == [101, 201, 301, 401, 501]
    assert "gradient/snr" not in found
    assert "steps" not in found


def test_a_seed_that_waits_for_the_others_gets_nothing_more(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, experiment(), [0, 0])
    for other in (100, 200, 300):
        board.write(rows(min(other, 200), other))
    board.finish(None)
    assert [step for step, _ in in_tensorboard(tmp_path, 3)["policy/kl"]] == [100, 200]
    assert [step for step, _ in in_tensorboard(tmp_path, 4)["policy/kl"]] == [100, 200, 300]
    assert "final/deterministic_return" not in in_tensorboard(tmp_path, 3)


# --- Weights & Biases ---------------------------------------------------------------------------


@pytest.mark.usefixtures("offline")
def test_wandb_gets_a_run_for_each_seed_and_stdout_stays_the_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    small = [*("--policy.hidden", "8", "--baseline.network.hidden", "8", "--num-epochs", "1")]
    words = ["train", "CartPole-v1", *small, "--steps", "600", "--seeds", "2", "--episodes", "2"]
    assert main([*words, "--log", "wandb", "--out", str(out), "--json"]) == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)["run"] == str(out)
    assert printed.out.count("\n") == 1
    assert f"Weights & Biases: offline, in {out / 'wandb'}." in printed.err
    assert "wandb: " not in printed.err
    records = sorted(in_wandb(out), key=lambda found: found.run.display_name)
    saved = read_experiment(out)
    for seed, found in enumerate(records):
        assert found.run.display_name == f"run-seed{seed}"
        assert (found.run.run_group, found.run.project) == ("run", "uphill")
        assert found.config["algorithm"] == json.loads(json.dumps(encode(saved.algorithm)))
        assert (found.config["seed"], found.config["env"]) == (seed, "CartPole-v1")
        assert_same(found.history, in_metrics(out, seed))
        evaluation = uphill.load(out).evaluation
        assert evaluation is not None
        for kind in ("deterministic", "stochastic"):
            expected = evaluation[kind]["per_seed"][seed]
            assert found.summary[f"final/{kind}_return"] == pytest.approx(expected)
        assert found.exit_code == 0
    assert len(records) == 2


@pytest.mark.usefixtures("offline")
def test_wandb_goes_on_with_the_same_run_and_gets_no_row_twice(tmp_path: Path) -> None:
    said: list[str] = []
    first = WeightsAndBiases(tmp_path, experiment(1), said.append)
    for steps in (100, 200, 300):
        first.write(rows(steps))
    first.finish(None)
    # A checkpoint at 100 steps: the rows that come again differ in nothing from those before.
    second = WeightsAndBiases(tmp_path, experiment(1), said.append)
    for steps in (200, 300, 400):
        second.write(rows(steps))
    second.finish(EVALUATION)
    before, after = in_wandb(tmp_path)
    assert before.run.run_id == after.run.run_id
    assert before.run.display_name == tmp_path.name  # one seed is no group
    assert not before.run.run_group
    assert [step for step, _ in before.history["policy/kl"]] == [100, 200, 300]
    assert [step for step, _ in after.history["policy/kl"]] == [400]
    assert (before.exit_code, after.exit_code) == (1, 0)


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_missing_package_is_a_sentence_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a folder where W&B has been, `wandb` without the package is a folder that can be imported.
    specs = {
        "tensorboard": None,
        "wandb": importlib.machinery.ModuleSpec("wandb", None, is_package=True),
    }
    monkeypatch.setattr(module.importlib.util, "find_spec", specs.__getitem__)
    for name in ("tensorboard", "wandb"):
        sentence = f"log={name!r} needs the package {name}: pip install 'uphill\\[{name}\\]'."
        with pytest.raises(UphillError, match=f"^{sentence}$"):
            train_small(tmp_path / "run", log=name)
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    check_installed(("tensorboard", "wandb"))


def test_an_unknown_one_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {**vars(experiment()), "log": ["tensorboard", "mlflow"]}
    with pytest.raises(UphillError, match=r"log\[1\] is 'mlflow': expected .*tensorboard.*wandb"):
        make_experiment(**wrong)
    assert main(["train", "CartPole-v1", "--log", "mlflow"]) == 2
    assert "tensorboard" in capsys.readouterr().err


def test_one_that_cannot_begin_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("no API key\nconfigured.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(
        UphillError, match=r"^log='wandb' could not begin \(no API key configured\):"
    ):
        train_small(tmp_path / "run", log=("wandb",))


def test_one_that_fails_is_let_go_of_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: TensorBoard, rows: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoard, "write", fail)
    run = train_small(tmp_path / "run", log="tensorboard", quiet=False)
    assert min(run.summary()["steps"]) >= 300
    said = capsys.readouterr().err
    assert said.count("log='tensorboard' failed, and gets nothing more") == 1
    assert "No space left on device" in said


class Recording:
    """A sink that remembers, and fails at a call."""

    def __init__(self, fails_at: int = 100) -> None:
        self.calls: list[Any] = []
        self.fails_at = fails_at

    def write(self, rows: Any) -> None:
        self.take(rows)

    def finish(self, evaluation: Any) -> None:
        self.take(evaluation)

    def take(self, what: Any) -> None:
        if len(self.calls) == self.fails_at:
            raise ValueError
        self.calls.append(what)


def test_the_others_still_get_everything_and_all_are_finished_once() -> None:
    said: list[str] = []
    good, bad = Recording(), Recording(fails_at=1)
    sinks = Sinks({"bad": bad, "good": good}, said.append)
    for k in range(3):
        sinks.write([{"steps": k}])
    sinks.finish(None)
    sinks.finish(None)
    assert good.calls == [[{"steps": 0}], [{"steps": 1}], [{"steps": 2}], None]
    assert bad.calls == [[{"steps": 0}]]
    assert said == [
        "log='bad' failed, and gets nothing more (ValueError); metrics.csv has every row."
    ]


def test_an_interrupted_training_finishes_its_sinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Recording()
    monkeypatch.setattr(module, "TensorBoard", lambda *_: sink)

    def interrupt(self: MetricsFile) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MetricsFile, "sync", interrupt)
    with pytest.raises(Interrupted):
        train_small(tmp_path / "run", log="tensorboard")
    assert sink.calls[-1] is None
