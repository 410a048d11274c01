"""Captions: above the picture, and different wherever what they say differs."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from uphill.views.films.captions import Caption, captioned

CAPTION = Caption("first curve", "CarRace-v0 · ppo · seed 0", 7_814, 25.3, 13.5, 1, 5, 0.5)


@pytest.mark.parametrize("width", [160, 480, 720])
def test_the_picture_stays_as_it_is_below_its_caption(width: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, width, 3), np.uint8)
    whole = captioned(frame, CAPTION)
    height = whole.shape[0] - 90
    assert whole.shape[1:] == (width, 3)
    assert height % 2 == 0
    assert 0.08 * width < height < 0.1 * width
    np.testing.assert_array_equal(whole[height:], frame)
    assert len(np.unique(whole[:height].reshape(-1, 3), axis=0)) > 20  # letters, smoothed


def test_whatever_is_said_is_seen() -> None:
    frame = np.zeros((10, 480, 3), np.uint8)
    others = [
        replace(CAPTION, title="full lap"),
        replace(CAPTION, about="CarRace-v0 · ppo · seed 1"),
        replace(CAPTION, steps=7_815),
        replace(CAPTION, seconds=26.3),
        replace(CAPTION, episode_return=-13.5),
        replace(CAPTION, chapter=2),
        replace(CAPTION, num_chapters=6),
        replace(CAPTION, done=0.6),
    ]
    pictures = [captioned(frame, caption) for caption in (CAPTION, *others)]
    for a, b in combinations(pictures, 2):
        assert (a != b).any()
    np.testing.assert_array_equal(captioned(frame, replace(CAPTION)), pictures[0])


def test_a_long_title_is_written_smaller_and_keeps_clear_of_the_figures() -> None:
    frame = np.zeros((2, 640, 3), np.uint8)
    blank = captioned(frame, replace(CAPTION, title=""))
    long = captioned(frame, replace(CAPTION, title="three quarters of the way to the threshold"))
    changed = np.argwhere((blank != long).any(-1))
    assert 200 < changed[:, 1].max() < 640 - 16 - 3 * 86
