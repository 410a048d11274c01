"""`uphill record`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uphill.cli.output import stdout_for
from uphill.cli.parsing import RunOptions, parse, take_env_kwargs
from uphill.words import duration, number


@dataclass(frozen=True, kw_only=True)
class RecordOptions(RunOptions):
    """Film a run's final policy, its best one, or with --milestones how it learned: MP4 and GIF."""

    milestones: bool = False
    """Show each milestone of the training, in order, and the final policy after them."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Which policy: the final one, or the seed's best while it trained."""
    seed_index: int | None = None
    """Which seed's policy, counted from 0; by default the one that evaluated best."""
    episodes: int = 1
    """Episodes of the final policy: those whose returns are nearest to the median."""
    sample: bool = False
    """Sample the final policy's actions; by default it takes the most probable ones. Milestones
    always show sampled ones."""
    out: Path | None = None
    """File to write, .mp4 or .gif; by default both, as video, video-best or milestones in the run
    directory."""
    fps: float | None = None
    """Steps of the environment to show in a second; by default real time."""
    width: int | None = None
    """Width in pixels; by default that of the environment's own pictures. Keyword arguments of the
    environment are given as --env.KEY VALUE."""
    max_episode_steps: int | None = None
    """Truncate episodes after this many steps, in place of the run's limit."""


def command(argv: list[str]) -> None:
    """Film a run, and print what the films show and where they are."""
    argv, env_kwargs = take_env_kwargs(argv)
    options = parse(RecordOptions, argv, "uphill record")
    from uphill.run import load
    from uphill.views.films import record

    given = vars(options)
    path, checkpoint, is_json = (given.pop(name) for name in ("run", "checkpoint", "json"))
    with stdout_for(is_json) as show:
        run = load(path, checkpoint=checkpoint, allow_import=options.allow_import)
        film = record(run, **given, env_kwargs=env_kwargs)
        if is_json:
            show({"run": str(path), **film.facts()})
            return
        width, height = film.size
        for path in film.files:
            print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB)")
        returns = ", ".join(map(number, film.returns))
        size = f"{width} × {height} pixels"
        print(f"{duration(film.seconds)}, {size}, seed {film.seed}; returns {returns}")
