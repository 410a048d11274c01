"""Encoding: what was encoded is there when it is decoded by FFmpeg and Pillow again."""

import io
from collections.abc import Iterable
from itertools import pairwise

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from uphill.errors import UphillError
from uphill.views.films.encoding import GIF_FRAMES, GifSink, encode_mp4, gif_delay

COLORS = np.array([(205, 72, 66), (96, 148, 104), (52, 94, 134), (240, 190, 84)], np.uint8)


def moving(num: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """A square of 16 pixels that moves to the right, on a background whose colour it does not."""
    frames = []
    for k in range(num):
        frame = np.tile(COLORS[0], (height, width, 1))
        left = 2 * k % (width - 16)
        frame[8:24, left : left + 16] = COLORS[3]
        frames.append(frame)
    return frames


def decoded(content: bytes) -> tuple[list[np.ndarray], float, str]:
    """Frames, frames a second, and the pixel format of an MP4 file."""
    with av.open(io.BytesIO(content)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        assert stream.average_rate is not None
        assert stream.codec_context.name == "h264"
        return frames, float(stream.average_rate), str(stream.codec_context.pix_fmt)


@pytest.mark.parametrize("fps", [10, 12.5, 30])
def test_an_mp4_holds_every_frame_in_its_colours(fps: float) -> None:
    frames = moving(20)
    found, rate, pixels = decoded(encode_mp4(iter(frames), fps))
    assert (len(found), rate, pixels) == (20, fps, "yuv420p")
    for given, frame in zip(frames, found, strict=True):
        assert frame.shape == (48, 64, 3)
        # Far from the square's edges, which lossy coding blurs: colours are those that were given.
        given, frame = given.astype(int), frame.astype(int)
        assert np.abs(frame[30:] - given[30:]).max() <= 4
        assert np.abs(frame - given).mean() < 4


def test_an_mp4_has_its_index_before_its_pictures() -> None:
    content = encode_mp4(moving(5), 10)
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_odd_sizes_lose_a_row_and_a_column() -> None:
    found, *_ = decoded(encode_mp4(moving(3, width=65, height=49), 10))
    assert found[0].shape == (48, 64, 3)


def encode_gif(frames: Iterable[np.ndarray], fps: float) -> bytes:
    sink = GifSink(fps)
    for frame in frames:
        sink.add(frame)
    return sink.encode()


@pytest.mark.parametrize("encode", [encode_mp4, encode_gif])
def test_what_is_no_film_is_refused(encode: object) -> None:
    assert callable(encode)
    with pytest.raises(UphillError, match="no frames"):
        encode([], 10)
    with pytest.raises(UphillError, match="fps is 0"):
        encode(moving(2), 0)


def test_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(UphillError, match=r"has shape \(48, 66, 3\), but the first"):
        encode_mp4([*moving(2), *moving(1, width=66)], 10)


def gif_frames(content: bytes) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(io.BytesIO(content)) as file:
        assert file.info["loop"] == 0
        pictures = [
            (np.asarray(frame.convert("RGB")), frame.info["duration"])
            for frame in ImageSequence.Iterator(file)
        ]
    frames, durations = zip(*pictures, strict=True)
    return list(frames), list(durations)


def test_a_gif_shows_the_same_pictures() -> None:
    frames = moving(12)
    found, durations = gif_frames(encode_gif(iter(frames), 10))
    assert durations == [100] * 12
    for given, frame in zip(frames, found, strict=True):
        np.testing.assert_array_equal(frame, given)  # three colours fit into any palette


def test_a_gif_is_narrow_and_slow_but_takes_as_long() -> None:
    found, durations = gif_frames(encode_gif(moving(100, width=640, height=320), 50))
    assert found[0].shape == (240, 480, 3)
    assert min(durations) >= 70
    assert abs(sum(durations) - 2000) <= 70
    assert all((a != b).any() for a, b in pairwise(found))


def test_a_gif_is_cut_off_and_a_longer_delay_has_room_for_more() -> None:
    assert gif_delay(100, 10) == 7
    delay = gif_delay(1000, 20)  # 50 s
    assert delay == 14
    sink = GifSink(20, delay)
    for frame in moving(1000, width=32, height=32):
        sink.add(frame)
    _, durations = gif_frames(sink.encode())
    assert abs(sum(durations) - 50_000) <= 140
    assert gif_delay(100_000, 10) == 20
    _, durations = gif_frames(encode_gif(moving(GIF_FRAMES + 50, 32, 32), 10))
    assert sum(durations) == GIF_FRAMES * 100
