"""Encodes pictures as films: MP4 for video players, GIF for where only images can be shown.

PyAV ships with FFmpeg's libraries, so no program has to be installed. It and Pillow are imported
only for encoding: reports without films need neither.
"""

import io
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from uphill.errors import UphillError

Frame = UInt8[np.ndarray, "_ _ 3"]

QUALITY = {"crf": "20", "tune": "animation", "threads": "1"}
"""One thread: several may code the same pictures in other bytes."""
Effort = Literal["medium", "veryfast"]
"""What x264 calls its presets: `veryfast` takes two thirds of the time, for a file 15 % larger."""
BT709 = 1  # the number that H.264 has for it

GIF_WIDTH = 480
GIF_FRAMES = 400  # what a GIF may have, so that it stays small
GIF_DELAYS = (7, 8, 10, 12, 14, 16, 20)  # hundredths of a second, what GIF counts in
COLORS = 255  # and one that is transparent
_PALETTE_FRAMES = 64


def encode_mp4(frames: Iterable[Frame], fps: float, effort: Effort = "medium") -> bytes:
    """An MP4 file of frames of one size: H.264 in yuv420p, its index first (faststart), so that
    every browser plays it while it loads. Odd sizes lose their last row or column.

    Raises:
        UphillError: if there is no frame, the frames differ in size, or fps is not positive.
    """
    _check_fps(fps)
    # The index is moved to the front when all is written, which FFmpeg does with a named file only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        _write_mp4(path, _of_one_size(frames), fps, effort)
        return path.read_bytes()


def _write_mp4(path: Path, frames: Iterator[Frame], fps: float, effort: Effort) -> None:
    import av
    from av.video.reformatter import Colorspace, VideoReformatter

    first, reformatter = next(frames), VideoReformatter()
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        rate = Fraction(fps).limit_denominator(1000)
        stream: Any = file.add_stream("libx264", rate=rate, options={"preset": effort} | QUALITY)
        stream.height, stream.width = first.shape[0], first.shape[1]
        stream.pix_fmt = "yuv420p"
        # Said in the file: players guess otherwise, and guess by the size.
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1
        for frame in itertools.chain([first], frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            space = Colorspace.ITU709
            picture = reformatter.reformat(picture, format="yuv420p", dst_colorspace=space)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def encode_jpeg(frame: Frame, quality: int) -> bytes:
    """A picture that stands still."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


class GifSink:
    """Collects those of a film's frames that its GIF will show."""

    def __init__(self, fps: float, delay: int = GIF_DELAYS[0], width: int = GIF_WIDTH) -> None:
        """`delay` is the time that a picture is shown, in hundredths of a second."""
        _check_fps(fps)
        self._every = fps * delay / 100  # frames of the film for one of the GIF, 1 or more
        self._delay = delay
        if self._every < 1:
            self._every, self._delay = 1.0, round(100 / fps)
        self._width = width
        self._kept: list[Any] = []
        self._num_seen = 0

    def add(self, frame: Frame) -> None:
        """The film's next frame."""
        from PIL import Image

        is_due = self._num_seen >= round(len(self._kept) * self._every)
        self._num_seen += 1
        if not is_due or len(self._kept) >= GIF_FRAMES:
            return
        picture = Image.fromarray(frame)
        if picture.width > self._width:
            height = round(picture.height * self._width / picture.width)
            picture = picture.resize((self._width, height), Image.Resampling.HAMMING)
        self._kept.append(picture)

    def encode(self) -> bytes:
        """The file.

        Raises:
            UphillError: if there is no frame.
        """
        from PIL import Image

        if not self._kept:
            raise UphillError(_NO_FRAMES)
        palette = _palette(self._kept)
        flat = [
            picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in self._kept
        ]
        file = io.BytesIO()
        flat[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=flat[1:],
            duration=10 * self._delay,
            loop=0,
            optimize=True,
            transparency=COLORS,  # what has not changed is left out
        )
        return file.getvalue()


def gif_delay(num_frames: int, fps: float) -> int:
    """The shortest time to show each picture, in hundredths of a second, with which a GIF has room
    for the whole film; the longest of all where none has."""
    hundredths = 100 * num_frames / fps
    return next((x for x in GIF_DELAYS if hundredths / x <= GIF_FRAMES), GIF_DELAYS[-1])


def _palette(pictures: Sequence[Any]) -> Any:
    """Colours for all pictures, from some of them side by side."""
    from PIL import Image

    picks = np.linspace(0, len(pictures) - 1, min(len(pictures), _PALETTE_FRAMES)).astype(int)
    sheet = np.concatenate([np.asarray(pictures[k])[::3, ::3] for k in picks])
    return Image.fromarray(sheet).quantize(COLORS, method=Image.Quantize.MEDIANCUT)


_NO_FRAMES = "There are no frames to make a film of: give at least one."


def _of_one_size(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, cut to even sizes."""
    shape = None
    for frame in frames:
        shape = frame.shape if shape is None else shape
        if frame.shape != shape:
            raise UphillError(
                f"A frame has shape {frame.shape}, but the first has {shape}: a film's frames are "
                "of one size."
            )
        yield frame[: shape[0] // 2 * 2, : shape[1] // 2 * 2]
    if shape is None:
        raise UphillError(_NO_FRAMES)


def _check_fps(fps: float) -> None:
    if not fps > 0 or not np.isfinite(fps):
        raise UphillError(f"fps is {fps}: use a positive number.")
