"""`experiment.json`: all that is needed to repeat a run, and nothing that is believed blindly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from small_runs import small_ppo, small_vpg
from uphill.errors import UphillError
from uphill.runs.experiment import (
    Experiment,
    installed_versions,
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


def test_versions_name_what_results_depend_on() -> None:
    assert {"python", "uphill", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium"} <= set(
        installed_versions()
    )


def test_folder_without_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match="is no run directory"):
        read_experiment(tmp_path)
    with pytest.raises(UphillError, match="is no run directory"):
        read_experiment(tmp_path / "nowhere")


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
