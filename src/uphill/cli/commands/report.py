"""`uphill report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import stdout_for
from uphill.cli.parsing import JsonOption, parse


@dataclass(frozen=True, kw_only=True)
class ReportOptions(JsonOption):
    """Make one web page that shows all of a run: whether it is solved, its learning curve, films of
    its milestones, results, diagnostics, and how to repeat it. Several runs are compared. The page
    needs no network, and no other file. For the folder of a sweep, or of a sensitivity study, the
    page is about that."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN …]")]
    """Run directories: what `uphill train` shows as run; or the folder of one sweep
    or study."""
    out: Path | None = None
    """The page; by default report.html in the run directory, and with several runs
    runs/report-TIME.html."""
    films: bool = True
    """Show films of the milestones, which takes some seconds to make. A comparison has none."""
    allow_import: bool = False
    """Import the modules that a `module:ID` environment and custom parts name, to film it."""


def command(argv: list[str]) -> None:
    """Write the report of runs, and print where it is."""
    options = parse(ReportOptions, argv, "uphill report")
    if not options.runs:
        raise WrongCommandLine("RUN is missing: write `uphill report RUN`.")
    from uphill.runs.sensitivity import SavedSensitivity, is_sensitivity
    from uphill.runs.sweeps import SavedSweep, is_sweep
    from uphill.views.report.page import write_study_report

    with stdout_for(options.json) as show:
        if len(options.runs) == 1 and is_sweep(options.runs[0]):
            path = write_study_report(SavedSweep(options.runs[0]), options.out)
        elif len(options.runs) == 1 and is_sensitivity(options.runs[0]):
            path = write_study_report(SavedSensitivity(options.runs[0]), options.out)
        else:
            path = _of_runs(options)
        size = path.stat().st_size
        if options.json:
            show({"report": str(path), "bytes": size, "runs": [str(run) for run in options.runs]})
        else:
            print(f"{path}  ({size / 1e6:.1f} MB; open it in any browser)")


def _of_runs(options: ReportOptions) -> Path:
    from uphill.run import load
    from uphill.views.report import write_report

    runs = [load(run, allow_import=options.allow_import) for run in options.runs]
    return write_report(runs, options.out, options.films, options.allow_import)
