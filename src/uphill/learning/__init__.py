"""Learning: from trajectories to better policies.

`Trainer` and `iterate` are the loop itself, for those who want to own it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uphill.learning.train import Trainer as Trainer
    from uphill.learning.train import iterate as iterate

__all__ = ["Trainer", "iterate"]


def __getattr__(name: str) -> Any:
    # Imported when first used: `uphill algos` needs no environment.
    if name in __all__:
        return getattr(import_module("uphill.learning.train"), name)
    raise AttributeError(f"module 'uphill.learning' has no attribute {name!r}")
