"""CarRace from above: the track with its kerbs, the car, what its radars see, and how far it is."""

from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from uphill.envs.pictures.drawing import GREEN, INK, ORANGE, RED, Canvas, Color, rotation
from uphill.envs.worlds.car_race import (
    MAX_SPEED,
    RADAR_ANGLES,
    RADAR_RANGE,
    TIME_STEP,
    CarRace,
    CarRaceContinuous,
    State,
)
from uphill.envs.worlds.tracks import Layout, Track, lay

FPS = round(1 / TIME_STEP)
SIZE = (720, 500)
BAND = 64  # px above the track, for what is written

GRASS: Color = (206, 219, 194)
MEADOW: Color = (198, 212, 185)
VERGE: Color = (184, 198, 170)
ROAD: Color = (84, 90, 101)
WHITE: Color = (250, 249, 246)
GLASS: Color = (34, 44, 56)
CLOSE, NEAR, FAR = (205, 72, 66), (240, 190, 84), (150, 214, 150)
KERB_BEND = 0.02  # 1/m: where a track bends more it has kerbs


def draw(world: CarRace | CarRaceContinuous, state: State) -> Canvas:
    """Track, radar beams with dots where they end, car, lap, progress and speed."""
    track = world.tracks[int(state.track)]
    canvas = _scenery(track).copy()
    radars, info = _seen(world, state)
    position, heading = np.asarray(state.position), float(state.heading)
    _beams(canvas, position, heading, np.asarray(radars))
    _car(canvas, position, heading)
    _written(canvas, world, state, track.name, info)
    return canvas


@lru_cache(maxsize=4)
def _scenery(track: Track) -> Canvas:
    """All that does not move: three quarters of the work."""
    canvas = _canvas(lay(track).walls)
    _landscape(canvas)
    _road(canvas, lay(track))
    return canvas


@partial(jax.jit, static_argnums=0)
def _seen(world: Any, state: State) -> tuple[Any, dict[str, Any]]:
    """Radars in metres, and what the world tells."""
    return world.observation(state)[:5] * RADAR_RANGE, world.info(state)


def _canvas(walls: Float[np.ndarray, "sections 2 2"]) -> Canvas:
    """One that shows the whole track below the band."""
    low, high = walls.min((0, 1)) - 3, walls.max((0, 1)) + 3
    scale = float(min((SIZE[0] - 24) / (high - low)[0], (SIZE[1] - BAND - 8) / (high - low)[1]))
    middle = (low + high) / 2 + [0, (BAND - 8) / 2 / scale]
    return Canvas(SIZE, scale, middle, background=GRASS)


def _landscape(canvas: Canvas) -> None:
    """Mown stripes, and the band."""
    wide, high = (extent / canvas.scale for extent in canvas.size)
    x, y = canvas.center
    for k in range(0, 12, 2):
        left = x - wide / 2 + (k - 3) * wide / 9
        stripe = np.array([(0, 0), (wide / 9, 0), (wide / 9 + high / 3, high), (high / 3, high)])
        canvas.polygon(stripe + np.array([left, y - high / 2]), MEADOW)
    canvas.panel(12, 12, canvas.size[0] - 24, BAND - 16, (250, 249, 246, 235))


def _road(canvas: Canvas, layout: Layout) -> None:
    left, right = (np.concatenate([wall, wall[:1]]) for wall in layout.walls.swapaxes(0, 1))
    center = np.concatenate([layout.center, layout.center[:1]])
    for wall in (left, right):
        canvas.line(wall, 2.8, VERGE)
    for i in range(len(layout.center)):
        canvas.polygon([left[i], left[i + 1], right[i + 1], right[i]], ROAD)
    bend = _bend(layout.center)
    for wall in (left, right):
        canvas.line(wall, 0.5, WHITE)
        for i in np.flatnonzero(bend > KERB_BEND):
            middle = (wall[i] + wall[i + 1]) / 2
            canvas.line([wall[i], middle], 1.0, RED)
            canvas.line([middle, wall[i + 1]], 1.0, WHITE)
    for i in range(2, len(layout.center) - 1, 4):
        canvas.line([center[i], center[i + 1]], 0.22, (250, 249, 246, 90))
    _start_line(canvas, left[0], right[0], center[1] - center[0])


