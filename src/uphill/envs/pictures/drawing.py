"""A canvas for pictures of environments: world coordinates in, smooth RGB pixels out.

It draws with pygame, which comes with `gymnasium[classic-control]`, in memory: no display is
needed. Everything is drawn three times too large and averaged once, which smooths every edge alike.
Nothing is drawn before the pixels are requested, so a small picture takes little work.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8, UInt32

Color = tuple[int, int, int] | tuple[int, int, int, int]
Point = Sequence[float] | Float[np.ndarray, "2"]
Points = Sequence[Point] | Float[np.ndarray, "points 2"]
Stroke = Callable[[Any, float], None]
"""`stroke(surface, grain)` draws on a pygame surface with `grain` of its pixels to one of ours."""

SUPERSAMPLING = 3
ROWS_AT_ONCE = 40  # rows of pixels that are averaged at once

PAPER: Color = (247, 245, 240)
GROUND: Color = (229, 225, 215)
LINE: Color = (172, 166, 152)
INK: Color = (42, 52, 65)
MUTED: Color = (128, 132, 137)
BLUE: Color = (52, 94, 134)
DEEP_BLUE: Color = (36, 66, 97)
ORANGE: Color = (226, 122, 63)
RED: Color = (205, 72, 66)
GREEN: Color = (96, 148, 104)
YELLOW: Color = (240, 190, 84)


class Canvas:
    """A picture of `size` pixels; y points up, and `center` of the world lies in the middle.

    `scale` is the number of pixels to a unit of the world. Colours may have a fourth number, their
    opacity from 0 to 255.
    """

    def __init__(
        self,
        size: tuple[int, int] = (600, 400),
        scale: float = 100.0,
        center: Point = (0.0, 0.0),
        background: Color = PAPER,
    ) -> None:
        self.size = size
        self.scale = scale
        self.center = (float(center[0]), float(center[1]))
        self.background = background
        self._strokes: list[Stroke] = []
        self._below: tuple[Canvas, int] | None = None
        self._kept: dict[tuple[int, int, int], Any] = {}

    def copy(self) -> "Canvas":
        """A copy to draw on, so that a constant background is painted only once."""
        canvas = Canvas(self.size, self.scale, self.center, self.background)
        canvas._below = self, len(self._strokes)
        return canvas

    def polygon(self, points: Points, color: Color) -> None:
        """The inside of a closed line, in coordinates of the world."""
        import pygame

        self._add(
            self._pixels(points), 0.0, color, lambda to, at, _: pygame.draw.polygon(to, color, at)
        )

    def line(self, points: Points, width: float, color: Color) -> None:
        """A line through all points, `width` units of the world thick, with round caps."""
        import pygame

        def draw(surface: Any, at: list[list[float]], radius: float) -> None:
            for a, b in pairwise(at):
                pygame.draw.polygon(surface, color, _strip(a, b, radius))
            for point in at:
                pygame.draw.circle(surface, color, point, radius)

        self._add(self._pixels(points), width * self.scale / 2, color, draw)

    def circle(self, middle: Point, radius: float, color: Color) -> None:
        """A disc."""
        import pygame

        def draw(surface: Any, at: list[list[float]], wide: float) -> None:
            pygame.draw.circle(surface, color, at[0], wide)

        self._add(self._pixels([middle]), radius * self.scale, color, draw)

    def hub(self, middle: Point, radius: float) -> None:
        """A dark disc with a light middle: a hinge, or a wheel."""
        self.circle(middle, radius, INK)
        self.circle(middle, 0.4 * radius, PAPER)

    def box(
        self,
        middle: Point,
        width: float,
        height: float,
        color: Color,
        angle: float = 0.0,
        rounding: float = 0.0,
    ) -> None:
        """A rectangle, turned by `angle` about its middle, with corners rounded to a radius."""
        inner = np.array([width, height]) / 2 - rounding
        turns = np.linspace(0.0, 2 * math.pi, 33)[:-1] + math.pi / 64
        arcs = np.stack([np.cos(turns), np.sin(turns)], axis=-1)
        outline = np.sign(arcs) * inner + rounding * arcs
        self.polygon(outline @ rotation(angle).T + np.asarray(middle, float), color)

    def shadow(self, middle: Point, width: float, height: float, opacity: int = 70) -> None:
        """A soft ellipse that is darkest in the middle."""
        layers = 10
        turns = np.linspace(0.0, 2 * math.pi, 49)[:-1]
        ellipse = np.stack([np.cos(turns) * width, np.sin(turns) * height], axis=-1) / 2
        for k in range(layers):
            ring = ellipse * (1 - k / layers) + np.asarray(middle, float)
            self.polygon(ring, (30, 34, 40, max(opacity // layers, 1)))

    def text(
        self,
        words: str,
        at: tuple[float, float],
        height: int = 15,
        color: Color = INK,
        align: Literal["left", "center", "right"] = "left",
    ) -> None:
        """A line of text; `at` is in pixels from the top left, whatever the world's scale."""
        share = {"left": 0.0, "center": 0.5, "right": 1.0}[align]

        def stroke(surface: Any, grain: float) -> None:
            drawn = _written(words, round(height * 1.4 * grain), color)
            surface.blit(drawn, (at[0] * grain - share * drawn.get_width(), at[1] * grain))

        self._strokes.append(stroke)

    def panel(self, left: float, top: float, width: float, height: float, color: Color) -> None:
        """A rounded rectangle in pixels from the top left: what text stands on."""
        import pygame

        def stroke(surface: Any, grain: float) -> None:
            layer = pygame.Surface((width * grain, height * grain), pygame.SRCALPHA)
            rounding = min(round(8 * grain), int(height * grain / 2))
            pygame.draw.rect(layer, color, layer.get_rect(), border_radius=rounding)
            surface.blit(layer, (left * grain, top * grain))

        self._strokes.append(stroke)

    def readings(self, values: dict[str, str]) -> None:
        """Names above values, side by side along the top."""
        for k, (name, value) in enumerate(values.items()):
            left = 24 + (self.size[0] - 24) / len(values) * k
            self.text(name, (left, 18), 11, MUTED)
            self.text(value.replace("-", "−"), (left, 34), 16, INK)

    def rgb(self, width: int | None = None) -> UInt8[np.ndarray, "height width 3"]:
        """The picture, in its own size or `width` pixels wide: every pixel is the mean of those
        that were drawn for it."""
        import pygame

        width = self.size[0] if width is None else width
        height = round(width * self.size[1] / self.size[0])
        surface = self._painted(width, height)
        drawn = pygame.surfarray.pixels2d(surface).T
        channels = [shift // 8 for shift in surface.get_shifts()[:3]]
        picture = np.empty((height, width, 3), np.uint8)
        # In bands, because fresh memory for the whole picture costs more than the sums.
        for top in range(0, height, ROWS_AT_ONCE):
            mean = _averaged(drawn[top * SUPERSAMPLING : (top + ROWS_AT_ONCE) * SUPERSAMPLING])
            for k, channel in enumerate(channels):
                picture[top : top + ROWS_AT_ONCE, :, k] = mean[..., channel]
        return picture

    def _painted(self, width: int, height: int, num_strokes: int | None = None) -> Any:
        """A new surface with what was drawn, for a picture of this size in pixels."""
        import pygame

        if self._below is None:
            surface = pygame.Surface((width * SUPERSAMPLING, height * SUPERSAMPLING), 0, 32)
            surface.fill(self.background)
        else:
            canvas, num = self._below
            surface = canvas._painted_once(width, height, num).copy()
        for stroke in self._strokes[:num_strokes]:
            stroke(surface, SUPERSAMPLING * width / self.size[0])
        return surface

    def _painted_once(self, width: int, height: int, num_strokes: int) -> Any:
        """The surface of the first strokes: what was there when the canvas was copied."""
        name = (width, height, num_strokes)
        if name not in self._kept:
            self._kept[name] = self._painted(*name)
        return self._kept[name]

    def _pixels(self, points: Points) -> Float[np.ndarray, "points 2"]:
        """Points of the world in pixels of the picture."""
        away = (np.asarray(points, float) - self.center) * (self.scale, -self.scale)
        return away + np.array(self.size) / 2

    def _add(
        self, points: Float[np.ndarray, "points 2"], margin: float, color: Color, draw: Any
    ) -> None:
        """`draw(surface, points, margin)` at once where the colour is opaque, else on a layer that
        is laid over the rest."""

        def stroke(surface: Any, grain: float) -> None:
            if len(color) == 3:
                draw(surface, (points * grain).tolist(), max(margin * grain, 1.0))
            else:
                _lay(surface, points * grain, max(margin * grain, 1.0), draw)

        self._strokes.append(stroke)


def _lay(surface: Any, points: Float[np.ndarray, "points 2"], margin: float, draw: Any) -> None:
    """Draw on a transparent layer as large as what is drawn, and lay it over the surface."""
    import pygame

    low = np.floor(points.min(0) - margin - 1)
    low = np.clip(low, 0, surface.get_size())
    high = np.clip(np.ceil(points.max(0) + margin + 2), 0, surface.get_size())
    if (high <= low).any():
        return
    layer = pygame.Surface((high - low).tolist(), pygame.SRCALPHA)
    draw(layer, (points - low).tolist(), margin)
    surface.blit(layer, low.tolist())


def _averaged(drawn: UInt32[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "height width 4"]:
    """The mean of each square of pixels, byte by byte, rounded.

    Bytes become numbers of 16 bits, in which the sum of a square has room, so that the four bytes
    of a pixel can be added as one number of 64 bits. pygame's smoothscale darkens white to 253.
    """
    rows = drawn.view(np.uint8).reshape(-1, SUPERSAMPLING, 4 * drawn.shape[1])
    columns = rows[:, 0].astype(np.uint16)
    for k in range(1, SUPERSAMPLING):
        columns += rows[:, k]
    pixels = columns.view(np.uint64)
    total = pixels[:, ::SUPERSAMPLING].copy()
    for k in range(1, SUPERSAMPLING):
        total += pixels[:, k::SUPERSAMPLING]
    mean = (total.view(np.uint16) + SUPERSAMPLING**2 // 2) // SUPERSAMPLING**2
    return mean.astype(np.uint8).reshape(len(rows), -1, 4)


@lru_cache
def _font(height: int) -> Any:
    """The font that comes with pygame; it caches the glyphs that it has drawn."""
    import pygame

    pygame.font.init()
    return pygame.font.Font(None, height)


def _written(words: str, height: int, color: Color) -> Any:
    """A surface with a line of text."""
    import pygame

    try:
        return _font(height).render(words, True, color[:3])
    except pygame.error:
        # A font is void once somebody has called `pygame.quit`, as Gymnasium's environments do.
        _font.cache_clear()
        return _font(height).render(words, True, color[:3])


def _strip(a: list[float], b: list[float], radius: float) -> list[tuple[float, float]]:
    """The rectangle around the line from `a` to `b`."""
    x, y = b[0] - a[0], b[1] - a[1]
    long = math.hypot(x, y) or 1.0
    x, y = x / long * radius, y / long * radius
    return [(a[0] - y, a[1] + x), (b[0] - y, b[1] + x), (b[0] + y, b[1] - x), (a[0] + y, a[1] - x)]


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """The matrix that turns a vector to the left by `angle`, in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])
