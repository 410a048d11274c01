"""Learning: from trajectories to better policies.

`Trainer` and `iterate` are the loop itself, for those who want to own it; `parts` is what
algorithms are composed of.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uphill.learning import parts as parts
    from uphill.learning.train import Trainer as Trainer
    from uphill.learning.train import iterate as iterate

__all__ = ["Trainer", "iterate"]


def __getattr__(name: str) -> Any:
    # Imported when first used: `uphill algos` needs no environment.
    if name == "parts":
        return import_module("uphill.learning.parts")
    if name in __all__:
        return getattr(import_module("uphill.learning.train"), name)
    raise AttributeError(f"module 'uphill.learning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "parts"})
