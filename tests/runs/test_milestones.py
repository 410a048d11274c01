"""When milestones are reached."""

import csv
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from small_runs import small_ppo, small_vpg, train_small
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.parts import Episodes
from uphill.runs.kept_policies import copy_policy
from uphill.runs.milestones import AT_FIRST, Milestone, Tracked, followed, reached, title
from uphill.sessions.intervals import LEAST_POINTS, logging_interval
from uphill.training.trainer import Trainer


def updates(*episodes: list[float], **more: list[int]) -> dict[str, np.ndarray]:
    """Rows of one seed: the returns of the episodes that ended in each update."""
    count = [len(x) for x in episodes]
    rows = {
        "num_episodes": count,
        "return_sum": [sum(x) for x in episodes],
        "return_max": [max(x, default=-np.inf) for x in episodes],
        **{f"reached:{name}": values for name, values in more.items()},
    }
    return {name: np.array(values)[:, None] for name, values in rows.items()}


RANDOM = [10.0] * (AT_FIRST - 1) + [30.0]  # their mean is 12, the best is 30


def found(rows: dict[str, np.ndarray], threshold: float | None = 112.0, **more: Any) -> dict:
    given = {"recent": 50.0, "is_solved": False, "progress": 0.0} | more
    return reached(followed(Tracked(), rows, 0), threshold, **given)


def test_nothing_before_enough_episodes_showed_random_play() -> None:
    assert found(updates([10.0] * (AT_FIRST - 1))) == {}
    assert list(found(updates([], [10.0] * (AT_FIRST - 1), [], [30.0]))) == ["untrained"]


def test_above_random_is_above_the_best_of_the_first_episodes() -> None:
    assert found(updates(RANDOM, [30.0])) == {"untrained": 12.0}
    assert found(updates(RANDOM, [31.0])) == {"untrained": 12.0, "above_random": 31.0}


def test_the_way_to_the_threshold_begins_at_random_play() -> None:
    at = updates(RANDOM, [61.9])  # 12 + 0.5 · (112 − 12) is 62
    assert list(found(at)) == ["untrained", "above_random", "quarter"]
    assert "half" in found(updates(RANDOM, [62.0], []))
    assert list(found(updates(RANDOM, [112.0])))[-1] == "threshold"


def test_a_threshold_below_zero_is_approached_from_below() -> None:
    at_first = [-500.0] * AT_FIRST
    assert "half" not in found(updates(at_first, [-301.0]), threshold=-100.0)
    assert "half" in found(updates(at_first, [-300.0]), threshold=-100.0)


def test_an_episode_exactly_at_the_threshold_is_at_it() -> None:
    # −499.7 + (200 − −499.7) is above 200 as floating-point numbers are added.
    at_first = [-500.0] * (AT_FIRST - 1) + [-497.0]
    assert list(found(updates(at_first, [200.0]), threshold=200.0))[-1] == "threshold"


def test_an_episode_as_good_as_a_lucky_random_one_is_no_milestone() -> None:
    lucky = [*RANDOM[:-1], 80.0]
    assert list(found(updates(lucky, [79.0]))) == ["untrained"]


def test_one_good_episode_solves_nothing() -> None:
    assert "solved" not in found(updates(RANDOM, [500.0]))
    assert found(updates(RANDOM, [500.0]), is_solved=True, recent=113.0)["solved"] == 113.0


def test_without_a_threshold_parts_of_the_training_stand_in() -> None:
    names = list(found(updates(RANDOM, [31.0]), threshold=None, progress=0.5))
    assert names == ["untrained", "above_random", "quarter_trained", "half_trained"]


def test_what_a_world_adds_comes_in_the_order_of_difficulty() -> None:
    rows = updates(
        RANDOM, [31.0, 40.0], [90.0], full_lap=[0, 1, 1], a_start=[0, 2, 1], crash=[0, 0, 0]
    )
    tracked = followed(Tracked(), rows, 0)
    assert [(seen.name, seen.episode_return) for seen in tracked.seen] == [
        ("a_start", 40.0),
        ("full_lap", 40.0),
    ]