def _bend(center: Float[np.ndarray, "sections 2"]) -> Float[np.ndarray, " sections"]:
    """How much the centre line bends, 1/m, smoothed over three sections."""
    step = np.roll(center, -1, axis=0) - center
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    bend = np.abs(np.angle(np.exp(1j * (heading - np.roll(heading, 1)))))
    return sum(np.roll(bend, k) for k in (-1, 0, 1)) / 3 / np.linalg.norm(step, axis=-1)


def _start_line(canvas: Canvas, left: np.ndarray, right: np.ndarray, ahead: np.ndarray) -> None:
    """Two rows of squares."""
    squares = 10
    across, along = (right - left) / squares, ahead / np.linalg.norm(ahead)
    along = along * np.linalg.norm(across)
    for k in range(2 * squares):
        i, row = divmod(k, 2)
        corner = left + i * across + (row - 1) * along
        square = [corner, corner + across, corner + across + along, corner + along]
        canvas.polygon(square, WHITE if (i + row) % 2 else INK)


def _beams(canvas: Canvas, position: np.ndarray, heading: float, radars: np.ndarray) -> None:
    for angle, distance in zip(RADAR_ANGLES, radars, strict=True):
        end = position + distance * rotation(heading + angle)[:, 0]
        red, green, blue = CLOSE if distance < 4 else NEAR if distance < 9 else FAR
        canvas.line([position, end], 0.36, (red, green, blue, 190))
        canvas.circle(end, 0.9, (red, green, blue))


def _car(canvas: Canvas, position: np.ndarray, heading: float) -> None:
    turn = rotation(heading)

    def at(x: float, y: float) -> np.ndarray:
        return turn @ np.array([x, y]) + position

    canvas.box(position + np.array([0.35, -0.45]), 4.7, 2.3, (20, 24, 30, 70), heading, 0.7)
    for x in (-1.35, 1.35):
        for y in (-1.05, 1.05):
            canvas.box(at(x, y), 1.0, 0.5, GLASS, heading, 0.12)
    canvas.box(position, 4.6, 2.1, ORANGE, heading, 0.75)
    canvas.box(at(-0.25, 0), 2.5, 1.75, (238, 152, 98), heading, 0.5)
    canvas.box(at(0.75, 0), 0.75, 1.55, GLASS, heading, 0.25)
    canvas.box(at(-1.3, 0), 0.5, 1.4, GLASS, heading, 0.2)
    for y in (-0.7, 0.7):
        canvas.circle(at(2.05, y), 0.22, WHITE)


def _written(canvas: Canvas, world: Any, state: State, track: str, info: dict[str, Any]) -> None:
    progress = float(info["progress"])
    lap = min(int(info["laps"]) + 1, world.laps)
    speed = float(state.speed)
    canvas.readings(
        {
            "track": track,
            "lap": f"{lap} of {world.laps}",
            "progress": f"{100 * progress:.0f} %",
            "speed": f"{speed:.0f} m/s",
        }
    )
    left = 24 + (canvas.size[0] - 24) / 4 * 3 + 74
    canvas.panel(left, 38, 74, 8, (42, 52, 65, 40))
    canvas.panel(left, 38, max(74 * speed / MAX_SPEED, 8), 8, INK)
    if bool(info["crashed"]):
        _badge(canvas, "crashed", RED)
    elif progress >= world.laps:
        _badge(canvas, "finished", GREEN)


def _badge(canvas: Canvas, words: str, color: Color) -> None:
    """Beside the progress."""
    left = 24 + (canvas.size[0] - 24) / 2 + 66
    canvas.panel(left, 30, 86, 24, color)
    canvas.text(words, (left + 43, 35), 13, WHITE, "center")
