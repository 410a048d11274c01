"""Work spread over the machines of a Ray cluster: what is sent, what comes back, and how that is
merged into the run directory that one machine would have written.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uphill.clusters import seeds as seeds


def __getattr__(name: str) -> Any:
    # Imported on first use: training on one machine needs none of it.
    if name == "seeds":
        return import_module("uphill.clusters.seeds")
    raise AttributeError(f"module 'uphill.clusters' has no attribute {name!r}")
