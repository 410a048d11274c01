"""A setting stands in one place: the command line, `uphill.train` and experiment.json agree."""

import inspect
import operator
import re
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

import uphill
from uphill.cli import main
from uphill.cli.commands.train import TrainOptions
from uphill.errors import UphillError
from uphill.runs.experiment import Experiment
from uphill.runs.settings import Options, Settings, kept, sentences
from uphill.sessions.launch import Request

SHARED = (*fields(Options), *fields(Settings))
TYPED = {
    "is_async": "async-envs",
    "wrappers": "wrapper",
    "drop_observations": "drop-observation",
}
"""Settings that have another name on the command line."""


def test_train_has_every_setting_with_its_type_default_and_sentence() -> None:
    signature, documented = inspect.signature(uphill.train), inspect.getdoc(uphill.train) or ""
    assert list(signature.parameters)[:2] == ["env", "algorithm"]
    assert signature.parameters["env"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert signature.return_annotation is uphill.Run
    hints, text = get_type_hints(Request), " ".join(documented.split())
    assert set(signature.parameters) == set(hints) == set(sentences(Request))
    for field in SHARED:
        parameter = signature.parameters[field.name]
        assert (parameter.default, parameter.annotation) == (field.default, hints[field.name])
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    for name, sentence in sentences(Request).items():
        assert f" {name}: {sentence} " in text
    assert documented.startswith("Train `seeds` agents at once")
    assert documented.count("\n\nArguments:\n") == documented.count("\n\nRaises:\n") == 1


def test_the_help_has_every_setting_with_its_default_and_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10000")
    assert main(["train", "--help"]) == 0
    text = " ".join(capfd.readouterr().out.replace("│", " ").split())
    for field in SHARED:
        flag = "--" + TYPED.get(field.name, field.name).replace("_", "-")
        sentence = (sentences(Settings) | sentences(Options))[field.name]
        default = "" if field.default in ((), None, False) else f"[{field.default}] "
        # Between a flag and what is said of it stands no other flag.
        until = rf" {flag} (?:(?! --).)*"
        assert re.search(until + re.escape(f"{default}{sentence}"), text), flag


def test_what_is_narrower_elsewhere_has_the_same_default() -> None:
    for kind in (TrainOptions, Experiment):
        own = {field.name: field.default for field in fields(kind)}
        for field in fields(Settings):
            assert own[field.name] == field.default
    options = {field.name: field.default for field in fields(TrainOptions)}
    assert all(options[field.name] == field.default for field in fields(Options))


def test_experiment_json_keeps_the_settings() -> None:
    asked = Settings(seed=3, seeds=2, checkpoint_every=1.0)
    assert list(kept(asked)) == [field.name for field in fields(Settings)]
    assert set(kept(asked)) <= {field.name for field in fields(Experiment)}


def test_arguments_that_train_has_not_are_told_in_its_name() -> None:
    call: Any = uphill.train
    with pytest.raises(
        UphillError, match=r"^train\(\) has no argument 'stepz': did you mean steps"
    ):
        call("CartPole-v1", stepz=3)
    with pytest.raises(
        UphillError, match=r"'zzz': the environment's own go into env_kwargs=\{'zzz'"
    ):
        call("CartPole-v1", zzz=3)
    with pytest.raises(UphillError, match=r"^train\(\) does not fit: missing .*'env'"):
        call()
    with pytest.raises(UphillError, match=r"^train\(\) does not fit: too many positional"):
        call("CartPole-v1", None, 3)


@pytest.mark.parametrize(
    "function",
    [
        *(uphill.train, uphill.sweep, uphill.tune, uphill.sensitivity, uphill.measure_variance),
        uphill.doctor.examine,
    ],
)
def test_help_is_where_the_error_says(function: Any) -> None:
    with pytest.raises(UphillError, match=r"help\(uphill\..*\) lists what it has") as raised:
        function(zzz=3)
    called = re.findall(r"help\(uphill\.([\w.]+)\)", str(raised.value))
    assert operator.attrgetter(*called)(uphill) is function
