"""What diagnostics say follows from their numbers."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from uphill.policies.actions import action_kind_of
from uphill.theory.distributions import Categorical
from uphill.views.report.diagnosis import DIAGNOSTICS, Course, course, largest_entropy, own

ROOT = Path(__file__).parents[3]


def said(column: str, start: float, end: float, most: float | None = None, **more: float) -> str:
    (diagnostic,) = [d for d in DIAGNOSTICS if d.column == column]
    low, high = more.get("low", min(start, end)), more.get("high", max(start, end))
    return diagnostic.says(Course(start, end, low, high, most))


@pytest.mark.parametrize(
    ("column", "start", "end", "most", "words"),
    [
        ("policy/entropy", 0.69, 0.03, 0.693, "0.69 to 0.03, of 0.693 at most: .*certain"),
        ("policy/entropy", 0.69, 0.3, 0.693, "became decided"),
        ("policy/entropy", 0.69, 0.68, 0.693, "stayed near 0.68.* almost at random"),
        ("policy/entropy", 1.4, -0.5, None, "fell from 1.4 to −0.5: the policy became less random"),
        ("policy/entropy", 1.4, 2.0, None, "became more random"),
        ("gradient/snr", 3, 2.5, None, "2.5: in each gradient was more signal than noise"),
        ("gradient/snr", 3, 0.4, None, "more noise than signal, which is usual"),
        ("gradient/snr", 3, -0.01, None, "nothing but noise"),
        ("policy/kl", 0.01, 0.002, None, r"small steps \(0.002 at the end, 0.01 at most"),
        ("policy/kl", 0.3, 0.002, None, r"changed the policy a lot \(0.3 at most"),
        ("policy/kl", 1e-6, 1e-6, None, "hardly learned"),
        ("value/explained_variance", 0.1, 0.93, None, "0.93: .* predicts returns well"),
        ("value/explained_variance", 0.1, 0.5, None, "predicts some of what"),
        ("value/explained_variance", 0.1, 0.02, None, "little more than the average"),
        ("value/explained_variance", 0.9, -2.0, None, "after 0.9 at best.* means little"),
        ("value/explained_variance", 0.1, -2.0, None, "worse than guessing"),
        ("policy/clip_fraction", 0.1, 0.4, None, "40\u00a0% of the samples.* large"),
        ("policy/clip_fraction", 0.1, 0.001, None, "less than 1\u00a0% .*hardly needed"),
        ("policy/clip_fraction", 0.1, 0.0, None, "end 0\u00a0% .*hardly needed"),
        ("policy/clip_fraction", 0.1, 0.1, None, "common"),
        ("policy/clipped_actions", 0.1, 0.5, None, "50\u00a0% of the actions.* wants more"),
        ("policy/clipped_actions", 0.1, 0.1, None, "cut to fit"),
        ("policy/step_fraction", 1.0, 1.0, None, "taken whole"),
        ("policy/step_fraction", 1.0, 0.4, None, "40\u00a0% of each step"),
        ("gradient/norm", 5.0, 0.5, None, "length fell from 5 to 0.5"),
        ("gradient/norm", 50.0, 0.5, None, "ended at 0.5, after peaks of up to 50"),
        ("rollout/episode_length", 20.0, 500.0, None, "rose from 20 to 500 steps"),
        ("value/loss", 20.0, 5.0, None, "fell from 20 to 5"),
    ],
)
def test_a_sentence_follows_from_the_numbers(
    column: str, start: float, end: float, most: float | None, words: str
) -> None:
    assert re.search(words, said(column, start, end, most))


def test_start_and_end_are_those_of_the_curve_and_the_extremes_those_of_all_that_is_drawn() -> None:
    values = np.array([2.0, 9.0, 5.0, 1.0])
    assert course(values) == Course(2.0, 1.0, 1.0, 9.0)
    seeds = np.stack([values - 3, values + 3])
    assert course(values, seeds, 20.0) == Course(2.0, 1.0, -2.0, 12.0, 20.0)
    assert course(np.array([3.0])) == Course(3.0, 3.0, 3.0, 3.0)


def test_the_largest_entropy_is_that_of_choosing_blindly() -> None:
    blind = Categorical(jnp.zeros(5)).entropy()
    of_5 = largest_entropy(action_kind_of(spaces.Discrete(5)))
    assert of_5 == pytest.approx(float(blind), rel=1e-6)
    of_both = largest_entropy(action_kind_of(spaces.MultiDiscrete([5, 5])))
    assert of_both == pytest.approx(2 * float(blind), rel=1e-6)
    of_bits = largest_entropy(action_kind_of(spaces.MultiBinary(3)))
    assert of_bits == pytest.approx(3 * np.log(2))
    assert largest_entropy(action_kind_of(spaces.Box(-1, 1, (2,)))) is None


def test_every_column_that_is_diagnosed_is_one_of_metrics_csv() -> None:
    table = (ROOT / "docs/metrics.md").read_text().split("# milestones.json")[0]
    columns = set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))
    assert {d.column for d in DIAGNOSTICS} <= columns
    # No column of ours is taken for the user's own.
    assert {column for column in columns if own(column)} == set()
    assert own("own/reach") is not None
