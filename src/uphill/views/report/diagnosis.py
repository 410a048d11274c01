"""Interprets a run's diagnostics, each in a sentence that follows from its numbers.

The rules are rules of thumb: they say what a number usually means, and quote it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uphill.policies.actions import ActionKind, Composite
from uphill.policies.choices import Choice, Choices, Switches
from uphill.words import number, percent


@dataclass(frozen=True)
class Course:
    """A diagnostic over a run, in the few numbers that rules look at: each can be seen in its
    chart."""

    start: float
    """where the curve begins"""
    end: float
    """and where it ends"""
    low: float
    high: float
    most: float | None = None
    """what it could be at most, where that is known"""


@dataclass(frozen=True)
class Diagnostic:
    """A column of metrics.csv: what it is, and the rule that says what it shows."""

    column: str
    title: str
    meaning: str
    says: Callable[[Course], str]
    is_share: bool = False
    """whether it is a part of a whole, from 0 to 1"""


def course(
    curve: Float[np.ndarray, " G"],
    seeds: Float[np.ndarray, "S G"] | None = None,
    most: float | None = None,
) -> Course:
    """The course of a curve without gaps; the lowest and the highest number are those of all that
    is drawn: of each seed, too."""
    drawn = curve if seeds is None else seeds
    low, high = float(drawn.min()), float(drawn.max())
    return Course(float(curve[0]), float(curve[-1]), low, high, most)


def largest_entropy(kind: ActionKind) -> float | None:
    """Σ log n over choices of n, in nats: that of a policy that knows nothing. None for actions
    whose entropy has no bound."""
    match kind:
        case Choice():
            return float(np.log(kind.size))
        case Choices():
            return float(np.log(kind.sizes).sum())
        case Switches():
            return float(np.log(2) * np.prod(kind.shape))
        case Composite():
            of_parts = [most for part in kind.parts if (most := largest_entropy(part)) is not None]
            return sum(of_parts) if len(of_parts) == len(kind.parts) else None
        case _:
            return None


def _moved(c: Course) -> str:
    """Fell from 0.69 to 0.12; or: stayed near 0.69."""
    if abs(c.end - c.start) <= 0.05 * max(abs(c.start), abs(c.end), 1e-12):
        return f"stayed near {number(c.end)}"
    return f"{'fell' if c.end < c.start else 'rose'} from {number(c.start)} to {number(c.end)}"


def _part(share: float) -> str:
    """What is hardly anything is not nothing."""
    return f"less than {percent(0.01)}" if 0 < share < 0.005 else percent(share)


def _entropy(c: Course) -> str:
    if c.most is None:
        became = "less" if c.end < c.start - 0.1 else "more" if c.end > c.start + 0.1 else "no less"
        return f"Entropy {_moved(c)}: the policy became {became} random."
    of = f"Entropy {_moved(c)}, of {number(c.most)} at most"
    if c.end < 0.1 * c.most:
        return f"{of}: the policy became certain, and hardly tries anything else."
    if c.end < 0.75 * c.most:
        return f"{of}: the policy became decided, and still tries other actions."
    return f"{of}: the policy still acts almost at random."


def _snr(c: Course) -> str:
    if c.end > 1:
        return f"It ended at {number(c.end)}: in each gradient was more signal than noise."
    if c.end > 0.1:
        return (
            f"It ended at {number(c.end)}: each gradient was more noise than signal, which is "
            "usual once a policy is good, and averages out over many updates."
        )
    return (
        f"It ended at {number(c.end)}: the last gradients were nothing but noise. Either there was "
        "nothing left to learn, or batches are too small to see it."
    )


def _kl(c: Course) -> str:
    typical, largest = number(c.end), number(c.high)
    if c.high > 0.1:
        return (
            f"Some updates changed the policy a lot ({largest} at most): if the return collapsed "
            "there, a lower learning rate would be calmer."
        )
    if c.high < 1e-4:
        return f"Updates changed the policy by {largest} at most: it hardly learned."
    return f"Updates were small steps ({typical} at the end, {largest} at most)."


def _explained(c: Course) -> str:
    end = f"Explained variance ended at {number(c.end)}"
    if c.end > 0.8:
        return f"{end}: the value function predicts returns well."
    if c.end > 0.3:
        return f"{end}: the value function predicts some of what returns differ by."
    if c.end > -0.1:
        return (
            f"{end}: the value function predicts little more than the average. Where all returns "
            "are alike, there is nothing else to predict."
        )
    if c.high > 0.5:
        return (
            f"{end}, after {number(c.high)} at best. Once all returns are alike there is nothing "
            "to explain, and this number means little; else the value function has lost its way."
        )
    return f"{end}: the value function was worse than guessing the average, and added noise."


def _clip_fraction(c: Course) -> str:
    clipped = f"At the end {_part(c.end)} of the samples were clipped"
    if c.end > 0.3:
        return f"{clipped}: steps were large for this clip."
    if c.end < 0.005:
        return f"{clipped}: the clip was hardly needed."
    return f"{clipped}: a common amount."


def _clipped_actions(c: Course) -> str:
    beyond = f"At the end {_part(c.end)} of the actions were beyond the bounds"
    if c.end > 0.3:
        return f"{beyond}: the policy wants more than it may."
    return f"{beyond}, and cut to fit."


def _norm(c: Course) -> str:
    if c.high > 20 * max(c.end, 1e-12):
        return f"It ended at {number(c.end)}, after peaks of up to {number(c.high)}."
    return f"The gradient's length {_moved(c)}."


def _length(c: Course) -> str:
    return f"Episodes {_moved(c)} steps."


def _loss(c: Course) -> str:
    return f"The squared error {_moved(c)}; it grows with returns, so it need not fall."


def _step_fraction(c: Course) -> str:
    if c.low >= 0.99:
        return "Every step was taken whole."
    return f"On average {percent(c.end)} of each step was taken at the end: the search cut some."


DIAGNOSTICS = (
    Diagnostic(
        "policy/entropy",
        "Entropy of the policy",
        "How undecided the policy is. Learning should bring it down, but not at once.",
        _entropy,
    ),
    Diagnostic(
        "gradient/snr",
        "Signal-to-noise ratio of the gradient",
        "How much of each gradient points uphill (1: as much signal as noise; 0: only noise).",
        _snr,
    ),
    Diagnostic(
        "policy/kl",
        "KL divergence of an update",
        "How far one update moves the policy.",
        _kl,
    ),
    Diagnostic(
        "value/explained_variance",
        "Explained variance",
        "How well the value function foresees returns: at most 1 (less, where chance decides too), "
        "and 0 for a constant.",
        _explained,
    ),
    Diagnostic(
        "policy/clip_fraction",
        "Clipped samples",
        "Share of the samples on which PPO’s clip held the update back.",
        _clip_fraction,
        is_share=True,
    ),
    Diagnostic(
        "policy/clipped_actions",
        "Clipped actions",
        "Share of the actions that lay outside of what the environment takes.",
        _clipped_actions,
        is_share=True,
    ),
    Diagnostic(
        "policy/step_fraction",
        "Line search",
        "How much of each natural step was taken.",
        _step_fraction,
        is_share=True,
    ),
    Diagnostic(
        "gradient/norm",
        "Length of the gradient",
        "How steep the objective is where the policy stands.",
        _norm,
    ),
    Diagnostic(
        "rollout/episode_length",
        "Length of episodes",
        "Transitions in a training episode.",
        _length,
    ),
    Diagnostic(
        "value/loss",
        "Error of the value function",
        "Mean squared difference between predicted and observed returns.",
        _loss,
    ),
)

OTHERS = frozenset(
    {
        *("seed", "update", "steps", "time/seconds", "time/steps_per_second"),
        *("rollout/episode_return", "rollout/num_episodes", "evaluation/episode_return"),
        *("policy/surrogate", "policy/approximate_kl", "policy/num_steps"),
    }
)
"""Our columns that no card is about."""


def own(column: str) -> Diagnostic | None:
    """A metric of `on_point`, of a user's part, or of the world; None for our columns."""
    if column in OTHERS or column in {d.column for d in DIAGNOSTICS}:
        return None
    title = column.removeprefix("own/")
    meaning = "A metric of the environment’s or your own."
    return Diagnostic(column, title, meaning, lambda c: f"It {_moved(c)}.")
