"""Race tracks: closed smooth curves of a certain width, cut into straight sections with walls.

A track is given by points of its centre line; `lay` draws a smooth curve through them and cuts it
into sections of equal length. The walls run parallel to every section, half a width away.
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from uphill.errors import UphillError

SECTION = 3.0  # m, about
MIN_HALF_WIDTH = 3.0  # m: less leaves a car no room
FIRST_CURVE = math.radians(60)

CenterLine = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Track:
    """The centre line of a closed track, by some of its points in driving order, in metres.

    The start line crosses the first point.
    """

    name: str
    center: CenterLine
    half_width: float = 5.0


def _points(text: str) -> CenterLine:
    pairs = (pair.split(",") for pair in text.split())
    return tuple((float(x), float(y)) for x, y in pairs)


_POINTS = {
    "oval": ("0,-24 26,-24 45,-16 52,0 45,16 26,24 0,24 -26,24 -45,16 -52,0 -45,-16 -26,-24"),
    "hairpin": ("-20,-28 10,-28 38,-28 51,-16 38,-4 14,-4 -3,5 -12,20 -28,29 -45,22 -52,2 -46,-20"),
    "technical": (
        "-8,-31 16,-31 40,-29 51,-16 42,-4 36,7 44,19 37,32 20,32 5,19 -9,18 -22,30 "
        "-40,32 -50,20 -43,7 -38,-6 -46,-19 -35,-31"
    ),
    "boomerang": (
        "-12,30 18,30 43,22 53,0 45,-22 28,-27 12,-13 -10,-9 -28,-25 -45,-22 -53,0 -40,23"
    ),
    "harbour": (
        "-30,-31 -6,-25 20,-31 44,-27 52,-12 41,-1 26,6 22,21 8,31 -8,26 -18,15 -30,16 "
        "-42,22 -52,12 -49,-6 -48,-23"
    ),
}
TRACKS: dict[str, Track] = {name: Track(name, _points(points)) for name, points in _POINTS.items()}
TRAINING = ("oval", "hairpin", "technical", "boomerang")
TESTING = "harbour"  # kept apart: no policy trains on it unless it is asked to


class Layout(NamedTuple):
    """A track, laid out: section i runs from `center[i]` to the next, the last to the first."""

    center: Float[np.ndarray, "sections 2"]
    walls: Float[np.ndarray, "sections 2 2"]  # left and right of the points of `center`

    @property
    def length(self) -> float:
        """Metres along the centre line."""
        return float(np.linalg.norm(_next(self.center) - self.center, axis=-1).sum())

    @property
    def first_curve(self) -> float:
        """The part of a lap after which the track has turned by 60°."""
        step = _next(self.center) - self.center
        heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        return float(np.argmax(np.abs(heading - heading[0]) >= FIRST_CURVE) / len(step))


@lru_cache(maxsize=64)
def lay(track: Track) -> Layout:
    """Draw the curve through a track's points, and its walls.

    Raises:
        UphillError: if there are too few points, the width is too small, or walls would cross.
    """
    _check(track)
    center = _evenly(_spline(np.array(track.center, float)))
    layout = Layout(center, _offset(center, track.half_width))
    if _cross(layout.walls):
        raise UphillError(
            f"The walls of track {track.name!r} cross: its centre line crosses or nears itself, or "
            f"turns too sharply, for a half_width of {track.half_width:g} m."
        )
    return layout


def _check(track: Track) -> None:
    points = np.array(track.center, float)
    if len(points) < 4:
        raise UphillError(
            f"Track {track.name!r} has {len(points)} points in center: give at least 4."
        )
    if not np.isfinite(points).all() or not math.isfinite(track.half_width):
        raise UphillError(f"Track {track.name!r} has numbers that are not finite: fix them.")
    if track.half_width < MIN_HALF_WIDTH:
        raise UphillError(
            f"Track {track.name!r} has half_width {track.half_width:g}: a car needs at least "
            f"{MIN_HALF_WIDTH:g} m."
        )
    if (np.linalg.norm(_next(points) - points, axis=-1) < 1e-6).any():
        raise UphillError(
            f"Track {track.name!r} has the same point twice in a row in center (the last point is "
            "joined to the first automatically): leave one out."
        )


def _next(x: np.ndarray) -> np.ndarray:
    """x[i + 1], the first after the last."""
    return np.roll(x, -1, axis=0)


def _spline(points: Float[np.ndarray, "P 2"], fineness: int = 64) -> Float[np.ndarray, "Q 2"]:
    """Points of the closed cubic spline through `points`, `fineness` of them for each.

    The second derivatives M are periodic and make the slopes meet; h are the chords' lengths:

        hᵢ₋₁ Mᵢ₋₁ + 2 (hᵢ₋₁ + hᵢ) Mᵢ + hᵢ Mᵢ₊₁ = 6 ((pᵢ₊₁ − pᵢ)/hᵢ − (pᵢ − pᵢ₋₁)/hᵢ₋₁)
    """
    chord = _next(points) - points
    h = np.linalg.norm(chord, axis=-1)
    before = np.roll(h, 1)
    one = np.eye(len(points))
    system = np.diag(2 * (before + h)) + before[:, None] * np.roll(one, -1, 1)
    system += h[:, None] * np.roll(one, 1, 1)
    slope = chord / h[:, None]
    bend = np.linalg.solve(system, 6 * (slope - np.roll(slope, 1, axis=0)))
    t = np.arange(fineness)[None, :, None] / fineness
    a, b, m, n = (x[:, None] for x in (points, _next(points), bend, _next(bend)))
    curved = ((1 - t) ** 3 - (1 - t)) * m + (t**3 - t) * n
    return ((1 - t) * a + t * b + h[:, None, None] ** 2 / 6 * curved).reshape(-1, 2)


def _evenly(curve: Float[np.ndarray, "Q 2"]) -> Float[np.ndarray, "sections 2"]:
    """Points at equal distances along a closed curve, about a section apart."""
    closed = np.concatenate([curve, curve[:1]])
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(closed, axis=0), axis=-1).cumsum()])
    num_sections = max(round(along[-1] / SECTION), 8)
    at = np.arange(num_sections) / num_sections * along[-1]
    return np.stack([np.interp(at, along, closed[:, k]) for k in range(2)], axis=-1)


def _offset(
    center: Float[np.ndarray, "sections 2"], half_width: float
) -> Float[np.ndarray, "sections 2 2"]:
    """The corners of the lines that run `half_width` left and right of every section."""
    step = _next(center) - center
    normal = np.stack([-step[:, 1], step[:, 0]], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    both = normal + np.roll(normal, 1, axis=0)
    # |both|² = 2 (1 + cos of the bend): the corner lies farther out than half a width.
    miter = 2 * half_width * both / np.maximum((both**2).sum(-1, keepdims=True), 1e-6)
    return np.stack([center + miter, center - miter], axis=1)


def _cross(walls: Float[np.ndarray, "sections 2 2"]) -> bool:
    """Whether any two pieces of walls cross that don't join."""
    start = walls.swapaxes(0, 1).reshape(-1, 2)
    end = _next(walls).swapaxes(0, 1).reshape(-1, 2)
    a, b, c, d = start[:, None], end[:, None], start[None], end[None]
    apart = (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)
    return bool(apart.any()) or _folded(walls)


