"""`uphill watch`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uphill.cli.parsing import parse


@dataclass(frozen=True)
class WatchOptions:
    """Show the runs of a folder, and their reports, in a browser on this machine; pages refresh
    themselves while training goes on. Ctrl-C ends it."""

    folder: Annotated[Positional[Path], arg(metavar="RUNS_DIR")] = Path("runs")
    """Folder that holds the runs; by default ./runs."""
    port: int | None = None
    """Port to listen on; by default 8000, or the next one that is free."""
    allow_import: bool = False
    """Import the modules that `module:ID` environments and custom parts name, to film them."""


def command(argv: list[str]) -> None:
    """Serve the reports of a folder of runs until Ctrl-C."""
    options = parse(WatchOptions, argv, "uphill watch")
    from uphill.views.watch import watch

    watch(options.folder, options.port, options.allow_import, partial(print, flush=True))
