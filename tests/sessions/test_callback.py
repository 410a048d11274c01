"""`on_point`: what it is given, what it may return, and what becomes of its errors."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uphill
from small_runs import rows_of, train_small
from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.sessions.callback import check_callable
from uphill.sessions.interrupts import Interrupted


class Calls:
    """Remembers what it was called with, and answers by `answer(number of the call)`."""

    def __init__(self, answer: Any = lambda _: None) -> None:
        self.answer, self.rows, self.policies = answer, [], []

    def __call__(self, rows: Any, policies: Any) -> Any:
        self.rows.append(rows)
        self.policies.append(policies)
        return self.answer(len(self.rows))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> uphill.Run:
    return train_small(tmp_path_factory.mktemp("plain") / "run", seeds=2)


def test_it_sees_the_rows_and_the_policies_of_every_point(
    tmp_path: Path, plain: uphill.Run
) -> None:
    calls = Calls()
    run = train_small(tmp_path / "run", seeds=2, on_point=calls)
    written = rows_of(run.path)
    assert written == rows_of(plain.path)  # to look changes nothing
    flat = [row for rows in calls.rows for row in rows]
    assert [int(row["steps"]) for row in written] == [row["steps"] for row in flat]
    assert set(written[0]) < set(flat[0])  # and the times
    observation = np.array([0.01, 0.02, -0.03, 0.04], np.float32)
    for s, policy in enumerate(calls.policies[-1]):
        final = run.policy_of(s).actor.policy.trunk.layers[0].weight
        np.testing.assert_array_equal(policy.actor.policy.trunk.layers[0].weight, final)
        assert policy.act(observation) == run.policy_of(s).act(observation)


def test_metrics_of_ones_own_stand_in_the_rows_also_where_they_come_late(tmp_path: Path) -> None:
    def answer(call: int) -> Any:
        new = {"reach": call, "arm/each": np.array([call, -call]), "none": None}
        return new if call > 2 else None

    run = train_small(tmp_path / "run", seeds=2, on_point=Calls(answer))
    rows = rows_of(run.path)
    assert [row["own/reach"] for row in rows[:6]] == ["", "", "", "", "3", "3"]
    assert [row["arm/each"] for row in rows[4:8]] == ["3", "-3", "4", "-4"]
    assert {row["own/none"] for row in rows} == {""}
    assert len({len(row) for row in rows}) == 1


def test_true_stops_as_a_normal_end(tmp_path: Path) -> None:
    calls = Calls(lambda call: ({"call": call}, call == 3))
    run = train_small(tmp_path / "run", steps=10_000, on_point=calls)
    assert len(calls.rows) == 3
    assert rows_of(run.path)[-1]["own/call"] == "3"
    facts = read_manifest(run.path, "latest").facts
    assert facts.stopped
    assert facts.num_transitions[0] == calls.rows[-1][0]["steps"] < 10_000
    assert run.evaluation is not None
    with pytest.raises(UphillError, match="is finished"):
        uphill.resume(run.path)
    further = Calls(lambda _: np.bool_(True))
    with pytest.raises(UphillError, match=rf"already goes to {facts.num_transitions[0]}: use more"):
        uphill.resume(run.path, steps=facts.num_transitions[0])
    uphill.resume(run.path, steps=5000, quiet=True, on_point=further)  # less than it was to have
    assert len(further.rows) == 1
    assert rows_of(run.path)[-1]["own/call"] == ""  # a column that nobody fills any more


def test_a_resumed_run_gets_columns_that_it_had_not(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", steps=200, checkpoint_every=0.0)
    before = rows_of(run.path)
    uphill.resume(run.path, steps=400, quiet=True, on_point=lambda rows, _: {"new": 1.5})
    rows = rows_of(run.path)
    assert [row["own/new"] for row in rows] == ["" for _ in before] + ["1.5"] * (
        len(rows) - len(before)
    )
    assert [{**row, "own/new": ""} for row in rows[: len(before)]] == [
        {**row, "own/new": ""} for row in before
    ]


def raises(rows: Any, policies: Any) -> None:
    if rows[0]["update"] > 4:
        raise RuntimeError("the plotter is gone")


def test_its_error_is_told_as_the_users_own_and_what_was_learned_is_saved(tmp_path: Path) -> None:
    with pytest.raises(UphillError, match="on_point raised RuntimeError at") as caught:
        train_small(tmp_path / "run", steps=5_000, on_point=raises)
    text = str(caught.value)
    assert "the plotter is gone" in text
    assert 'raise RuntimeError("the plotter is gone")' in text
    assert "sessions/callback.py" not in text
    assert "is saved in" in text
    updates = read_manifest(tmp_path / "run", "latest").facts.num_updates
    assert 3 <= updates < 6  # every third is logged; the stretch to the sixth is lost
    uphill.resume(tmp_path / "run", steps=6_000, quiet=True)


def test_ctrl_c_in_it_saves_what_was_learned(tmp_path: Path) -> None:
    def interrupted(rows: Any, policies: Any) -> None:
        if rows[0]["update"] > 1:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="Go on with"):
        train_small(tmp_path / "run", steps=5_000, on_point=interrupted)
    assert read_manifest(tmp_path / "run", "latest").facts.num_updates >= 1


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (3, r"returned 3: return None to go on, True to stop, a dict"),
        ({"steps": 1}, None),
        ({"rollout/episode_return": 1}, "is a column of ours"),
        ({3: 1}, "called 3"),
        ({"a\nb": 1}, "called 'a"),
        ({"reach": "far"}, "reach = 'far': give a number"),
        ({"reach": [1.0, 2.0, 3.0]}, "give a number, or 2 numbers, one for each seed"),
        ({"reach": 1, "own/reach": 2}, "two metrics of one name"),
    ],
)
def test_what_it_may_not_return_is_a_sentence(
    returned: Any, sentence: str | None, tmp_path: Path
) -> None:
    out = tmp_path / "run"

    def train() -> None:
        train_small(out, steps=64, seeds=2, on_point=lambda *_: returned)

    if sentence is None:  # a group of its own tells it from our column
        train()
        assert rows_of(out)[0]["own/steps"] == "1"
        return
    with pytest.raises(UphillError, match=sentence) as caught:
        train()
    assert re.match("on_point returned", str(caught.value))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(UphillError, match="on_point is 3: give a function"):
        check_callable(3)
    check_callable(None)
