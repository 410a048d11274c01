"""Trials end early by the median of earlier ones; what goes on learns the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uphill
from command_line import run_cli
from small_runs import rows_of, small_ppo, tensors_of
from uphill.runs.sweeps import SavedSweep
from uphill.studies.tuning import tune
from uphill.studies.tuning.pruning import Pruner
from uphill.views.curves import RETURN
from uphill.views.sweeps import ranked, sweep_table
from uphill.views.sweeps import rows_of as rows_of_sweep

STEPS = 400
BATCH = 2


def pruner(own: Any = None) -> Pruner:
    """Medians of 10 at 100 steps and 30 at 300."""
    return Pruner(np.array([100.0, 300.0]), np.array([10.0, 30.0]), 200 / 3, own)


def point(steps: int, *returns: float | None) -> list[dict[str, Any]]:
    return [{"steps": steps, RETURN: x} for x in returns]


@pytest.mark.parametrize(
    ("rows", "stops"),
    [
        (point(200, 19.9), True),  # half-way between
        (point(200, 20.0), False),
        (point(200, 10.0, 31.0), False),  # the mean over seeds counts
        (point(200, 10.0, 29.0), True),
        (point(200, None, 19.0), True),
        (point(200, None, None), False),
        (point(60, 0.0), False),  # too early
        (point(400, 29.0), True),  # later than any
    ],
)
def test_what_is_below_the_median_ends(rows: list[dict[str, Any]], stops: bool) -> None:
    assert (pruner()(rows, []) is True) == stops


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, True),
        (False, True),
        ({"mine": 1.0}, ({"mine": 1.0}, True)),
        (({"mine": 1.0}, False), ({"mine": 1.0}, True)),
    ],
)
def test_a_function_of_the_users_own_is_called_first(answer: Any, expected: Any) -> None:
    ahead, behind = point(200, 25.0), point(200, 15.0)
    judged = pruner(lambda rows, policies: answer)
    assert judged(ahead, []) == answer
    assert judged(behind, []) == expected


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The same search without and with pruning."""
    folder = tmp_path_factory.mktemp("searches")
    given: dict[str, Any] = {
        "search": {"optimizer.learning_rate": "1e-5:1e-1:log", "entropy": [0.0]},
        "seeds": 2,
        "steps": STEPS,
        "episodes": 2,
        "fresh_seeds": 2,
        "trials": 4 * BATCH,
        "quiet": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "BATCH", BATCH)
        patch.setattr("uphill.studies.tuning.pruning.FEWEST", 2)
        for prune in (False, True):
            out = folder / f"prune-{prune}"
            uphill.tune("CartPole-v1", small_ppo(), prune=prune, out=out, **given)
    return {prune: folder / f"prune-{prune}" for prune in (False, True)}


def test_some_trials_end_early_and_are_judged_all_the_same(searches: dict[bool, Path]) -> None:
    rows = rows_of_sweep(SavedSweep(searches[True]))
    assert all(row.state == "done" and row.iqm is not None for row in rows)
    early = [row for row in rows if row.steps < STEPS]
    assert early, "the same seeds prune the same trials: choose other numbers if none is"
    assert all(row.steps >= STEPS / 3 for row in early)
    assert all(row.steps >= STEPS for row in rows[:BATCH])  # nobody was before them
    assert [row for row in rows if row.is_early] == early
    for run in (searches[True] / f"fresh-{ranked(rows)[0].run}").glob("*/metrics.csv"):
        assert int(rows_of(run.parent)[-1]["steps"]) >= STEPS  # never on fresh seeds


def test_the_table_and_the_picture_say_which_ended_early(searches: dict[bool, Path]) -> None:
    rows = rows_of_sweep(SavedSweep(searches[True]))
    heads, *cells = sweep_table(rows)
    assert heads[-1] == "ended early"
    said = [f"at {row.steps} steps" if row.steps < STEPS else "–" for row in rows]
    assert [line[-1] for line in cells] == said
    assert "ended early" not in sweep_table(rows_of_sweep(SavedSweep(searches[False])))[0]
    pictures = [(searches[prune] / "sweep.png").read_bytes() for prune in (True, False)]
    assert pictures[0] != pictures[1]


def test_until_it_ends_a_trial_is_what_it_would_have_been(searches: dict[bool, Path]) -> None:
    """As far as both searches propose the same."""
    pruned, whole = (SavedSweep(searches[prune]) for prune in (True, False))
    pairs = list(zip(pruned.runs, whole.runs, strict=True))
    same = [a.folder for a, b in pairs if a.setting == b.setting]
    assert len(same) > BATCH
    for name in same:
        rows, others = (rows_of(saved.path / name) for saved in (pruned, whole))
        wanted = {(row["seed"], row["update"]): row for row in others}
        for row in rows:
            expected = wanted[row["seed"], row["update"]]
            assert row["rollout/episode_return"] == expected["rollout/episode_return"]
            assert row["value/loss"] == expected["value/loss"]
        if len(rows) == len(others):
            found, expected = (tensors_of(saved.path / name, "latest") for saved in (pruned, whole))
            assert all((found[x] == expected[x]).all() for x in expected)


def test_a_folder_of_a_search_without_pruning_is_another_search(
    searches: dict[bool, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("tune", "CartPole-v1", "--algo", "ppo", "--prune", "--out", searches[False], "--quiet")
    assert run_cli(*words) == 1
    said = capsys.readouterr().err
    assert "prune" in said
    assert len(said.strip().splitlines()) == 1
