"""`uphill evaluate`."""

from dataclasses import dataclass
from typing import Literal

from uphill.cli.output import stdout_for
from uphill.cli.parsing import RunOptions, parse


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Evaluate a run's final or best policies: whole episodes, deterministic and stochastic."""

    episodes: int = 100
    """Episodes for each seed, deterministic and stochastic."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Which policies: the final ones, or each seed's best while it trained. An evaluation of the
    best is shown, but not written: evaluation.json is of the final ones."""
    max_episode_steps: int | None = None
    """Truncate episodes after this many steps, in place of the run's limit; such an evaluation is
    not written, either."""


def command(argv: list[str]) -> None:
    """Evaluate a run, and show the figures."""
    options = parse(EvaluateOptions, argv, "uphill evaluate")
    from uphill.run import load

    with stdout_for(options.json) as show:
        run = load(options.run, checkpoint=options.checkpoint, allow_import=options.allow_import)
        result = run.evaluate(options.episodes, options.allow_import, options.max_episode_steps)
        show(result)
