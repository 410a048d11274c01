"""Parts of a user's own by name: what a file calls them, and where they come from."""

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import optax
import pytest

import uphill
from small_runs import small_ppo, train_small
from uphill.errors import UphillError
from uphill.parts import (
    Adam,
    Algorithm,
    ClippedRatio,
    Schedule,
    Surrogate,
    Transformation,
    ValueFunction,
)
from uphill.parts.algorithms import ppo
from uphill.runs.configuration import decode, encode, flags
from uphill.runs.own_parts import NotGivenError, OwnParts, is_own_name, own_parts_in, type_name


class Own(Surrogate):
    """The ratio, cut."""

    is_ratio: ClassVar[bool] = True

    epsilon: Schedule = eqx.field(converter=Schedule.of("epsilon"), default=0.2)
    is_cut: bool = eqx.field(static=True, default=False)

    def __call__(self, sample: Any) -> Any:
        return sample.ratio * sample.advantage


class Falling(Schedule):
    """From one to zero."""

    power: float = 2.0

    def at(self, progress: Any) -> Any:
        return (1.0 - progress) ** self.power


OWN = ppo(surrogate=Own("linear:0.2:0", True), optimizer=Adam(Falling()))
NAME = f"{__name__}:Own"


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(encode(value), allow_nan=False))


def test_it_is_called_by_its_module() -> None:
    document = through_json(OWN)
    assert document["surrogate"] == {"$type": NAME, "epsilon": "linear:0.2:0.0", "is_cut": True}
    rate = document["optimizer"]["learning_rate"]
    assert rate == {"$type": f"{__name__}:Falling", "power": 2.0}
    assert type_name(ClippedRatio) == "ClippedRatio"


def test_it_is_read_when_it_is_given_and_only_then() -> None:
    document = through_json(OWN)
    assert decode(Algorithm, document, own=OwnParts([Falling, Own])) == OWN
    match = rf"^surrogate is {NAME}, a custom part: give it again with parts=\[Own\] \(uph"
    with pytest.raises(NotGivenError, match=match + r".*add allow_import=True to import 'test_own"):
        decode(Algorithm, document, own=OwnParts([Falling]))
    with pytest.raises(NotGivenError, match=r"^optimizer\.learning_rate is .*parts=\[Falling\]"):
        decode(Algorithm, document, own=OwnParts([Own]))


def test_a_module_is_imported_only_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from uphill.parts import Surrogate\n\n\nclass Mine(Surrogate):\n"
    source += "    def __call__(self, sample):\n        return sample.log_prob\n"
    (tmp_path / "never_seen.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    document = through_json(ppo(num_epochs=1, num_minibatches=1))
    document["surrogate"] = {"$type": "never_seen:Mine"}
    with pytest.raises(NotGivenError):
        decode(Algorithm, document)
    assert "never_seen" not in sys.modules
    read = decode(Algorithm, document, own=OwnParts(allow_import=True))
    assert type_name(type(read.surrogate)) == "never_seen:Mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("os:system", "os:system, which is no Surrogate of "),
        ("os:path", "os:path, which is no Surrogate of "),
        (f"{__name__}:Falling", f"{__name__}:Falling, which is no Surrogate of "),
        (f"{__name__}:Nothing", f"{__name__}:Nothing, but the module '{__name__}' has no Nothing"),
        ("no_such_module:Own", "There is no module 'no_such_module' to import for "),
    ],
)
def test_what_is_no_part_of_the_kind_is_refused(name: str, said: str) -> None:
    document = through_json(OWN) | {"surrogate": {"$type": name}}
    with pytest.raises(UphillError) as caught:
        decode(Algorithm, document, own=OwnParts(allow_import=True))
    assert said in str(caught.value)


