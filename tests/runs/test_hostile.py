"""Run directories that somebody altered: whatever reads one gives what it gave before, or one
sentence that names the file. Nothing else is written, and the index of other runs stays."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import uphill
from uphill.errors import UphillError
from uphill.runs.bounds import LARGEST_HEADER
from uphill.runs.lock import RunLock
from uphill.sessions.resume import go_on
from uphill.views.plots.curves import curves_figure
from uphill.views.report.page import report_page
from uphill.views.report.shelf import Shelf

KEPT = Path(__file__).parents[1] / "data/runs"
DISCRETE, BOUNDED = "ppo_kl_penalty", "a2c"

Alter = Callable[[Path], None]


def load(run: Path) -> None:
    opened = uphill.load(run)
    assert opened.learners.num_updates.shape == (2,)
    assert opened.summary()["seeds"] == 2
    assert len(opened.milestones) <= 4


def plot(run: Path) -> None:
    curves_figure([uphill.load(run)])


def report(run: Path) -> None:
    assert report_page(uphill.load(run), films=False).html.rstrip().endswith("</html>")


def resume(run: Path) -> None:
    """Until before its first update."""
    with RunLock(run):
        session = go_on(run, steps=10_000, quiet=True)
        session.evaluations.close()
        session.trainer.close()
        session.sinks.finish(None)


READERS = (load, plot, report, resume)


def document(file: str, field: str, value: Any) -> Alter:
    """Another value of a field of a JSON file; dots lead to it."""

    def alter(run: Path) -> None:
        content = json.loads((run / file).read_text())
        *way, last = [int(x) if x.isdecimal() else x for x in field.split(".")]
        owner = content
        for name in way:
            owner = owner[name]
        owner[last] = value
        (run / file).write_text(json.dumps(content))

    return alter


def text(file: str, old: str, new: str) -> Alter:
    def alter(run: Path) -> None:
        assert old in (run / file).read_text()
        (run / file).write_text((run / file).read_text().replace(old, new, 1))

    return alter


def tensors_of(run: Path) -> Path:
    return run / "checkpoint" / json.loads((run / LATEST).read_text())["tensors"]


def replaced(file: str, make: Callable[[Path], None]) -> Alter:
    """Something else in the place of a file; `tensors` are those of the checkpoint."""

    def alter(run: Path) -> None:
        path = tensors_of(run) if file == "tensors" else run / file
        path.unlink(missing_ok=True)
        make(path)

    return alter


def written(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def tensors(content: bytes) -> Alter:
    """Other tensors, with the right checksum."""

    def alter(run: Path) -> None:
        tensors_of(run).write_bytes(content)
        document(LATEST, "sha256", hashlib.sha256(content).hexdigest())(run)

    return alter


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def milestones(count: int, **changes: Any) -> Alter:
    def alter(run: Path) -> None:
        one = {"$type": "Milestone", "name": "solved", "seed_index": 0, "update": 1, "steps": 8}
        one |= {"seconds": 1.0, "episode_return": 20.0, "sha256": "ab"} | changes
        several = [one | ({"name": f"m{k}"} if k else {}) for k in range(count)]
        found = {"$type": "Milestones", "milestones": several}
        (run / "milestones.json").write_text(json.dumps(found))

    return alter


EXPERIMENT, LATEST, METRICS = "experiment.json", "checkpoint/latest.json", "metrics.csv"
EVALUATION = "evaluation.json"
RETURN = "rollout/episode_return"
HALF = "\ud800"  # of a character: JSON can say it, and no file or page can
EMPTY = {f"t{k}": np.zeros(0, np.float32) for k in range(40_000)}

# What is altered, and what the sentence says beside the file.
EXPERIMENTS: dict[str, tuple[str, Any, str]] = {
    "steps 10^4000": ("steps", 10**4000, "steps is no finite number"),
    "steps 2^60": ("steps", 2**60, "steps is 1152921504606846976"),
    "steps 2^70": ("steps", 2**70, "steps is .* of 64 bits"),
    "no steps": ("steps", 0, "steps is 0"),
    "steps as text": ("steps", "150", "steps is '150'"),
    "steps that are true": ("steps", True, "steps is True"),
    "seeds": ("seeds", 10**8, "2 seeds, and experiment.json has 100000000"),
    "a seed too few": ("seeds", 1, "2 seeds, and experiment.json has 1"),
    "seed 2^31": ("seed", 2**31, "seed is 2147483648"),
    "episodes": ("episodes", 10**20, "episodes is"),
    "eval_every": ("eval_every", 2**60, "eval_every is"),
    "max_episode_steps": ("max_episode_steps", -5, "max_episode_steps is -5"),
    "checkpoint_every": ("checkpoint_every", float("nan"), "checkpoint_every is no finite"),
    "half a character in env": ("env", HALF, "env is no text"),
    "half a character in algo": ("algo", f"p{HALF}o", "algo is no text"),
    "half a character in a name": ("env_kwargs", {HALF: 1}, "env_kwargs has a name that is no"),
    "deep": ("env_kwargs", {"x": nested(900)}, r"env_kwargs\.x.* is nested more than 64 deep"),
    "infinite": ("env_kwargs", {"x": float("inf")}, r"env_kwargs\.x is no finite number"),
    "a backend": ("backend", "quantum", "backend is 'quantum'"),
    "another part": ("algorithm.surrogate.$type", "Popen", r"algorithm\.surrogate is"),
    "another field": ("algorithm.surrogate.shell", 1, "has no field shell"),
    "hidden": ("algorithm.policy.hidden", [50_000, 50_000], r"policy\.hidden is \[50000, 50000\]"),
    "hidden 10^9": ("algorithm.policy.hidden", [10**9], r"policy\.hidden is \[1000000000\]"),
    "hidden -1": ("algorithm.policy.hidden", [-1], "hidden"),
    "hidden of V": ("algorithm.baseline.network.hidden", [10**9], r"baseline\.network\.hidden is"),
    "a wider policy": ("algorithm.policy.hidden", [5], "checkpoint does not fit: "),
    "environments": ("algorithm.sampling.num_envs", 2**33, r"sampling\.num_envs is 8589934592"),
    "minibatches": ("algorithm.num_minibatches", 10**15 + 1, "num_minibatches is 1000000000000001"),
}
FACTS: dict[str, tuple[str, Any, str]] = {
    "shape -4": ("encoding.shape", [-4], r"encoding\.shape is \(-4,\)"),
    "shape 2^64": ("encoding.shape", [2**64], r"encoding\.shape.* of 64 bits"),
    "shape 10^9": ("encoding.shape", [10**9], r"encoding\.shape is \(1000000000,\)"),
    "shape 2^16 squared": ("encoding.shape", [2**16, 2**16], r"encoding\.shape is \(65536, 65536"),
    "shape 2^25": ("encoding.shape", [2**25], "hidden is .*, for 33554432 numbers"),
    "shape 5": ("encoding.shape", [5], "checkpoint does not fit: "),
    "shape as text": ("encoding.shape", "4", r"encoding\.shape is '4'"),
    "another encoding": ("encoding.$type", "Standing", "encoding is"),
    "dtype object": ("action_kind.dtype", "object", r"action_kind\.dtype is 'object'"),
    "dtype of texts": ("action_kind.dtype", "U10", r"action_kind\.dtype is 'U10'"),
    "dtype of fields": ("action_kind.dtype", "i4,i4", r"action_kind\.dtype is 'i4,i4'"),
    "start 2^80": ("action_kind.start", 2**80, r"action_kind.*start.* of 64 bits"),
    "start 2^63": ("action_kind.start", 2**63, r"action_kind\.start is"),
    "no choices": ("action_kind.size", 0, "action_kind has 0 choices"),
    "choices": ("action_kind.size", 10**12, "action_kind has 1000000000000 choices"),
    "choices 2^26": ("action_kind.size", 2**26, "policy.hidden is"),
    "offset -3": ("metrics_offset", -3, "counters do not fit"),
    "offset 2^60": ("metrics_offset", 2**60, "counters do not fit"),
    "offset past the end": ("metrics_offset", 10**6, "bytes, and had 1000000"),
    "updates -1": ("num_updates", -1, "counters do not fit"),
    "updates 10^30": ("num_updates", 10**30, "num_updates is .* of 64 bits"),
    "transitions 10^30": ("num_transitions", [10**30, 5], r"num_transitions\[0\] is"),
    "transitions of no seed": ("num_transitions", [], "counters do not fit"),
    "transitions of one seed": ("num_transitions", [420], "counters do not fit"),
    "a threshold": ("reward_threshold", 1.7e308, r"reward_threshold is 1\.7e\+308"),
    "an infinite threshold": ("reward_threshold", float("inf"), "reward_threshold is no finite"),
    "returns": ("recent.0", [[1.0, 1.7e308]], r"recent is 1\.7e\+308"),
    "a pair of three": ("recent.0", [[1.0, 2.0, 3.0]], "counters do not fit"),
    "scores": ("best_scores", [1.7e308, None], r"best_scores is 1\.7e\+308"),
    "first returns": ("tracked.0.first_sum", -1.7e308, r"tracked\.first_sum is -1\.7e\+308"),
    "seconds": ("seconds", 1.7e308, r"seconds is 1\.7e\+308"),
    "a device": ("device", "cpu", "device is 'cpu'"),
}
ALTERED: dict[str, tuple[Alter, str, str]] = {
    **{name: (document(EXPERIMENT, f, x), "", says) for name, (f, x, says) in EXPERIMENTS.items()},
    **{name: (document(LATEST, f"facts.{f}", x), "", says) for name, (f, x, says) in FACTS.items()},
    "format": (document(LATEST, "format", 99), LATEST, "has format 99"),
    "a format that is true": (document(LATEST, "format", True), LATEST, "has format True"),
    "a list for a format": (document(LATEST, "format", [2]), LATEST, "has format"),
    "tensors elsewhere": (document(LATEST, "tensors", "../../x"), LATEST, "names no tensors file"),
    "no checksum": (document(LATEST, "sha256", ""), ".safetensors", "checksum"),
    "milestone 10^40": (milestones(1, steps=10**40), "milestones.json", "steps"),
    "milestone 10^18": (milestones(1, steps=10**18), "milestones.json", "solved's steps is"),
    "milestone 1.7e308": (milestones(1, episode_return=1.7e308), "milestones.json", "episode_retu"),
    "milestone of seed 9": (milestones(1, seed_index=9), "milestones.json", "is no milestone"),
    "milestone elsewhere": (milestones(1, name="../x"), "milestones.json", "is no milestone"),
    "milestones": (milestones(20_000), "milestones.json", "at most 256 milestones"),
    "a mean": (document(EVALUATION, "deterministic.mean", 1.7e308), EVALUATION, "damaged"),
    "evaluated episodes": (document(EVALUATION, "episodes", 10**40), EVALUATION, "damaged"),
    "evaluated as true": (document(EVALUATION, "episodes", True), EVALUATION, "damaged"),
    "evaluated NaN": (document(EVALUATION, "episodes", float("nan")), EVALUATION, "is no finite"),
    "an evaluated seed": (document(EVALUATION, "stochastic.per_seed", [1]), EVALUATION, "damaged"),
    "a list of evaluations": (replaced(EVALUATION, written(b"[]")), EVALUATION, ""),
    "another column": (text(METRICS, RETURN, "return"), METRICS, f"has no column {RETURN}"),
    "a column twice": (text(METRICS, "value/loss", "steps"), METRICS, "has a column twice"),
    "an infinite step": (text(METRICS, "0,1,32,", "0,1,inf,"), METRICS, "line 2 has inf as steps"),
    "half a step": (text(METRICS, "0,1,32,", "0,1,0.5,"), METRICS, "line 2 has 0.5 as steps"),
    "a word": (text(METRICS, "0,1,32,", "0,1,many,"), METRICS, "many"),
    "no update": (text(METRICS, "0,1,32,", "0,,32,"), METRICS, "update"),
    "another line": (text(METRICS, "\n", "\n1,2\n"), METRICS, "line"),
    "no rows of text": (replaced(METRICS, written(b"\xff\xfe")), METRICS, ""),
    "empty tensors": (tensors(save(EMPTY)), ".safetensors", "header has more than 1,048,576"),
    "a header of 2^63 bytes": (tensors(b"\xff" * 7 + b"\x7f{}"), ".safetensors", "damaged"),
    "no header": (tensors(b""), ".safetensors", "damaged"),
    "other tensors": (tensors(save({"x": np.zeros(3)})), "", "checkpoint does not fit"),
    **{
        f"a pipe for {file}": (replaced(file, os.mkfifo), file, "is no regular file")
        for file in ("tensors", EXPERIMENT, LATEST, METRICS, EVALUATION)
    },
    **{
        f"a device for {file}": (
            replaced(file, lambda path: path.symlink_to("/dev/zero")),
            file,
            "is no regular file",
        )
        for file in ("tensors", EXPERIMENT, LATEST, METRICS, EVALUATION)
    },
    **{
        f"a folder for {file}": (replaced(file, Path.mkdir), file, "is a folder")
        for file in ("tensors", EXPERIMENT, LATEST, METRICS, EVALUATION)
    },
    **{
        f"brackets for {file}": (
            replaced(file, written(b"[" * 10**5)),
            file,
            "is no JSON",
        )
        for file in (EXPERIMENT, LATEST, EVALUATION)
    },
}  # fmt: skip


def outcome(reader: Callable[[Path], None], run: Path) -> str:
    """What a reader says; nothing where all is well."""
    try:
        reader(run)
    except UphillError as error:
        return str(error)
    return ""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.write_bytes(b"theirs")
    return path


@pytest.mark.parametrize("base", [DISCRETE, BOUNDED])
def test_what_nobody_altered_is_read_by_all(base: str, tmp_path: Path) -> None:
    run = shutil.copytree(KEPT / base, tmp_path / "run")
    assert [outcome(reader, run) for reader in READERS] == [""] * len(READERS)


@pytest.mark.parametrize("name", ALTERED)
def test_altered_run_is_one_sentence_that_names_the_file(
    name: str, tmp_path: Path, outside: Path
) -> None:
    alter, file, says = ALTERED[name]
    run = shutil.copytree(KEPT / DISCRETE, tmp_path / "runs" / "altered")
    shutil.copytree(KEPT / BOUNDED, tmp_path / "runs" / "whole")
    alter(run)
    before = {path for path in tmp_path.rglob("*") if run not in path.parents}
    said = {reader.__name__: outcome(reader, run) for reader in READERS}
    refused = [sentence for sentence in said.values() if sentence]
    assert refused, "nobody noticed"
    file = ".safetensors" if file == "tensors" else file
    for sentence in refused:
        assert file in sentence or "metrics.csv" in sentence, sentence
        assert "\n" not in sentence
        assert len(sentence) < 1000
    assert any(re.search(says, sentence) for sentence in refused), said
    page = Shelf(tmp_path / "runs").index().html
    assert "whole" in page
    assert "160 of" in page or "Pendulum" in page
    assert {path for path in tmp_path.rglob("*") if run not in path.parents} == before
    assert outside.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("low", [3.0], r"action_kind\.low is not below action_kind\.high"),
        ("low", [-2.0, -2.0], r"action_kind\.low are 2, and its shape is \(1,\)"),
        ("family", "cauchy", r"action_kind\.family is 'cauchy'"),
        ("dtype", "complex64", r"action_kind\.dtype is 'complex64'"),
        ("shape", [10**9], r"action_kind\.shape is \(1000000000,\)"),
    ],
)
def test_altered_bounds_of_actions(field: str, value: Any, says: str, tmp_path: Path) -> None:
    run = shutil.copytree(KEPT / BOUNDED, tmp_path / "run")
    document(LATEST, f"facts.action_kind.{field}", value)(run)
    with pytest.raises(UphillError, match=rf"latest\.json is damaged \({says}"):
        load(run)


def test_offset_before_the_rows_of_the_checkpoint_changes_nothing(tmp_path: Path) -> None:
    run = shutil.copytree(KEPT / DISCRETE, tmp_path / "run")
    before = (run / METRICS).read_bytes()
    document(LATEST, "facts.metrics_offset", 3)(run)
    assert [outcome(reader, run) for reader in READERS] == [""] * len(READERS)
    assert (run / METRICS).read_bytes() == before


def test_what_could_not_be_read_again_is_not_trained(tmp_path: Path) -> None:
    for env_kwargs in ({"x": nested(900)}, {"x": nested(70)}, {"x": HALF}):
        with pytest.raises(UphillError, match=r"env_kwargs.* (nested more than 64 deep|no text)"):
            uphill.train("CartPole-v1", env_kwargs=env_kwargs, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_headers_of_our_own_are_far_below_the_bound() -> None:
    for path in KEPT.glob("*/checkpoint/*.safetensors"):
        assert 20 * int.from_bytes(path.read_bytes()[:8], "little") < LARGEST_HEADER
