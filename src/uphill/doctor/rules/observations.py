"""Findings about observations: numbers without information, or at a scale that is bad for
networks."""

import itertools

import numpy as np
from jaxtyping import Bool, Float

from uphill.doctor.facts import EnvironmentFacts
from uphill.doctor.finding import Finding
from uphill.doctor.numbers import images_of_bytes, is_measured, is_pixel, number_names
from uphill.words import among, number, option

_MANY = 512
"""Of more numbers (pictures) none is looked at alone."""
_FEW_ROWS, _FEW_EPISODES = 20, 3
_DISTINCT = 10
"""Values that a number has taken before it can be said to repeat another one."""
_HUGE, _TINY, _UNEQUAL = 100.0, 0.01, 1000.0
_MOST_CATEGORIES = 32
"""Of more, numbers from 0 on may be a dark image."""


def constant_numbers(facts: EnvironmentFacts) -> list[Finding]:
    """Numbers that never change."""
    rows = _rows(facts)
    if len(rows) < _FEW_ROWS:
        return []
    constant = is_constant(rows)
    if constant.all():
        return [
            Finding(
                "observation-constant",
                "problem",
                f"The observation never changed in {len(rows):,} observations: the agent sees "
                "nothing.",
                "Return what the agent needs to know; a copy, not the array of the first step.",
            )
        ]
    constant &= ~np.array(is_pixel(facts.observation_space), bool)
    if not constant.any() or len(constant) > _MANY or not _has_begun_anew(facts):
        return []
    which = _listed(facts, np.flatnonzero(constant))
    return [
        Finding(
            "observation-constant",
            "advice",
            f"{constant.sum()} of {len(constant)} numbers never changed in {len(rows):,} "
            f"observations, at random and with constant actions: {which}.",
            "Leave them out, or see why they stay: a sensor that is not read, a flag that nobody "
            "sets?",
        )
    ]


def duplicate_numbers(facts: EnvironmentFacts) -> list[Finding]:
    """Numbers that say what another one says, but for scale and offset."""
    rows = _rows(facts)
    if len(rows) < _FEW_ROWS or rows.shape[1] > _MANY or not _has_begun_anew(facts):
        return []
    pixel = is_pixel(facts.observation_space)
    pairs = [(a, b) for a, b in duplicates(rows) if not (pixel[a] or pixel[b])]
    if not pairs:
        return []
    all_names = number_names(facts.observation_space)
    shown = [f"{all_names[b]} says what {all_names[a]} says" for a, b in pairs[:4]]
    more = f", and {len(pairs) - 4} more" if len(pairs) > 4 else ""
    return [
        Finding(
            "observation-duplicate",
            "advice",
            f"In {len(rows):,} observations, {'; '.join(shown)}{more} (but for scale and offset).",
            "Leave one of them out, or see whether the wrong number is returned.",
        )
    ]


def badly_scaled_numbers(facts: EnvironmentFacts) -> list[Finding]:
    """Numbers that are huge, tiny, or of very unequal sizes."""
    rows, is_quantity = facts.random.rows, np.array(is_measured(facts.observation_space), bool)
    if len(rows) < _FEW_ROWS:
        return []
    looked_at = is_quantity & ~is_constant(rows)
    if not looked_at.any():
        return []
    size, indices = np.abs(rows[:, looked_at]).max(0), np.flatnonzero(looked_at)
    most, least = size.max(), size.min()
    if most <= _HUGE and most >= _TINY and most <= _UNEQUAL * least:
        return []
    all_names = number_names(facts.observation_space)
    largest, smallest = (all_names[indices[k]] for k in (size.argmax(), size.argmin()))
    if len(size) == 1:
        seen = f"{largest} is at most {number(most)} in size."
    else:
        seen = (
            f"Its numbers are of sizes from {number(least)} ({smallest}) to {number(most)} "
            f"({largest}) in random play."
        )
    return [
        Finding(
            "observation-scale",
            "advice",
            f"{seen} Networks learn best from numbers around 1.",
            f"Train with {option('normalize_observations', True)}, as PPO does by itself, or "
            "divide each number by its usual size in the environment.",
        )
    ]


def categories_as_bytes(facts: EnvironmentFacts) -> list[Finding]:
    """Images of bytes that hold small numbers only."""
    found = categories_seen(facts)
    if not found:
        return []
    seen = [f"The bytes of {name} were 0 to {most}" for name, most in found]
    largest = max(most for _, most in found)
    return [
        Finding(
            "observation-categories",
            "advice",
            f"{'; '.join(seen)} in {len(_rows(facts)):,} observations, of 255: that looks like "
            "categories, as of the cells of a grid, and not like brightness.",
            f"If they are, train with {option('observation_categories', 1 + largest)} (one more "
            "than the largest), as the command below does; if not, let the brightest be 255.",
        )
    ]


def categories_seen(facts: EnvironmentFacts) -> list[tuple[str, int]]:
    """Images whose bytes look like categories, and the largest of each."""
    rows = _rows(facts)
    if len(rows) < _FEW_ROWS:
        return []
    largest = [
        (name, int(rows[:, part].max())) for name, part in images_of_bytes(facts.observation_space)
    ]
    return [(name, most) for name, most in largest if 1 < most < _MOST_CATEGORIES]


def written_over(facts: EnvironmentFacts) -> list[Finding]:
    """Observations that change after they were returned."""
    count = sum(play.overwritten for play in facts.plays)
    if not count:
        return []
    steps = sum(len(play.rewards) for play in facts.plays)
    return [
        Finding(
            "observation-overwritten",
            "advice",
            f"{count:,} observations in {steps:,} steps were written over by a later step: it "
            "returns the same array again and again.",
            "Return a copy (`return self.state.copy()`): Uphill makes one, but whoever else keeps "
            "an observation, as for a replay memory, finds it changed.",
        )
    ]


def is_constant(rows: Float[np.ndarray, "rows D"]) -> Bool[np.ndarray, " D"]:
    """Which columns hold one value only."""
    return (rows == rows[:1]).all(0)


def duplicates(rows: Float[np.ndarray, "rows D"]) -> list[tuple[int, int]]:
    """Pairs of columns that are multiples of each other but for an offset."""
    many = [k for k in range(rows.shape[1]) if len(np.unique(rows[:, k])) >= _DISTINCT]
    columns = rows[:, many]
    standard = (columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-300)
    first: dict[int, int] = {}  # of each column that says what an earlier one says, that one
    for i, j in itertools.combinations(range(len(many)), 2):
        x, y = standard[:, i], standard[:, j]
        if min(np.abs(x - y).max(), np.abs(x + y).max()) < 1e-4:
            first.setdefault(j, i)
    return sorted((many[i], many[j]) for j, i in first.items())


def _has_begun_anew(facts: EnvironmentFacts) -> bool:
    """Whether there were enough episodes: some numbers change with the episode only."""
    return len(facts.random.returns) >= _FEW_EPISODES


def _rows(facts: EnvironmentFacts) -> Float[np.ndarray, "rows D"]:
    return np.concatenate([play.rows for play in facts.plays])


def _listed(facts: EnvironmentFacts, indices: np.ndarray) -> str:
    all_names = number_names(facts.observation_space)
    return ", ".join(among([all_names[k] for k in indices]))
