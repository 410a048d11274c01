"""The films of a run, as data that the page carries in itself."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uphill.errors import UphillError
from uphill.runs.saved import SavedRun
from uphill.views.films import Clip, milestone_clips
from uphill.views.films.encoding import encode_mp4
from uphill.words import number

WIDTH = 400
"""Pixels across: as wide as a card of the page is, twice over on most screens."""
LARGEST = 12_000_000
"""Bytes that all films of a page may have together; base64 makes a third more of them."""


@dataclass(frozen=True)
class EmbeddedFilm:
    """One episode: a `data:` URI, and the return so far at each of its pictures."""

    source: str
    width: int
    height: int
    fps: float
    speed: int
    """how many times faster than in real time it is"""
    returns: tuple[str, ...]


def films_of(
    run: SavedRun, allow_import: bool = False
) -> tuple[dict[int | None, EmbeddedFilm], str]:
    """Films by the update after which their policies were kept, the final policy's by None; and why
    there are none, where the environment can't draw."""
    try:
        clips = milestone_clips(run, run.seed_index, WIDTH, allow_import=allow_import)
        return _fitting(clips), ""
    except UphillError as error:
        return {}, f"There are no films: {error}"


def _fitting(clips: Sequence[Clip], largest: int = LARGEST) -> dict[int | None, EmbeddedFilm]:
    """Films that are not too large together: of long episodes every second picture is left out
    until they fit, which takes as long to watch."""
    stride = 1
    while True:
        contents = [encode_mp4(clip.frames[::stride], clip.fps / stride) for clip in clips]
        if sum(map(len, contents)) <= largest or stride >= 16:
            break
        stride *= 2
    return {
        clip.milestone.update if clip.milestone else None: _film(clip, content, stride)
        for clip, content in zip(clips, contents, strict=True)
    }


def _film(clip: Clip, content: bytes, stride: int) -> EmbeddedFilm:
    height, width = np.shape(clip.frames[0])[:2]
    return EmbeddedFilm(
        source=f"data:video/mp4;base64,{base64.b64encode(content).decode()}",
        width=width,
        height=height,
        fps=clip.fps / stride,
        speed=clip.speed,
        returns=tuple(map(number, clip.returns[::stride])),
    )
