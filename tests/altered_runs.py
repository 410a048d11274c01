"""Run directories that somebody altered, made by code: what is altered, in which file, and what the
sentence says that refuses it. `run_readers.py` has what reads them."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from run_readers import READERS, outcome

KEPT = Path(__file__).parent / "data/runs"
DISCRETE, BOUNDED, MILESTONES = "ppo_kl_penalty", "a2c", "ppo"

Alter = Callable[[Path], None]


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


def replaced(file: str, make: Callable[[Path], None]) -> Alter:
    """Something else in the place of a file."""

    def alter(run: Path) -> None:
        path = file_of(run, file)
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
        file_of(run, TENSORS).write_bytes(content)
        document(LATEST, "sha256", hashlib.sha256(content).hexdigest())(run)

    return alter


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def truncated(file: str, part: float) -> Alter:
    """Only the first part of a file."""

    def alter(run: Path) -> None:
        path = file_of(run, file)
        os.truncate(path, int(path.stat().st_size * part))

    return alter


def sparse(size: int, content: bytes = b"") -> Callable[[Path], None]:
    """A file that says it is so large, and takes no space on the disk."""

    def make(path: Path) -> None:
        path.write_bytes(content)
        os.truncate(path, size)

    return make


def file_of(run: Path, file: str) -> Path:
    if file in ("latest tensors", "best tensors"):
        name = file.partition(" ")[0]
        return (
            run
            / "checkpoint"
            / json.loads((run / f"checkpoint/{name}.json").read_text())["tensors"]
        )
    return run / file


def milestones(count: int, **changes: Any) -> Alter:
    def alter(run: Path) -> None:
        one = {"$type": "Milestone", "name": "solved", "seed_index": 0, "update": 1, "steps": 8}
        one |= {"seconds": 1.0, "episode_return": 20.0, "sha256": "ab"} | changes
        several = [one | ({"name": f"m{k}"} if k else {}) for k in range(count)]
        found = {"$type": "Milestones", "milestones": several}
        (run / "milestones.json").write_text(json.dumps(found))

    return alter


TENSORS = "latest tensors"
EXPERIMENT, LATEST, METRICS = "experiment.json", "checkpoint/latest.json", "metrics.csv"
EVALUATION, BEST = "evaluation.json", "checkpoint/best.json"
PLACES = (TENSORS, EXPERIMENT, LATEST, METRICS, EVALUATION, "milestones.json")
FILES = (TENSORS, "best tensors", EXPERIMENT, LATEST, BEST, METRICS, EVALUATION)
EVIL = "evil_module"
"""A module that a run may name, and nobody imports."""
RETURN = "rollout/episode_return"
HALF = "\ud800"  # of a character: JSON can say it, and no file or page can


def declared(size: int) -> bytes:
    """The header of a file of so many bytes."""
    length = 200
    data = {
        "x": {"dtype": "U8", "shape": [size - length - 8], "data_offsets": [0, size - length - 8]}
    }
    return length.to_bytes(8, "little") + json.dumps(data).encode().ljust(length)


EMPTY = {f"t{k}": np.zeros(0, np.float32) for k in range(40_000)}

# What is altered, and what the sentence says beside the file.
EXPERIMENTS: dict[str, tuple[str, Any, str]] = {
    "steps 10^4000": ("steps", 10**4000, "steps is not a finite number"),
    "steps 2^60": ("steps", 2**60, "steps is 1152921504606846976"),
    "steps 2^70": ("steps", 2**70, "steps is .* of 64 bits"),
    "no steps": ("steps", 0, "steps is 0"),
    "steps as text": ("steps", "150", "steps is '150'"),
    "steps that are true": ("steps", True, "steps is True"),
    "seeds": ("seeds", 10**8, "seeds is 100000000: use at most 4096"),
    "a seed too few": ("seeds", 1, "2 seeds, and experiment.json has 1"),
    "seed 2^31": ("seed", 2**31, "seed is 2147483648"),
    "episodes": ("episodes", 10**20, "episodes is"),
    "eval_every": ("eval_every", 2**60, "eval_every is"),
    "max_episode_steps": ("max_episode_steps", -5, "max_episode_steps is -5"),
    "checkpoint_every": ("checkpoint_every", float("nan"), "checkpoint_every is not a finite"),
    "half a character in env": ("env", HALF, "env is not valid text"),
    "half a character in algo": ("algo", f"p{HALF}o", "algo is not valid text"),
    "half a character in a name": ("env_kwargs", {HALF: 1}, "env_kwargs has a name that is not"),
    "deep": ("env_kwargs", {"x": nested(900)}, r"env_kwargs\.x.* is nested more than 64 deep"),
    "infinite": ("env_kwargs", {"x": float("inf")}, r"env_kwargs\.x is not a finite number"),
    "a backend": ("backend", "quantum", "backend is 'quantum'"),
    "another part": ("algorithm.surrogate.$type", "Popen", r"algorithm\.surrogate is"),
    "another field": ("algorithm.surrogate.shell", 1, "has no field shell"),
    "hidden": ("algorithm.policy.hidden", [50_000, 50_000], r"policy\.hidden is \[50000, 50000\]"),
    "hidden 10^9": ("algorithm.policy.hidden", [10**9], r"hidden is \(1000000000,\): use at most"),
    "hidden -1": ("algorithm.policy.hidden", [-1], "hidden"),
    "hidden of V": ("algorithm.baseline.network.hidden", [10**9], "hidden is"),
    "a wider policy": ("algorithm.policy.hidden", [5], "checkpoint.* does not fit: "),
    "no algorithm": ("algorithm", None, "algorithm is"),
    "a list of algorithms": ("algorithm", [], "algorithm is"),
    "parts of a stranger": ("algorithm.surrogate", {"$type": f"{EVIL}:Part"}, EVIL),
    "no environment": ("env", None, "env is None"),
    "a world of a stranger": ("env", f"{EVIL}:World", EVIL),
    "a wrapper of a stranger": ("wrappers", [f"{EVIL}:Wrapper"], EVIL),
    "wrappers as numbers": ("wrappers", [1], "wrappers"),
    "arguments as a list": ("env_kwargs", [], "env_kwargs is"),
    "a network": ("network", "evil", "evil"),
    "callable": ("is_callable", True, "CartPole-v1"),
    "a sink": ("log", ["syslog"], "log"),
    "an origin": ("init_from", {"$type": "Origin", "run": 1}, "init_from"),
    "hidden as text": ("algorithm.policy.hidden", "64", "hidden is '64'"),
    "a long text": (
        "algorithm.policy.activation",
        "x" * 10_000,
        "activation is 'x{100,700} … x*': choose one of tanh, ",
    ),
    "gamma": ("algorithm.gamma", 1e300, "gamma"),
    "epochs": ("algorithm.num_epochs", -1, "num_epochs"),
    "environments": ("algorithm.sampling.num_envs", 2**33, "num_envs is 8589934592"),
    "minibatches": ("algorithm.num_minibatches", 10**15 + 1, "num_minibatches is 1000000000000001"),
}
FACTS: dict[str, tuple[str, Any, str]] = {
    "shape -4": ("encoding.shape", [-4], r"encoding\.shape is \(-4,\)"),
    "shape 2^64": ("encoding.shape", [2**64], r"encoding\.shape.* of 64 bits"),
    "shape 10^9": ("encoding.shape", [10**9], r"encoding\.shape is \(1000000000,\)"),
    "shape 2^16 squared": ("encoding.shape", [2**16, 2**16], r"encoding\.shape is \(65536, 65536"),
    "shape 2^25": ("encoding.shape", [2**25], "hidden is .*, for 33554432 numbers"),
    "shape 5": ("encoding.shape", [5], "checkpoint.* does not fit: "),
    "an image without pixels": (
        "encoding.is_image",
        True,
        r"encoding\.is_image is true, and encoding\.shape is \(4,\): expected two to four axes",
    ),
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
    "an infinite threshold": ("reward_threshold", float("inf"), "reward_threshold is not a finite"),
    "returns": ("recent.0", [[1.0, 1.7e308]], r"recent is 1\.7e\+308"),
    "a pair of three": ("recent.0", [[1.0, 2.0, 3.0]], "counters do not fit"),
    "scores": ("best_scores", [1.7e308, None], r"best_scores is 1\.7e\+308"),
    "first returns": ("tracked.0.first_sum", -1.7e308, r"tracked\.first_sum is -1\.7e\+308"),
    "seconds": ("seconds", 1.7e308, r"seconds is 1\.7e\+308"),
    "updates as a float": ("num_updates", 5.5, "num_updates is 5.5"),
    "tracked": ("tracked", [], "counters do not fit"),
    "tracked as numbers": ("tracked", [1, 2], "tracked"),
    "weights": ("weights_at_first", [[1.0]], "counters do not fit"),
    "moments": ("best_steps", [1], "counters do not fit"),
    "stopped": ("stopped", "no", "stopped is 'no'"),
    "no recent ones": ("recent", None, "recent is None"),
    "an action kind": ("action_kind", {"$type": "Popen"}, "action_kind"),
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
    "milestone of seed 9": (milestones(1, seed_index=9), "milestones.json", "is not a milestone"),
    "milestone elsewhere": (milestones(1, name="../x"), "milestones.json", "is not a milestone"),
    "milestones": (milestones(5_000), "milestones.json", "at most 256 milestones"),
    "a mean": (document(EVALUATION, "deterministic.mean", 1.7e308), EVALUATION, "damaged"),
    "evaluated episodes": (document(EVALUATION, "episodes", 10**40), EVALUATION, "damaged"),
    "evaluated as true": (document(EVALUATION, "episodes", True), EVALUATION, "damaged"),
    "evaluated NaN": (document(EVALUATION, "episodes", float("nan")), EVALUATION, "not a finite"),
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
    "other tensors": (tensors(save({"x": np.zeros(3)})), "", "checkpoint.* does not fit"),
    "many values": (
        replaced(EVALUATION, written(b"[" + b"0," * 2**21 + b"0]")),
        EVALUATION,
        "values",
    ),
    "a long line": (
        replaced(METRICS, written(b"seed,steps\n" + b"1" * 2**21)),
        METRICS,
        "a line of",
    ),
    "a thousand columns twice": (
        replaced(METRICS, written(b"steps," * 1000 + b"seed\n")),
        METRICS,
        "has no column time|has a column twice",
    ),
    "sparse tensors": (
        replaced(TENSORS, sparse(2**40, save({"x": np.zeros(4)}))),
        TENSORS,
        r"of its 1,099,511,627,776 bytes only [\d,]+ are on the disk",
    ),
    "tensors that are only declared": (
        replaced(TENSORS, sparse(2**26, declared(2**26))),
        TENSORS,
        "only [0-9,]+ are on the disk",
    ),
    **{
        f"holes for {file}": (replaced(file, sparse(2**36)), file, "holds more|a line of")
        for file in (EXPERIMENT, LATEST, METRICS, EVALUATION)
    },
    **{
        f"{part} of {file}": (truncated(file, part), file, "")
        for file in FILES
        for part in (0, 0.4, 0.9)
    },
    **{
        f"no {file}": (replaced(file, lambda path: None), file, "")
        for file in FILES
        if file != EVALUATION
    },
    **{
        f"a pipe for {file}": (replaced(file, os.mkfifo), file, "is not a regular file")
        for file in PLACES
    },
    **{
        f"a device for {file}": (
            replaced(file, lambda path: path.symlink_to("/dev/zero")),
            file,
            "is not a regular file",
        )
        for file in PLACES
    },
    **{
        f"a folder for {file}": (replaced(file, Path.mkdir), file, "is a folder") for file in PLACES
    },
    **{
        f"brackets for {file}": (
            replaced(file, written(b"[" * 10**5)),
            file,
            "is not valid JSON",
        )
        for file in (EXPERIMENT, LATEST, EVALUATION, BEST, "milestones.json")
    },
}


BOUNDS: dict[str, tuple[Any, str]] = {
    "low": ([3.0], r"action_kind\.low is not below action_kind\.high"),
    "high": ([-2.0, -2.0], r"action_kind\.high are 2, and its shape is \(1,\)"),
    "family": ("cauchy", r"action_kind\.family is 'cauchy'"),
    "dtype": ("complex64", r"action_kind\.dtype is 'complex64'"),
    "shape": ([10**9], r"action_kind\.shape is \(1000000000,\)"),
}


@dataclass(frozen=True)
class Altered:
    """One of the kept runs, altered."""

    base: str
    alter: Alter
    file: str
    says: str

    def made(self, run: Path) -> Path:
        shutil.copytree(KEPT / self.base, run)
        self.alter(run)
        return run


CORPUS = {
    **{name: Altered(DISCRETE, *altered) for name, altered in ALTERED.items()},
    **{
        f"actions' {field}": Altered(
            BOUNDED, document(LATEST, f"facts.action_kind.{field}", value), LATEST, says
        )
        for field, (value, says) in BOUNDS.items()
    },
}


def refused_everywhere(
    altered: Altered, folder: Path, readers: Iterable[str], is_brief: bool = False
) -> None:
    """Each reader gives something, or one sentence that names the file, and one of them says what
    is expected; nothing else is touched, and the other run of the folder is listed. With `is_brief`
    no more of them read than until it was said."""
    outside = folder / "outside"
    outside.write_bytes(b"theirs")
    run = altered.made(folder / "runs" / "altered")
    shutil.copytree(KEPT / BOUNDED, folder / "runs" / "whole")
    before = {path for path in folder.rglob("*") if run not in path.parents}
    said: dict[str, str] = {}
    for name in readers:
        said[name] = outcome(READERS[name], run)[1]
        if is_brief and re.search(altered.says or ".", said[name]):
            break
    refused = [sentence for sentence in said.values() if sentence]
    assert refused, "nobody noticed"
    for sentence in refused:
        assert (altered.file.rpartition(" ")[2] in sentence) or METRICS in sentence, sentence
        assert "\n" not in sentence
        assert len(sentence) < 1000
    assert any(re.search(altered.says, sentence) for sentence in refused), said
    assert {path for path in folder.rglob("*") if run not in path.parents} == before
    assert outside.read_bytes() == b"theirs"
    assert EVIL not in sys.modules
