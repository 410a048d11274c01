"""The films of a run, as data that is embedded in the page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uphill.errors import UphillError
from uphill.runs.saved import SavedRun
from uphill.views.films import Clip, milestone_clips
from uphill.views.films.encoding import Frame, encode_jpeg, encode_mp4
from uphill.words import number

WIDTH = 400
"""Pixels across: as wide as a card of the page is, twice over on most screens."""
LONGEST = 5.0
"""Seconds that a film takes at most: eight of them are watched one after the other."""
CLIP_RATES = (12.0, 20.0)
"""Pictures a second: enough for a small film, and each has to be drawn, coded and carried."""
POSTER_QUALITY = 80
LARGEST = 12_000_000
"""Bytes that all films of a page may have together; base64 makes a third more of them."""


@dataclass(frozen=True)
class EmbeddedFilm:
    """One episode: a `data:` URI, and the return so far at each of its pictures."""

    source: str
    poster: str
    """one of its pictures, to be shown before it plays"""
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
        clips = milestone_clips(
            run, run.seed_index, WIDTH, LONGEST, rates=CLIP_RATES, allow_import=allow_import
        )
        return _fitting(clips), ""
    except UphillError as error:
        return {}, f"There are no films: {error}"


def _fitting(clips: Sequence[Clip], largest: int = LARGEST) -> dict[int | None, EmbeddedFilm]:
    """Films that are not too large together: of long episodes every second picture is left out
    until they fit, which takes as long to watch."""
    stride = 1
    while True:
        contents = [_encoded(clip, stride) for clip in clips]
        if sum(map(len, contents)) <= largest or stride >= 16:
            break
        stride *= 2
    posters = telling_frames([clip.frames for clip in clips])
    return {
        clip.milestone.update if clip.milestone else None: _film(clip, content, poster, stride)
        for clip, content, poster in zip(clips, contents, posters, strict=True)
    }


def _encoded(clip: Clip, stride: int) -> bytes:
    return encode_mp4(clip.frames[::stride], clip.fps / stride, "veryfast")


def telling_frames(films: Sequence[Sequence[Frame]]) -> list[Frame]:
    """A picture of each film, such that together they show what the films differ by: of the first
    and the last film how it ends, of those between what is least like the pictures before it."""
    small = [[_thumbnail(frame) for frame in frames] for frames in films]
    places = [len(frames) - 1 for frames in films]
    for k in range(1, len(films) - 1):
        others = [small[j][places[j]] for j in (*range(k), len(films) - 1)]
        apart = [min(_difference(own, other) for other in others) for own in small[k]]
        places[k] = len(apart) - 1 - int(np.argmax(apart[::-1]))  # of equal ones the last
    return [frames[place] for frames, place in zip(films, places, strict=True)]


def _thumbnail(frame: Frame) -> np.ndarray:
    """Every n-th pixel, since comparing small pictures is enough."""
    step = max(1, frame.shape[1] // 50)
    return frame[::step, ::step].astype(np.float32)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean()) if a.shape == b.shape else np.inf


def _film(clip: Clip, content: bytes, poster: Frame, stride: int) -> EmbeddedFilm:
    height, width = np.shape(clip.frames[0])[:2]
    return EmbeddedFilm(
        source=_data("video/mp4", content),
        poster=_data("image/jpeg", encode_jpeg(poster, POSTER_QUALITY)),
        width=width,
        height=height,
        fps=clip.fps / stride,
        speed=clip.speed,
        returns=tuple(map(number, clip.returns[::stride])),
    )


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
