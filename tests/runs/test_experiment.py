"""`experiment.json`: all that is needed to repeat a run, and nothing that is believed blindly."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from small_runs import small_ppo, small_vpg
from uphill.errors import UphillError
from uphill.runs.experiment import (
    Experiment,
    Origin,
    installed_versions,
    make_experiment,
    read_experiment,
    write_experiment,
)

EXPERIMENT = Experiment(
    env="CartPole-v1",
    is_callable=False,
    env_kwargs={"sutton_barto_reward": True, "nested": {"list": [1, 2.5, None, "x"]}},
    backend="gymnasium",
    is_async=False,
    algo="ppo",
    algorithm=small_ppo(),
    seed=3,
    seeds=2,
    steps=1000,
    eval_every=100,
    episodes=7,
    init_from=Origin("runs/other", 4, "0" * 64),
    command="uphill train CartPole-v1",
    versions=installed_versions(),
    platform="Linux",
)


@pytest.mark.parametrize("algorithm", [small_ppo(), small_vpg()], ids=["ppo", "vpg"])
def test_what_is_written_is_read(algorithm: Any, tmp_path: Path) -> None:
    experiment = replace(EXPERIMENT, algorithm=algorithm)
    write_experiment(tmp_path, experiment)
    assert read_experiment(tmp_path) == experiment
    assert experiment.all_seeds == (3, 4)


SETTINGS = {field.name: getattr(EXPERIMENT, field.name) for field in fields(Experiment)}


def without_check(field: str, value: Any) -> Any:
    """An algorithm with a value that the tests' type checker would not let through."""
    algorithm = small_ppo()
    object.__setattr__(algorithm, field, value)
    return algorithm


def test_python_numbers_become_the_fields_own() -> None:
    assert make_experiment(**SETTINGS) == EXPERIMENT
    same = {
        "steps": 1e3,
        "eval_every": np.float32(100),
        "seed": np.int64(3),
        "seeds": np.int32(2),
        "is_async": np.bool_(False),
        "algorithm": without_check("num_epochs", np.int64(2)),
    }
    made = make_experiment(**SETTINGS | same)
    assert made == EXPERIMENT
    assert [type(x) for x in (made.steps, made.seed, made.algorithm.num_epochs)] == [int] * 3


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("steps", 1000.5, "steps is 1000.5: expected int."),
        ("steps", float("inf"), "steps is inf: expected int."),
        ("eval_every", "often", "eval_every is 'often': expected one of int, None."),
        ("seeds", "8", "seeds is '8': expected int."),
        ("seed", 1.0, "seed is 1.0: expected int."),
        ("episodes", 2.5, "episodes is 2.5: expected int."),
        ("episodes", 0, "episodes is 0: use at least 1."),
        ("is_async", 1, "is_async is 1: expected bool."),
        ("stop_when_solved", 1, "stop_when_solved is 1: expected bool."),
        ("checkpoint_every", "10", "checkpoint_every is '10': expected float."),
        ("algo", 3, "algo is 3: expected str."),
        ("algorithm", without_check("num_epochs", 2.5), "algorithm.num_epochs is 2.5: expected"),
        ("algorithm", without_check("normalize_observations", 1), "normalize_observations is 1:"),
        ("algorithm", without_check("optimizer", 3), "algorithm.optimizer is 3: expected one of"),
        (
            "algorithm",
            without_check("optimizer", print),
            "expected one of Adam, RMSProp, SGD, Optax",
        ),
        ("env_kwargs", {"f": print}, "use plain data"),
        ("env_kwargs", {"f": float("nan")}, "use plain data"),
    ],
    ids=str,
)
def test_what_could_not_be_read_again_is_refused(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(UphillError) as raised:
        make_experiment(**SETTINGS | {field: value})
    assert sentence in str(raised.value)


def test_versions_name_what_results_depend_on() -> None:
    assert {"python", "uphill", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium"} <= set(
        installed_versions()
    )


def test_folder_without_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match="is not a run directory"):
        read_experiment(tmp_path)
    with pytest.raises(UphillError, match="is not a run directory"):
        read_experiment(tmp_path / "nowhere")
    for name in ("second", "first"):  # as in a sweep's folder
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.json").write_text("{}")
    with pytest.raises(UphillError, match=f"runs are in it: name one, such as {tmp_path}/first"):
        read_experiment(tmp_path)


def test_keyword_arguments_must_be_plain_data(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match=r"env_kwargs is .*: use plain data"):
        write_experiment(tmp_path, replace(EXPERIMENT, env_kwargs={"f": print}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 0},
        {"seeds": -3},
        {"seed": -1},
        {"seed": 2**31},
        {"seed": "0"},
        {"steps": 0},
        {"steps": 1000.0},
        {"init_from": "runs/other"},
        {"init_from": {"$type": "Origin", "run": "runs/other"}},
        {"checkpoint_every": -1.0},
        {"backend": "os"},
        {"env": 3},
        {"env_kwargs": []},
        {"algorithm": {"$type": "Popen"}},
        {"algorithm": None},
        {"versions": 1},
        {"unknown": 1},
    ],
    ids=str,
)
def test_altered_file_is_one_sentence(changes: dict[str, Any], tmp_path: Path) -> None:
    write_experiment(tmp_path, EXPERIMENT)
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UphillError, match=r"experiment\.json is damaged"):
        read_experiment(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00"])
def test_file_that_is_no_experiment(text: str, tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(UphillError, match=r"experiment\.json"):
        read_experiment(tmp_path)
