"""Flags that choose an algorithm's parts, and set them."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from tyro.conf import arg

from command_line import TRAIN, parsed, run_cli
from uphill.cli.commands.train import environment_in
from uphill.cli.parsing import parse
from uphill.cli.part_flags import unchecked
from uphill.parts import (
    SGD,
    ActionValue,
    Adam,
    Algorithm,
    ClippedRatio,
    KLPenalty,
    Optax,
    Replay,
    ScoreFunction,
    TDResidual,
    TrustRegion,
    ValueFunction,
)
from uphill.parts.algorithms import ALGORITHMS
from uphill.policies.convolutions import Convolution
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.runs.configuration import encode, flags, is_part
from uphill.runs.experiment import read_experiment
from uphill.sessions.presets import PRESETS, preset, settings_of


def test_flags_reach_the_parts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flags = [
        *("--optimizer.learning-rate", "linear:3e-4:0", "--surrogate.epsilon", "0.1"),
        *("--estimator.lam", "0.9", "--entropy", "0.01", "--baseline.optimizer", "adam"),
        *("--baseline.optimizer.learning-rate", "1e-3", "--sampling.num-steps", "8"),
    ]
    assert run_cli(*TRAIN, *flags, "--out", tmp_path / "run", "--json") == 0
    capfd.readouterr()
    algorithm = read_experiment(tmp_path / "run").algorithm
    assert str(algorithm.optimizer.learning_rate) == "linear:0.0003:0.0"
    assert isinstance(algorithm.surrogate, ClippedRatio)
    assert algorithm.surrogate.epsilon.value == 0.1
    assert algorithm.estimator.lam == 0.9  # pyright: ignore
    assert isinstance(algorithm.baseline, ValueFunction)
    assert isinstance(algorithm.baseline.optimizer, Adam)
    assert algorithm.baseline.optimizer.learning_rate.value == 1e-3
    assert algorithm.policy.hidden == (8,)
    assert algorithm.normalize_observations


def test_part_types_are_flags_and_the_whole_is_checked_last() -> None:
    flags = ["--surrogate", "score-function", "--num-epochs", "1", "--num-minibatches", "1"]
    _, algorithm, _ = parsed("CartPole-v1", *flags)
    assert isinstance(algorithm.surrogate, ScoreFunction)
    assert algorithm.name == "ppo"
    # A deeper flag may stand before the part that has it.
    flags = ["--baseline.optimizer", "sgd", "--baseline=value-function"]
    _, algorithm, _ = parsed("CartPole-v1", "--algo", "reinforce", *flags)
    assert type(algorithm.baseline.optimizer).__name__ == "SGD"
    flags = ["--baseline.optimizer", "none", "--baseline.num-steps", "1"]
    _, algorithm, _ = parsed("CartPole-v1", "--algo", "vpg", *flags)
    assert algorithm.baseline.optimizer is None
    # The type that it has already keeps the preset's settings.
    _, algorithm, preset = parsed("CartPole-v1", "--optimizer", "adam")
    assert algorithm.optimizer == preset.algorithm.optimizer
    # A number that fits together with --envs only.
    _, algorithm, _ = parsed("CartPole-v1", "--envs", "3", "--num-minibatches", "3")
    assert (algorithm.sampling.num_envs, algorithm.num_minibatches) == (3, 3)


@pytest.mark.parametrize("env", PRESETS)
def test_a_preset_is_flags_that_make_it(env: str) -> None:
    for algo, chosen in PRESETS[env]().items():
        assert settings_of(env, chosen, chosen.algorithm) == f"the preset of {env} for {algo}"
        elsewhere = "BipedalWalker-v3"
        words = " ".join(flags(preset(elsewhere, algo).algorithm, chosen.algorithm)).split()
        _, algorithm, _ = parsed(elsewhere, "--algo", algo, *words)
        assert encode(algorithm) == encode(chosen.algorithm)


def test_only_what_was_changed_is_shown_and_makes_the_same_when_pasted() -> None:
    words = ["--surrogate.epsilon", "0.1", "--baseline.shares-trunk", "--sampling.num-envs", "4"]
    for env in ("CartPole-v1", "BipedalWalker-v3"):
        _, algorithm, start = parsed(env, *words)
        shown = settings_of(env, start, algorithm).partition(", changed by ")[2].split()
        assert sorted(shown) == sorted(words)
        assert encode(parsed(env, *shown)[1]) == encode(algorithm)


def booleans(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all settings of an algorithm that are true or false."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if isinstance(value, bool):
            yield (*path, field.name)
        elif is_part(type(value)):
            yield from booleans(value, (*path, field.name))


def turned(part: Any, path: tuple[str, ...]) -> Any:
    first, *rest = path
    old = getattr(part, first)
    return unchecked(part, first, turned(old, tuple(rest)) if rest else not old)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_boolean_is_a_flag_that_works_when_pasted_both_ways(algo: str) -> None:
    start = unchecked(ALGORITHMS[algo](), "baseline", ValueFunction())
    found = list(booleans(start))
    assert ("baseline", "shares_trunk") in found
    assert ("normalize_returns",) in found
    for path in found:
        other = turned(start, path)
        for before, after in ((start, other), (other, start)):
            (flag,) = flags(before, after)
            assert parsed_from(before, flag.split()) == encode(after), flag
            assert environment_in([flag, "CartPole-v1"]) == "CartPole-v1"


def parsed_from(start: Any, argv: list[str]) -> Any:
    """What the flags make of an algorithm; whether it fits together is not asked."""

    @dataclasses.dataclass(frozen=True)
    class Whole:
        algorithm: Annotated[Algorithm, arg(name="")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Algorithm, "__check_init__", lambda self: None)
        return encode(parse(Whole, argv, "uphill", default=Whole(start)).algorithm)


NEW_PARTS = {
    "td residual": (
        "ppo",
        "--estimator td-residual --estimator.gamma 0.9",
        {"estimator": TDResidual(gamma=0.9)},
    ),
    "kl penalty": (
        "ppo",
        "--surrogate kl-penalty --surrogate.target linear:0.01:0.02 --target-kl 0.05",
        {"surrogate": KLPenalty(target="linear:0.01:0.02"), "target_kl": 0.05},
    ),
    "replay": (
        "vpg",
        "--baseline.replay replay --baseline.targets td --baseline.replay.capacity 50",
        {
            "baseline": ValueFunction(
                optimizer=Adam(learning_rate=1e-2), num_steps=5, targets="td", replay=Replay(50)
            )
        },
    ),
    "convolution": (
        "ppo",
        "--policy.convolution convolution --policy.hidden 16",
        {"policy": PolicySettings(hidden=(16,), convolution=Convolution())},
    ),
    "convolution of v": (
        "ppo",
        "--baseline.network.convolution convolution",
        {"baseline": ValueFunction(network=NetworkSettings(convolution=Convolution()))},
    ),
    "uniform mixture": (
        "reinforce",
        "--uniform-mixture linear:0.2:0 --normalize-returns",
        {"uniform_mixture": "linear:0.2:0", "normalize_returns": True},
    ),
    "optax": (
        "reinforce",
        "--optimizer optax --optimizer.name lion --optimizer.settings b1 0.8 b2 0.9",
        {"optimizer": Optax("lion", settings={"b1": 0.8, "b2": 0.9})},
    ),
    "optax of q": (
        "reinforce",
        "--estimator action-value --estimator.optimizer optax --estimator.optimizer.name yogi",
        {"estimator": ActionValue(optimizer=Optax("yogi"))},
    ),
    "trust region": (
        "trpo",
        "--optimizer.max-kl cosine:0.02:0.01 --baseline.optimizer sgd",
        {
            "optimizer": TrustRegion(max_kl="cosine:0.02:0.01"),
            "baseline": ValueFunction(optimizer=SGD(), num_steps=20),
        },
    ),
}


@pytest.mark.parametrize("name", NEW_PARTS)
def test_parts_of_parts_are_flags_and_flags_say_what_they_are(name: str) -> None:
    algo, words, changes = NEW_PARTS[name]
    env = "BipedalWalker-v3"  # has no preset of its own
    start = preset(env, algo).algorithm
    expected = replace(start, **changes)
    _, algorithm, _ = parsed(env, "--algo", algo, *words.split())
    assert encode(algorithm) == encode(expected)
    shown = " ".join(flags(start, expected)).split()
    _, again, _ = parsed(env, "--algo", algo, *shown)
    assert encode(again) == encode(expected)


def test_parts_that_may_be_absent_can_be_taken_away() -> None:
    words = ["--baseline.replay", "replay", "--baseline.replay", "none"]
    _, algorithm, _ = parsed("BipedalWalker-v3", "--algo", "vpg", *words)
    assert encode(algorithm) == encode(preset("BipedalWalker-v3", "vpg").algorithm)
    words = ["--uniform-mixture", "0.1", "--uniform-mixture", "None"]
    _, algorithm, _ = parsed("Acrobot-v1", "--algo", "ppo", *words)
    assert algorithm.uniform_mixture is None
