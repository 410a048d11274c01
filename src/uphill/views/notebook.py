"""Output for notebooks: learning curves with an interval, and films.

In a notebook a picture appears below its cell; a script writes it into the folder where it runs.
The notebooks of `examples/` use it, from whatever folder they are run.
"""

import base64
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from uphill.runs.metrics import read_metrics
from uphill.runs.saved import SavedRun
from uphill.theory.statistics import confidence_band, interquartile_mean
from uphill.views.curves import learning_curve

SeedCurves = tuple[np.ndarray, np.ndarray]
"""Where on the horizontal axis `[G]`, and each seed's values there `[S, G]`."""

PALETTE = 32  # colours of a film


def of_run(run: SavedRun, column: str = "rollout/episode_return") -> SeedCurves:
    """One column of a run's `metrics.csv`, by its steps."""
    return learning_curve(read_metrics(run.path), column)


def curves(
    name: str,
    lines: dict[str, SeedCurves],
    *,
    ylabel: str = "return of training episodes",
    xlabel: str = "steps of each seed",
    threshold: float | None = None,
    ylim: tuple[float, float] | None = None,
    colors: dict[str, str] | None = None,
) -> None:
    """Interquartile means over seeds, with their 95 % bootstrap intervals. A line whose name is
    among the colours has the same one in every picture."""
    figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for label, (x, values) in lines.items():
        middle, color = interquartile_mean(values, axis=0), (colors or {}).get(label)
        (line,) = axes.plot(x, middle, lw=1.8, label=label, color=color)
        low, high = confidence_band(values)
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.18, lw=0)
    if threshold is not None:
        axes.axhline(threshold, color="#777777", lw=1, ls="--", label=f"solved: {threshold:g}")
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    picture(name, figure)


def picture(name: str, figure: Figure) -> None:
    """Show a figure as a PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=90)
    plt.close(figure)
    _show(name, "png", data.getvalue())


class SeenEpisode(NamedTuple):
    """What was seen of one episode."""

    frames: list[np.ndarray]
    episode_return: float
    info: dict[str, Any]


def play(
    env: str,
    act: Callable[[np.ndarray], Any],
    *,
    seed: int = 0,
    every: int | None = 3,
    **arguments: Any,
) -> SeenEpisode:
    """One episode of a compiled world, with a frame of every n-th step (None for no frames)."""
    name = f"uphill.envs.registration:uphill/{env}"
    with warnings.catch_warnings():  # of versions: v1 of a world is not better, but other
        warnings.simplefilter("ignore", DeprecationWarning)
        world = gymnasium.make(name, render_mode="rgb_array", **arguments)
    observation, info = world.reset(seed=seed)
    frames: list[np.ndarray] = []
    total, time, ended = 0.0, 0, False
    while not ended:
        if every is not None and time % every == 0:
            frames.append(_frame(world))
        observation, reward, terminated, truncated, info = world.step(act(observation))
        total, time, ended = total + float(reward), time + 1, terminated or truncated
    if every is not None:
        frames += [_frame(world)] * 8  # the end stands still for a moment
    return SeenEpisode(frames, total, info)


def film(name: str, frames: list[np.ndarray], *, width: int = 320, seconds: float = 0.06) -> None:
    """Show frames as an animated GIF; each stays for `seconds`."""
    height = frames[0].shape[0] * width // frames[0].shape[1]
    images = [Image.fromarray(f).resize((width, height), Image.Resampling.LANCZOS) for f in frames]
    # One palette for all: the pixels that stay as they are then cost nothing.
    palette = images[len(images) // 2].quantize(PALETTE, method=Image.Quantize.FASTOCTREE)
    first, *rest = (im.quantize(palette=palette, dither=Image.Dither.NONE) for im in images)
    data = io.BytesIO()
    duration = round(1000 * seconds)
    first.save(data, "gif", save_all=True, append_images=rest, duration=duration, loop=0)
    _show(name, "gif", data.getvalue())


def _frame(world: Any) -> np.ndarray:
    return np.asarray(world.render())


def _show(name: str, kind: str, data: bytes) -> None:
    if "ipykernel" not in sys.modules:
        Path(f"{name}.{kind}").write_bytes(data)
        print(f"wrote {name}.{kind}")
        return
    from IPython.display import HTML, display

    # As HTML, since not every notebook viewer supports GIF as an output type.
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    display(HTML(f'<img src="{source}" alt="{name}">'))