def test_a_run_whose_module_is_gone_can_still_be_shown(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", small_ppo(surrogate=Own()), steps=64, episodes=2)
    document = json.loads((run.path / "experiment.json").read_text())
    document["algorithm"]["surrogate"]["$type"] = "no_such_module:Own"
    (run.path / "experiment.json").write_text(json.dumps(document))
    again = uphill.load(run.path, allow_import=True)
    assert again.report().exists()
    assert "There are no films: There is no module" in (run.path / "report.html").read_text()
    with pytest.raises(UphillError, match="There is no module 'no_such_module'"):
        again.evaluate(2)


def test_one_from_a_script_or_a_function_is_given_again() -> None:
    class Local(Own):
        pass

    class Script(Own):
        pass

    Script.__module__, Script.__qualname__ = "__main__", "Script"
    for part in (Local, Script):
        document = through_json(ppo(surrogate=part()))
        assert document["surrogate"]["$type"] == f"{part.__module__}:{part.__qualname__}"
        with pytest.raises(NotGivenError, match=rf"with parts=\[{part.__name__}\] \([^)]*\)\.$"):
            decode(Algorithm, document, own=OwnParts(allow_import=True))
        assert decode(Algorithm, document, own=OwnParts([part])) == ppo(surrogate=part())
    # A script is called otherwise where it is imported.
    Script.__module__ = "my_script"
    document["surrogate"]["$type"] = "__main__:Script"
    assert type(decode(Algorithm, document, own=OwnParts([Script])).surrogate) is Script


def test_fields_of_ones_own_are_read_like_ours() -> None:
    document = through_json(OWN)
    for field, value, said in (
        ("epsilon", "fast", "surrogate.epsilon is 'fast': expected a finite number, linear"),
        ("is_cut", 1, "surrogate.is_cut is 1: expected bool."),
        ("colour", 1, "surrogate has no field colour: it has epsilon and is_cut."),
    ):
        document["surrogate"] = {"$type": NAME, field: value}
        with pytest.raises(UphillError) as caught:
            decode(Algorithm, document, own=OwnParts([Own, Falling]))
        assert str(caught.value).startswith(said)


def test_its_flags_name_its_module() -> None:
    assert list(flags(ppo(), OWN)) == [
        f"--surrogate {NAME}",
        "--surrogate.epsilon linear:0.2:0.0",
        "--surrogate.is-cut",
        f"--optimizer.learning-rate {__name__}:Falling",
    ]


def test_a_transformation_is_given_again_in_the_order_of_the_file() -> None:
    first, second = optax.lion(1e-3), optax.identity()
    algorithm = ppo(baseline=ValueFunction(optimizer=Transformation(first)), optimizer=second)
    document = through_json(algorithm)
    given = list(own_parts_in(algorithm))
    assert given == [first, second]
    assert decode(Algorithm, document, own=OwnParts(given)) == algorithm
    with pytest.raises(NotGivenError, match=r"^baseline\.optimizer\.transformation is a transform"):
        decode(Algorithm, document, own=OwnParts(allow_import=True))
    with pytest.raises(NotGivenError, match=r"^optimizer\.transformation is a transformation"):
        decode(Algorithm, document, own=OwnParts([first]))
    with pytest.raises(
        UphillError, match=r"was chain, and parts has identity.*: give what the run"
    ):
        decode(Algorithm, document, own=OwnParts([second, first]))


@pytest.mark.parametrize("parts", [[3], [Own()], ["my:Own"]])
def test_parts_are_classes(parts: list[Any]) -> None:
    with pytest.raises(UphillError, match=r"^parts has .*: give classes, as in parts=\[MySurrog"):
        OwnParts(parts)


def test_texts_of_schedules_are_no_names() -> None:
    assert not any(
        map(is_own_name, ["linear:1:0", "linear:a", "cosine:a:b", "constant:x", "", ":"])
    )
    assert not any(map(is_own_name, ["a:b:c", "1:2", "a", "a:", ":b", "my-envs:Foo-v0", None, 3]))
    assert all(map(is_own_name, ["a:b", "a.b:C", "a:B.C", "m:f.<locals>.C"]))


def test_what_a_part_needs_is_asked_of_ones_own_too() -> None:
    class Once(Own):
        is_ratio: ClassVar[bool] = False

    with pytest.raises(UphillError, match=r"^num_epochs is 10: after the first epoch the batch"):
        uphill.ppo(surrogate=Once())