def _folded(walls: Float[np.ndarray, "sections 2 2"]) -> bool:
    """Whether a wall runs backwards: then it has crossed itself within a section."""
    step, middle = _next(walls) - walls, walls.mean(1)
    along = (_next(middle) - middle)[:, None]
    return bool(((step * along).sum(-1) <= 0).any())


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Float[np.ndarray, "..."]:
    """Positive where c lies left of the line from a to b."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        c[..., 0] - a[..., 0]
    )


def sight(layout: Layout, distance: float) -> int:
    """How many sections ahead or behind can be seen at most from any point of the track.

    A ray that starts on the track leaves its section through one of the two lines across the track
    that bound it, or hits a wall. Passing a whole section takes at least the distance between
    these lines, so that sections whose distances add up to more than `distance` lie out of sight.
    """
    left, right = layout.walls[:, 0], layout.walls[:, 1]
    corners = [(left, _next(left), _next(right)), (right, _next(left), _next(right))]
    corners += [(_next(left), left, right), (_next(right), left, right)]
    shortest = np.min([_distance(*corner) for corner in corners], axis=0)
    reach = 0
    for direction in (1, -1):
        around = np.concatenate([shortest[::direction]] * 2)
        total = np.concatenate([[0.0], around.cumsum()])
        for i in range(len(shortest)):
            reach = max(reach, int(np.searchsorted(total - total[i], distance)) - i)
    # One more on either side: close to their border, a car may be counted to the next section.
    return min(reach + 1, (len(shortest) + 1) // 2)


def _distance(
    point: Float[np.ndarray, "n 2"], a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    """From points to pieces of lines."""
    along = ((point - a) * (b - a)).sum(-1) / np.maximum(((b - a) ** 2).sum(-1), 1e-12)
    nearest = a + np.clip(along, 0, 1)[:, None] * (b - a)
    return np.linalg.norm(point - nearest, axis=-1)


def tracks_named(name: str | None) -> tuple[Track, ...]:
    """The tracks that `name` means: those for training, "test", one of ours, or a JSON file's.

    Raises:
        UphillError: if there is no such track, or it can't be driven on.
    """
    if name is None:
        return tuple(TRACKS[k] for k in TRAINING)
    if name == "test":
        return (TRACKS[TESTING],)
    if name in TRACKS:
        return (TRACKS[name],)
    if not name.endswith(".json"):
        known = ", ".join(TRACKS)
        raise UphillError(f"There is no track {name!r}: use one of {known}, test, or a .json file.")
    return (read_track(Path(name)),)


def read_track(path: Path) -> Track:
    """A track from a JSON file: `{"center": [[x, y], …], "half_width": 5}`, in metres.

    Raises:
        UphillError: if it can't be read, or not be driven on.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UphillError(f"The track {str(path)!r} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise UphillError(f"The track {str(path)!r} is not valid JSON: {error}.") from error
    try:
        track = _decode(document, path.stem)
    except (KeyError, TypeError, ValueError) as error:
        raise UphillError(
            f"The track {str(path)!r} is not as expected: write "
            '{"center": [[x, y], …], "half_width": 5}, in metres.'
        ) from error
    lay(track)
    return track


