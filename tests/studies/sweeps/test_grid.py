"""Grids: what they take, and what is refused, with what is meant."""

from typing import Any

import pytest

import uphill
from uphill.errors import UphillError
from uphill.parts import Adam, BatchMean, TimeMean
from uphill.studies.sweeps.grid import algorithms_of, folder_name, make_grid, parse_grid
from uphill.words import typed


def algorithms(grid: dict[str, Any], algorithm: Any = None) -> list[Any]:
    algorithm = algorithm or uphill.reinforce()
    return [one for _, one in algorithms_of(make_grid(grid, algorithm), algorithm)]


def test_every_combination_is_a_setting_and_the_last_field_varies_fastest() -> None:
    made = algorithms({"optimizer.learning-rate": [1e-3, "linear:1e-2:0"], "entropy": (0, 0.1)})
    assert [str(x.optimizer.learning_rate) for x in made] == [
        *("0.001", "0.001", "linear:0.01:0.0", "linear:0.01:0.0")
    ]
    assert [x.entropy.value for x in made] == [0, 0.1, 0, 0.1]
    assert isinstance(made[0].optimizer, Adam)


def test_parts_sizes_and_nothing_may_vary_too() -> None:
    made = algorithms({"baseline": ["batch-mean", "time-mean"], "policy.hidden": [[8, 8], 16]})
    assert [type(x.baseline) for x in made] == [BatchMean, BatchMean, TimeMean, TimeMean]
    assert [x.policy.hidden for x in made[:2]] == [(8, 8), (16,)]
    made = algorithms({"optimizer.max_grad_norm": [None, 0.5], "sampling.num_envs": [4, 8.0]})
    assert [x.optimizer.max_grad_norm for x in made] == [None, None, 0.5, 0.5]
    assert made[1].sampling.num_envs == 8
    both = {"baseline": ["value-function"], "baseline.num_steps": [1, 2]}
    own = {"baseline.optimizer": ["adam"], **both}
    assert [x.baseline.num_steps for x in algorithms(own)] == [1, 2]


def test_the_command_line_says_the_same() -> None:
    texts = ["optimizer.learning-rate=1e-4, .5,linear:1e-3:0", "policy.hidden=8 8,16", "x=None"]
    assert parse_grid(texts) == {
        "optimizer.learning_rate": [1e-4, 0.5, "linear:1e-3:0"],
        "policy.hidden": [[8, 8], 16],
        "x": [None],
    }
    for text in ("gamma", "gamma=", "=1", "gamma=1,,2"):
        with pytest.raises(UphillError, match="write FIELD=VALUE,VALUE"):
            parse_grid([text])
    with pytest.raises(UphillError, match="twice"):
        parse_grid(["a-b=1", "a_b=2"])


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"optimizer.learning_rat": [1]}, "to sweep: did you mean optimizer.learning_rate?"),
        ({"lr": [1]}, "no setting lr to sweep: did you mean optimizer.learning_rate?"),
        ({"steps": [1]}, "steps can't be swept: it is the same for all settings"),
        ({"env.g": [1]}, "env.g can't be swept: only settings of the algorithm can"),
        ({"envs": [1]}, "envs is sampling.num_envs in a grid: write that"),
        ({"optimizer.lr": [1]}, "to sweep: did you mean optimizer.learning_rate?"),
        ({"surrogate.epsilon": [1]}, "the surrogate is ScoreFunction, which has no epsilon"),
        ({"estimator.gamma": 0.9}, "has 0.9 for estimator.gamma: give it a list"),
        ({"estimator.gamma": []}, "give it a list"),
        ({"estimator.gamma": [0.9, 1.5]}, "gamma is 1.5: use a number from 0 to 1"),
        ({"estimator.gamma": [0.9, 9e-1]}, "has gamma 0.9 twice"),
        ({"optimizer.learning_rate": ["abc"]}, "optimizer.learning_rate is 'abc'"),
        ({"baseline": ["foo"]}, "baseline is 'foo': choose no-baseline, batch-mean"),
        ({}, "The grid is empty: give grid="),
    ],
)
def test_what_can_not_be_swept_is_a_sentence(grid: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UphillError, match=sentence.replace(".", r"\.").replace("?", r"\?")):
        algorithms(grid)


def test_a_setting_that_can_not_be_is_named() -> None:
    grid = {"num_minibatches": [4, 5], "sampling.num_envs": [8]}
    with pytest.raises(UphillError, match="The setting num-minibatches 5, num-envs 8 can't be: nu"):
        algorithms(grid, uphill.ppo())


def test_a_huge_grid_is_asked_for_twice() -> None:
    many = {"estimator.gamma": [k / 2000 for k in range(1001)], "entropy": [0, 1]}
    with typed(), pytest.raises(UphillError, match=r"2,002 settings: × 8 seeds .* add --yes"):
        uphill.sweep("CartPole-v1", "reinforce", grid=many)


def test_folders_are_named_by_what_varies() -> None:
    setting = {"optimizer.learning_rate": "linear:1e-3:0", "policy.hidden": [8, 8]}
    assert folder_name(setting) == "learning-rate=linear-1e-3-0,hidden=8-8"
    both = {"estimator.lam": 1, "baseline.lam": 0.5}
    assert folder_name(both) == "estimator.lam=1,baseline.lam=0.5"
