"""Run directories: what training writes, and what evaluation and plots read."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uphill.runs import doctor as doctor
    from uphill.runs import films as films
    from uphill.runs import plots as plots
    from uphill.runs import report as report

_PACKAGES = ("doctor", "films", "plots", "report")


def __getattr__(name: str) -> Any:
    # Imported when first used: training needs none of them.
    if name in _PACKAGES:
        return import_module(f"uphill.runs.{name}")
    raise AttributeError(f"module 'uphill.runs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES})