def _decode(document: Any, name: str) -> Track:
    if unknown := set(document) - {"name", "center", "half_width"}:
        raise ValueError(unknown)
    points = [(float(x), float(y)) for x, y in document["center"]]
    width = float(document.get("half_width", Track.half_width))
    return Track(str(document.get("name", name)), tuple(points), width)


class Circuits(NamedTuple):
    """Several tracks as arrays, padded to the same number of sections: what programs work on."""

    center: Float[np.ndarray, "tracks sections 2"]
    walls: Float[np.ndarray, "tracks sections 2 2"]
    half_width: Float[np.ndarray, " tracks"]
    num_sections: Int[np.ndarray, " tracks"]
    first_curve: Float[np.ndarray, " tracks"]
    sight: int  # sections ahead or behind that a radar may meet
    nearby: int  # sections ahead or behind that a car may get to in one step
    longest: float  # m


@lru_cache(maxsize=16)
def circuits(tracks: tuple[Track, ...], distance: float, step: float) -> Circuits:
    """Tracks as arrays, for radars that reach `distance` and a car that moves by `step` at most."""
    layouts = [lay(track) for track in tracks]
    num_sections = np.array([len(layout.center) for layout in layouts], np.int32)

    def padded(x: np.ndarray) -> np.ndarray:
        room = [(0, int(num_sections.max()) - len(x))] + [(0, 0)] * (x.ndim - 1)
        return np.pad(x, room, constant_values=np.nan).astype(np.float32)

    return Circuits(
        np.stack([padded(layout.center) for layout in layouts]),
        np.stack([padded(layout.walls) for layout in layouts]),
        np.array([track.half_width for track in tracks], np.float32),
        num_sections,
        np.array([layout.first_curve for layout in layouts], np.float32),
        max(sight(layout, distance) for layout in layouts),
        max(sight(layout, step) for layout in layouts),
        max(layout.length for layout in layouts),
    )
