"""`uphill record`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from uphill.cli.output import stdout_for
from uphill.cli.parsing import parse, take_env_kwargs
from uphill.words import duration


@dataclass(frozen=True)
class RecordOptions:
    """Film a run's final policy, its best one, or with --milestones how it learned: MP4 and GIF."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory: what `uphill train` shows as run."""
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
    allow_import: bool = False
    """Import the modules that a `module:ID` environment and custom parts name."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def command(argv: list[str]) -> None:
    """Film a run, and print what the films show and where they are."""
    argv, env_kwargs = take_env_kwargs(argv)
    options = parse(RecordOptions, argv, "uphill record")
    from uphill.run import load
    from uphill.views.films import record

    with stdout_for(options.json) as show:
        film = record(
            load(options.run, checkpoint=options.checkpoint, allow_import=options.allow_import),
            options.milestones,
            seed_index=options.seed_index,
            episodes=options.episodes,
            sample=options.sample,
            out=options.out,
            fps=options.fps,
            width=options.width,
            env_kwargs=env_kwargs,
            allow_import=options.allow_import,
            max_episode_steps=options.max_episode_steps,
        )
        if options.json:
            show({"run": str(options.run), **film.facts()})
            return
        width, height = film.size
        for path in film.files:
            print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB)")
        returns = ", ".join(f"{x:.1f}" for x in film.returns)
        size = f"{width} × {height} pixels"
        print(f"{duration(film.seconds)}, {size}, seed {film.seed}; returns {returns}")