def test_it_does_not_matter_how_rows_are_cut() -> None:
    rows = updates(RANDOM[:6], [], RANDOM[6:], [40.0], [35.0], first=[0, 0, 0, 1, 1])
    at_once, in_parts = followed(Tracked(), rows, 0), Tracked()
    for k in range(5):
        in_parts = followed(in_parts, {name: x[k : k + 1] for name, x in rows.items()}, 0)
    assert in_parts == at_once


def test_titles_are_words() -> None:
    assert title("solved") == "solved"
    assert title("long_run") == "long run"


@pytest.mark.parametrize("steps", [10_000, 10**6, 3 * 10**6, 10**8])
@pytest.mark.parametrize("num_envs", [4, 64])
def test_every_run_of_fifty_updates_has_fifty_logging_points(steps: int, num_envs: int) -> None:
    windows = small_ppo()
    every = logging_interval(windows, steps, None)
    assert steps / (4 * 8) / every >= LEAST_POINTS
    episodes = small_vpg(sampling=Episodes(num_envs=num_envs))
    for longest in (200, 1000):
        every = logging_interval(episodes, steps, longest)
        fewest = steps / (num_envs * longest)  # updates, if all episodes take their time
        assert fewest / every >= min(LEAST_POINTS, fewest)


def test_policies_are_those_of_their_moment(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", small_ppo(), steps=4000, seeds=2, seed=3)
    names = {(m.seed_index, m.name) for m in run.milestones}
    assert {(s, name) for s in (0, 1) for name in ("untrained", "above_random")} <= names
    with (run.path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    logged = {(int(row["seed"]) - 3, int(row["update"]), int(row["steps"])) for row in rows}
    for m in run.milestones:
        if m.name == "untrained":
            assert (m.update, m.steps, m.seconds) == (0, 0, 0.0)
            continue
        assert (m.seed_index, m.update, m.steps) in logged
        best = max(
            float(row["rollout/episode_return"] or -np.inf)
            for row in rows
            if int(row["seed"]) - 3 == m.seed_index and int(row["update"]) <= m.update
        )
        assert m.episode_return >= best or m.name == "solved"
    # The untrained policy is the one that training began with, before anything was learned.
    untrained = next(m for m in run.milestones if m.name == "untrained" and m.seed_index == 1)
    start = Trainer(choose("CartPole-v1"), small_ppo(), (4,), 4000).start().learners.actor
    for kept, at_start in zip(
        jax.tree.leaves(run.actor_at(untrained).policy), jax.tree.leaves(start.policy), strict=True
    ):
        np.testing.assert_array_equal(kept, at_start[0])


def test_a_run_too_short_to_show_random_play_has_no_milestones(tmp_path: Path) -> None:
    assert train_small(tmp_path / "run", steps=32).milestones == ()


def test_a_policy_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    known = Milestone("untrained", 0, 0, 0, 0.0, 18.0)
    with pytest.raises(UphillError, match=r"source.* can't be read: No such file or directory\."):
        copy_policy(tmp_path / "source", tmp_path / "run", known, known)


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", small_ppo(), steps=1000)
    milestone, path = run.milestones[0], run.path / "milestones.json"
    (run.path / "milestones" / "0-untrained.safetensors").write_bytes(b"other")
    with pytest.raises(UphillError, match="checksum"):
        run.actor_at(milestone)
    document = json.loads(path.read_text())
    document["milestones"][0]["name"] = "../../etc/passwd"
    path.write_text(json.dumps(document))
    with pytest.raises(UphillError, match="altered"):
        _ = run.milestones
    path.write_text("{}")
    with pytest.raises(UphillError, match="damaged"):
        _ = run.milestones
