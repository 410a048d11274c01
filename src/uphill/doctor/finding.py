"""A finding: something about an environment that prevents learning, or may."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "advice", "note"]

Name = Literal[
    "reset-raises",
    "step-raises",
    "hangs",
    "wrong-return",
    "observation-shape",
    "observation-dtype",
    "observation-not-finite",
    "observation-outside-space",
    "reward-not-a-number",
    "reward-not-finite",
    "cannot-train",
    "gymnasium-checker",
    "old-signatures",
    "prints",
    "episode-never-ends",
    "no-time-limit",
    "time-limit-as-termination",
    "terminated-and-truncated",
    "reset-not-repeatable",
    "step-not-repeatable",
    "observation-constant",
    "observation-duplicate",
    "observation-scale",
    "observation-overwritten",
    "observation-categories",
    "actions-change-nothing",
    "action-without-effect",
    "reward-constant",
    "sparse-reward",
    "reward-scale",
    "reward-unseen-cause",
    "no-better-than-random",
    "constant-as-good",
]


@dataclass(frozen=True)
class Finding:
    """What was seen, with numbers, and how to fix it: a sentence or two each."""

    name: Name
    severity: Severity
    seen: str
    mend: str
