"""Settings as JSON: what is written is read again, and nothing else is."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import numpy as np
import pytest
from gymnasium import spaces

from uphill.errors import UphillError
from uphill.parts import (
    SGD,
    ActionValue,
    Adam,
    Algorithm,
    ClippedRatio,
    Episodes,
    KLPenalty,
    NoBaseline,
    Optax,
    Replay,
    RewardToGo,
    RunningMean,
    Steps,
    TDResidual,
    ValueFunction,
)
from uphill.parts.algorithms import ALGORITHMS, ppo, reinforce, vpg
from uphill.parts.schedule import Linear, Schedule
from uphill.policies.actions import ActionKind, action_kind_of
from uphill.policies.convolutions import Convolution
from uphill.policies.encodings import Encoding, encoding_of
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.runs.configuration import decode, encode, flags, part_types
from uphill.runs.own_parts import type_name


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(encode(value), allow_nan=False))


UNUSUAL = {
    "schedules": ppo(
        optimizer=Adam(learning_rate="linear:3e-4:0", max_grad_norm=None),
        surrogate=ClippedRatio(epsilon="linear:0.2:0.1"),
        entropy="linear:0.01:0",
    ),
    "own optimiser": vpg(
        baseline=ValueFunction(
            network=NetworkSettings(hidden=(), activation="relu"),
            optimizer=SGD(learning_rate=1 / 3),
            num_steps=7,
        )
    ),
    "no baseline": reinforce(
        sampling=Episodes(num_envs=3, per_env=2),
        estimator=RewardToGo(gamma=1.0),
        baseline=NoBaseline(),
        policy=PolicySettings(hidden=(5, 6, 7), initial_log_std=-1.5),
    ),
    "images and heads": ppo(
        baseline=ValueFunction(network=NetworkSettings(convolution=Convolution())),
        policy=PolicySettings(
            convolution=Convolution(filters=(8,), kernels=(3,), strides=(2,)),
            log_std="network",
            distribution="tanh-gaussian",
        ),
    ),
    "memory": vpg(
        baseline=ValueFunction(optimizer=Adam(), targets="td", replay=Replay(100, 7), lam=0.5),
        estimator=TDResidual(gamma=0.5),
        uniform_mixture="cosine:0.2:0",
        policy=PolicySettings(convolution=Convolution(), log_std="head"),
    ),
    "optax": reinforce(
        optimizer=Optax("lion", "cosine:1e-3:0", settings={"b1": 0.8, "weight_decay": 0.25}),
        estimator=ActionValue(optimizer=Optax("adamw"), network=NetworkSettings(hidden=(3,))),
        baseline=RunningMean(decay=0.5),
        uniform_mixture=0.25,
        normalize_returns=True,
    ),
    "penalty": ppo(surrogate=KLPenalty(2.0, target="linear:0.01:0.1"), target_kl=0.5),
    "masked tail": reinforce(sampling=Steps(tail="mask"), mean_over="steps"),
}
ALL = {name: make() for name, make in ALGORITHMS.items()} | UNUSUAL


@pytest.mark.parametrize("name", ALL)
def test_every_algorithm_survives_json(name: str) -> None:
    document = through_json(ALL[name])
    again = decode(Algorithm, document)
    assert eqx.tree_equal(again, ALL[name]) is True
    assert through_json(again) == document


SPACES = [
    spaces.Box(-1, 1, (2, 3)),
    spaces.Box(-np.inf, np.inf, ()),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]]),
    spaces.MultiBinary((2, 2)),
    spaces.Box(0, 255, (8, 9, 3), np.uint8),
    spaces.Dict(
        {
            "b": spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 255, (2,), np.uint8))),
            "a": spaces.Dict({"x": spaces.MultiBinary(3)}),
        }
    ),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_encoding_survives_json(space: Any) -> None:
    encoding = encoding_of(space)
    again = decode(Encoding, through_json(encoding), "encoding")
    assert again == encoding
    assert type(again) is type(encoding)
    assert hash(again) == hash(encoding)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary((2, 2)),
        spaces.Box(np.float32([-0.1, 0]), np.float32([0.1, 1e30])),
        spaces.Box(-np.finfo(np.float64).max, 0.1, (2, 2), np.float64),
    ],
    ids=str,
)
def test_every_kind_of_action_survives_json(space: Any) -> None:
    for distribution in ("gaussian", "beta"):
        kind = action_kind_of(space, distribution)
        again = decode(ActionKind, through_json(kind), "action_kind")
        assert again == kind
        assert hash(again) == hash(kind)


@dataclass(frozen=True)
class Example:
    name: str
    size: int
    rate: float
    is_on: bool
    mode: Literal["slow", "fast"]
    sizes: tuple[int, ...]
    table: dict[str, Any]
    anything: Any
    schedule: Schedule
    part: NoBaseline | Steps | None
    limit: int | str | None = None


GOOD = {
    "$type": type_name(Example),
    "name": "a",
    "size": 1,
    "rate": 2,
    "is_on": True,
    "mode": "slow",
    "sizes": [1, 2],
    "table": {"x": [1, {"$type": "os.system"}]},
    "anything": {"$type": "os.system"},
    "schedule": "linear:1:0",
    "part": {"$type": "NoBaseline"},
}


def test_plain_values_are_read_as_their_types() -> None:
    example = decode(Example, GOOD)
    assert example == Example(
        "a", 1, 2.0, True, "slow", (1, 2), GOOD["table"], GOOD["anything"],
        Linear(1.0, 0.0), NoBaseline(),
    )  # fmt: skip
    assert type(example.rate) is float
    assert decode(Example, GOOD | {"part": None, "limit": "x"}).limit == "x"
    # What may be anything stays what it is: data.
    assert example.anything == {"$type": "os.system"}
    assert decode(tuple, [1, "x"]) == (1, "x")  # the annotation of somebody's own field
    with pytest.raises(UphillError, match="sizes is 3: expected a list"):
        decode(tuple, 3, "sizes")


def test_numpy_numbers_are_written_as_pythons() -> None:
    numbers = {"a": np.int64(3), "b": [np.float32(0.5)], "c": (np.bool_(True),)}
    assert json.dumps(encode(numbers)) == '{"a": 3, "b": [0.5], "c": [true]}'
    algorithm = ppo(optimizer=Adam(max_grad_norm=float(np.float32(0.5))))
    given = encode(algorithm)
    given["optimizer"]["max_grad_norm"] = np.float32(0.5)
    assert through_json(given) == through_json(algorithm)


WRONG = [
    ("name", 1, "name is 1: expected str."),
    ("size", 1.5, "size is 1.5: expected int."),
    ("size", True, "size is True: expected int."),
    ("size", "1", "size is '1': expected int."),
    ("rate", "1", "rate is '1': expected float."),
    ("rate", None, "rate is None: expected float."),
    ("rate", True, "rate is True: expected float."),
    ("rate", math.nan, "rate is nan: expected a finite number."),
    ("rate", math.inf, "rate is inf: expected a finite number."),
    ("is_on", 1, "is_on is 1: expected bool."),
    ("mode", "medium", "mode is 'medium': expected one of ('slow', 'fast')."),
    ("mode", ["slow"], "mode is ['slow']: expected one of ('slow', 'fast')."),
    ("sizes", 3, "sizes is 3: expected a list."),
    ("sizes", "12", "sizes is '12': expected a list."),
    ("sizes", [1, "2"], "sizes[1] is '2': expected int."),
    ("table", [], "table is []: expected an object."),
    ("schedule", [], "schedule is []: expected a number or a schedule."),
    ("schedule", True, "schedule is True: expected a number or a schedule."),
    (
        "schedule",
        "fast",
        "schedule is 'fast': expected a finite number, linear:START:END or cosine:START:END.",
    ),
    (
        "schedule",
        math.nan,
        "schedule is nan: expected a finite number, linear:START:END or cosine:START:END.",
    ),
    ("limit", 1.5, "limit is 1.5: expected one of int, str, None."),
    ("part", 3, "part is 3: expected one of NoBaseline, Steps, None."),
    ("part", {}, "part is {}: expected one of NoBaseline, Steps, None."),
    ("part", {"$type": "Steps", "num_envs": "8"}, "part.num_envs is '8': expected int."),
    ("part", {"$type": "Steps", "num_env": 8}, "part has no field num_env: did you mean num_envs?"),
    ("part", {"$type": "Steps", "num_envs": 0}, "num_envs is 0: use at least 1."),
]


@pytest.mark.parametrize(("field", "value", "sentence"), WRONG)
def test_a_wrong_type_gives_one_sentence_that_names_the_field(
    field: str, value: Any, sentence: str
) -> None:
    with pytest.raises(UphillError, match=f"^{re.escape(sentence)}$"):
        decode(Example, GOOD | {field: value})


def test_a_field_within_parts_is_named_with_its_path() -> None:
    for path, value, expected in (
        (
            ("optimizer", "learning_rate"),
            "fast",
            "a finite number, linear:START:END or cosine:START:END",
        ),
        (("baseline", "network", "hidden"), [64, 6.4], "int"),
        (("policy", "initial_log_std"), "0", "float"),
    ):
        document = owner = through_json(ppo())
        for name in path[:-1]:
            owner = owner[name]
        owner[path[-1]] = value
        where = re.escape(".".join(path))
        with pytest.raises(UphillError, match=rf"^{where}(\[1\])? is .*: expected {expected}\.$"):
            decode(Algorithm, document)


def test_a_number_too_large_for_any_float_is_refused() -> None:
    with pytest.raises(UphillError, match=r"^rate is 1000* … 0*: expected a finite number\.$"):
        decode(Example, GOOD | {"rate": 10**400})


def test_fields_that_are_missing_or_unknown_are_named() -> None:
    with pytest.raises(UphillError, match=r"^Example has no field colour, shape: it has name, "):
        decode(Example, GOOD | {"shape": 1, "colour": 2})
    missing = {name: value for name, value in GOOD.items() if name not in ("size", "rate")}
    with pytest.raises(UphillError, match=r"^Example is incomplete: .*'size' and 'rate'\.$"):
        decode(Example, missing)


@pytest.mark.parametrize(
    "hostile",
    [
        "os.system",
        "uphill.run.train",
        "Algorithm",  # exists, but is no optimiser
        "ClippedRatio",
        "Schedule",
        "NoneType",
        "__import__('os').system('true')",
        "",
        None,
        0,
        ["Adam"],
        {"$type": "Adam"},
    ],
    ids=str,
)
def test_a_type_that_the_field_does_not_allow_is_refused(hostile: Any) -> None:
    document = through_json(ppo())
    document["optimizer"] = {"$type": hostile, "learning_rate": 1.0}
    match = r"^optimizer is \{'\$type': .*\}: expected one of Adam, RMSProp, SGD, "
    match += r"Optax, NaturalGradient, TrustRegion\.$"
    with pytest.raises(UphillError, match=match):
        decode(Algorithm, document)


@pytest.mark.parametrize("hostile", ["Steps", "os.system", None])
def test_the_outermost_type_is_checked_too(hostile: Any) -> None:
    with pytest.raises(UphillError, match=r"^the value is .*: expected Algorithm\.$"):
        decode(Algorithm, through_json(ppo()) | {"$type": hostile})
    for nothing in (None, [], "Algorithm", 3):
        with pytest.raises(UphillError, match=r"^the value is .*: expected Algorithm\.$"):
            decode(Algorithm, nothing)


def test_dunder_fields_are_no_fields() -> None:
    for name in ("__class__", "__init__", "at", "_check_reuse"):
        with pytest.raises(UphillError, match=rf"^Algorithm has no field {name}: it has .*\.$"):
            decode(Algorithm, through_json(ppo()) | {name: "x"})


def test_flags_are_what_differs() -> None:
    assert list(flags(ppo(), ppo(name="mine"))) == []
    changed = ppo(
        optimizer=SGD(learning_rate="linear:1:0"),
        policy=PolicySettings(hidden=(32, 16)),
        normalize_observations=False,
    )
    there = [
        "--optimizer sgd",
        "--optimizer.learning-rate linear:1.0:0.0",
        "--policy.hidden 32 16",
        "--no-normalize-observations",
    ]
    assert list(flags(ppo(), changed)) == there
    back = list(flags(changed, ppo()))
    assert "--normalize-observations" in back
    assert "--optimizer adam" in back
    images = ppo(policy=PolicySettings(convolution=Convolution(kernels=(4, 3, 3))))
    convolution = ["--policy.convolution convolution", "--policy.convolution.kernels 4 3 3"]
    assert list(flags(ppo(), images)) == convolution
    assert list(flags(images, ppo())) == ["--policy.convolution auto-convolution"]
    without = vpg(baseline=ValueFunction(optimizer=None))
    assert "--baseline.optimizer none" in flags(vpg(), without)
    never = ppo(optimizer=Adam(learning_rate="linear:5e-4:0", max_grad_norm=None))
    assert list(flags(ppo(), never)) == ["--optimizer.max-grad-norm None"]


def test_part_types_says_where_there_is_a_choice() -> None:
    def types(path: str) -> list[str]:
        return list(part_types(vpg(), path.split(".")))

    surrogates = ["score-function", "importance-ratio", "clipped-ratio", "kl-penalty"]
    assert types("surrogate") == surrogates
    assert types("baseline.optimizer") == ["adam", "rmsprop", "sgd", "optax", "none"]
    assert types("policy.convolution") == ["auto-convolution", "convolution", "none"]
    for no_choice in ("policy", "num_epochs", "entropy", "optimizer.learning_rate", "nothing"):
        assert types(no_choice) == []
    assert types("baseline.nothing") == types("num_epochs.x") == types("surrogate.epsilon.x") == []
