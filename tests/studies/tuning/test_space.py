"""What is searched, and what is proposed."""

from typing import Any

import pytest

import uphill
from uphill.errors import UphillError
from uphill.parts import Adam
from uphill.runs.configuration import encode
from uphill.studies.sweeps.changes import changed
from uphill.studies.tuning.proposals import proposals
from uphill.studies.tuning.space import Range, default_in, parse_search, space_of

RAMP = uphill.ppo(optimizer=Adam("linear:1e-3:1e-4"))


def test_parts_say_what_is_searched_of_them() -> None:
    space, _ = space_of(uphill.ppo(), {})
    assert [*space] == [
        *("estimator.gamma", "estimator.lam", "surrogate.epsilon"),
        *("optimizer.learning_rate", "optimizer.max_grad_norm", "entropy"),
    ]
    gamma = space["estimator.gamma"]
    assert isinstance(gamma, Range)
    assert gamma.ends == pytest.approx((1e-4, 0.1))
    assert gamma.value(0.01234567) == 0.98765
    assert gamma.coordinate(0.99) == pytest.approx(0.01)
    assert gamma.coordinate(1.0) is None
    assert "optimizer.max_kl" in space_of(uphill.trpo(), {})[0]


def test_a_search_narrows_adds_and_fixes() -> None:
    texts = ["num-epochs=1:16:log", "policy.hidden=8 8,64 64", "entropy=0.01"]
    space, fixed = space_of(RAMP, parse_search([*texts, "estimator.gamma=0.95:0.99"]))
    assert fixed == {"entropy": 0.01}
    assert "entropy" not in space
    epochs = space["num_epochs"]
    assert isinstance(epochs, Range)
    assert (epochs.ends, epochs.value(3)) == ((0, 4), 8)
    rate = space["optimizer.learning_rate"]
    assert isinstance(rate, Range)
    assert rate.value(0.02) == "linear:0.02:0.002"
    default = default_in(space, RAMP)
    assert default is not None
    assert default["policy.hidden"] == [64, 64]
    assert encode(changed(RAMP, default)) == encode(RAMP)
    assert default_in(space_of(RAMP, {"num_epochs": "1:8"})[0], RAMP) is None


def test_the_same_trials_are_followed_by_the_same_proposals() -> None:
    space, _ = space_of(RAMP, {"num_epochs": [1, 4]})
    first = proposals(space, [], 4, seed=0)
    assert first != proposals(space, [], 4, seed=1)
    assert first[2:] != first[:2]
    values = [*map(float, range(15)), None]
    told = [*zip(first * 4, values, strict=True)]
    assert proposals(space, told, 3, seed=0) == proposals(space, told, 3, seed=0)
    for setting in first:
        changed(RAMP, setting)


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({"gama": "0:1"}, "did you mean estimator.gamma?"),
        ({"estimator.gamma": "0.99:0.9"}, "must be below the second, so write 0.9:0.99"),
        ({"estimator.gamma": "0.9:nan"}, "use two finite numbers"),
        ({"optimizer.learning_rate": "1e-3:inf"}, "use two finite numbers"),
        ({"estimator.gamma": "0.9:1.5"}, "gamma is 1.5: use a number from 0 to 1"),
        ({"optimizer.learning_rate": "0:1:log"}, "a logarithm needs LOW > 0"),
        ({"optimizer.learning_rate": "1:2:lin"}, "give 'LOW:HIGH', or a list"),
        ({"optimizer.learning_rate": 3}, "give 'LOW:HIGH', or a list"),
        ({"num_epochs": "1:2.5"}, "use whole numbers"),
        ({"num_epochs": "5:7:log"}, "powers of two, and none lies there, so write 5:7"),
        ({"num_epochs": "1:16:log-to-one"}, "are searched as LOW:HIGH or LOW:HIGH:log"),
        ({"estimator.gamma": "0.9:1"}, "needs HIGH < 1, so write 0.9:0.9999, or 0.9:1:linear"),
        ({"entropy": "0.1:0.1"}, "so give one value, or two numbers"),
        ({"baseline": "0:1"}, "give a list of its values, as in ['no-baseline', …]"),
        ({"policy.hidden": "32:64"}, "which is no number: give a list of its values, as in [["),
        ({"baseline": ["batch-maen", "time-mean"]}, "baseline is 'batch-maen': choose"),
    ],
)
def test_what_can_not_be_searched_is_a_sentence(search: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UphillError) as error:
        space_of(uphill.ppo(), search)
    assert sentence in str(error.value)


def test_a_search_without_a_range_is_a_sentence() -> None:
    with pytest.raises(UphillError, match="write FIELD=LOW:HIGH"):
        parse_search(["gamma"])
    with pytest.raises(UphillError, match="twice"):
        parse_search(["a-b=1:2", "a_b=1:3"])


def test_powers_of_two_are_proposed_whatever_the_default_is() -> None:
    algorithm = uphill.ppo(num_epochs=10)
    space, _ = space_of(algorithm, {"num_epochs": "1:16:log"})
    first = default_in(space, algorithm)
    assert first is not None
    assert first["num_epochs"] == 10
    proposed = proposals(space, [(first, 1.0)], 8, seed=0)
    assert {setting["num_epochs"] for setting in proposed} <= {1, 2, 4, 8, 16}


def test_what_is_fixed_is_no_longer_searched_within() -> None:
    space, fixed = space_of(uphill.vpg(), {"baseline": ["batch-mean"]})
    assert fixed == {"baseline": "batch-mean"}
    assert not any(path.startswith("baseline") for path in space)


def test_the_default_is_known_however_a_choice_spells_it() -> None:
    algorithm = uphill.vpg(optimizer=Adam("linear:5e-4:0"))
    search = {
        "baseline": ["batch-mean", "value-function"],
        "optimizer.learning_rate": ["linear:5e-4:0", 1e-3],
    }
    found = default_in(space_of(algorithm, search)[0], algorithm)
    assert found is not None
    assert found["baseline"] == "value-function"
    assert found["optimizer.learning_rate"] == "linear:5e-4:0"
    assert encode(changed(algorithm, found)) == encode(algorithm)


def test_choices_that_fit_together_are_not_refused_one_by_one() -> None:
    search = {"baseline.optimizer": ["adam", "sgd"], "baseline.num_steps": [1, 5]}
    space, _ = space_of(uphill.ppo(), search)
    assert {"baseline.optimizer", "baseline.num_steps"} <= space.keys()
    with pytest.raises(UphillError, match="num_steps is 5: without its own optimizer"):
        space_of(uphill.ppo(), {"baseline.num_steps": [1, 5]})


def test_a_range_within_a_part_that_may_be_chosen_has_its_scale() -> None:
    search = {"estimator": ["reward-to-go", "gae"], "estimator.lam": "0.9:0.99"}
    lam = space_of(uphill.reinforce(), search)[0]["estimator.lam"]
    assert isinstance(lam, Range)
    assert lam.scale == "log-to-one"
