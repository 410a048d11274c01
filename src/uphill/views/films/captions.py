"""Captions above a film's pictures: what is shown, after how much training, and the return."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from uphill.envs.pictures.drawing import Canvas, Color
from uphill.views.films.encoding import Frame
from uphill.words import duration, number

LOGICAL_WIDTH = 640  # the width that the sizes below are meant for
HEIGHT = 58

BACKDROP: Color = (33, 41, 52)
BRIGHT: Color = (248, 247, 243)
FAINT: Color = (150, 160, 172)
DONE: Color = (226, 122, 63)
TO_COME: Color = (70, 80, 94)


@dataclass(frozen=True)
class Caption:
    """The caption of one frame."""

    title: str
    about: str
    """environment, seed, and how fast the film runs"""
    steps: int
    """transitions that had been learned from"""
    seconds: float
    """of training"""
    episode_return: float
    """so far"""
    chapter: int = 0
    num_chapters: int = 1
    done: float = 1.0
    """how much of the chapter has been shown"""


def captioned(frame: Frame, caption: Caption) -> Frame:
    """The frame, with its caption above it."""
    return np.concatenate([_bar(frame.shape[1], caption), frame])


def _bar(width: int, caption: Caption) -> UInt8[np.ndarray, "height width 3"]:
    unit = width / LOGICAL_WIDTH
    height = round(HEIGHT * unit / 2) * 2
    canvas = Canvas((width, height), background=BACKDROP)
    values = {
        "step": f"{caption.steps:,}",
        "trained for": duration(caption.seconds),
        "return": number(caption.episode_return),
    }
    right, column = 16 * unit, 86 * unit
    for k, (name, value) in enumerate(reversed(values.items())):
        at = width - right - column * k
        canvas.text(name, (at, 11 * unit), round(10 * unit), FAINT, "right")
        canvas.text(value, (at, 26 * unit), round(14.5 * unit), BRIGHT, "right")
    room = width - 2 * right - column * len(values)
    canvas.text(caption.title, (right, 10 * unit), _fitting(caption.title, 16 * unit, room), BRIGHT)
    canvas.text(caption.about, (right, 33 * unit), _fitting(caption.about, 11 * unit, room), FAINT)
    _chapters(canvas, caption, unit)
    return canvas.rgb()


def _chapters(canvas: Canvas, caption: Caption, unit: float) -> None:
    """A stroke for each chapter along the lower edge, filled as far as it has been shown."""
    width, height = canvas.size
    thick, gap = 3 * unit, 3 * unit
    each = (width + gap) / caption.num_chapters
    for k in range(caption.num_chapters):
        left, top = k * each, height - thick
        canvas.panel(left, top, each - gap, thick, TO_COME)
        done = min(max(caption.chapter + caption.done - k, 0.0), 1.0)
        if done * (each - gap) >= 1:
            canvas.panel(left, top, done * (each - gap), thick, DONE)


def _fitting(words: str, height: float, room: float) -> int:
    """The largest font height, at most `height`, at which the words fit into `room`."""
    per_letter = 0.52  # of the height, in the font that pygame brings
    return max(round(min(height, room / (per_letter * max(len(words), 1)))), 6)
