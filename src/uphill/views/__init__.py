"""Output from saved runs: plots, films, reports, and the server that shows them.

Nothing is trained here, and only these pictures and pages are written to a run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uphill.views import films as films
    from uphill.views import plots as plots
    from uphill.views import report as report

_ROOMS = ("films", "plots", "report")


def __getattr__(name: str) -> Any:
    # Imported on first use: training needs none of them.
    if name in _ROOMS:
        return import_module(f"uphill.views.{name}")
    raise AttributeError(f"module 'uphill.views' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
