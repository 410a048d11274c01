"""Tracks: the curve, its walls, what can be seen of them, files, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from uphill.envs.worlds.tracks import (
    SECTION,
    TESTING,
    TRACKS,
    TRAINING,
    Track,
    _spline,
    circuits,
    lay,
    read_track,
    sight,
    tracks_named,
)
from uphill.errors import UphillError

SQUARE = ((0, 0), (60, 0), (60, 60), (0, 60))


def ring(radius, num_points=12):
    turns = 2 * np.pi * np.arange(num_points) / num_points
    return Track("ring", tuple(zip(radius * np.cos(turns), radius * np.sin(turns), strict=True)))


def test_the_curve_is_the_periodic_cubic_spline():
    points = np.array(TRACKS["hairpin"].center, float)
    closed = np.concatenate([points, points[:1]])
    chord = np.linalg.norm(np.diff(closed, axis=0), axis=-1)
    knots = np.concatenate([[0], chord.cumsum()])
    at = (knots[:-1, None] + chord[:, None] * np.arange(64) / 64).ravel()
    theirs = CubicSpline(knots, closed, bc_type="periodic")(at)
    np.testing.assert_allclose(_spline(points), theirs, atol=1e-9)


def test_a_ring_has_the_length_walls_and_sections_of_a_ring():
    layout = lay(ring(30))
    assert layout.length == pytest.approx(2 * np.pi * 30, rel=2e-3)
    assert len(layout.center) == round(2 * np.pi * 30 / SECTION)
    np.testing.assert_allclose(np.linalg.norm(layout.center, axis=-1), 30, rtol=2e-3)
    # Left of a car that drives anticlockwise is the inside.
    np.testing.assert_allclose(np.linalg.norm(layout.walls[:, 0], axis=-1), 25, rtol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(layout.walls[:, 1], axis=-1), 35, rtol=5e-3)
    assert layout.first_curve == pytest.approx(60 / 360, abs=0.02)


@pytest.mark.parametrize("name", TRACKS)
def test_walls_run_parallel_to_every_section_half_a_width_away(name):
    track = TRACKS[name]
    layout = lay(track)
    step = np.roll(layout.center, -1, axis=0) - layout.center
    normal = np.stack([-step[:, 1], step[:, 0]], -1) / np.linalg.norm(step, axis=-1)[:, None]
    for side, sign in enumerate((1, -1)):
        for corner in (layout.walls[:, side], np.roll(layout.walls[:, side], -1, axis=0)):
            distance = ((corner - layout.center) * normal).sum(-1) * sign
            np.testing.assert_allclose(distance, track.half_width, rtol=1e-6)


def test_training_tracks_are_four_or_more_and_the_test_track_is_none_of_them():
    assert len(TRAINING) >= 4
    assert TESTING not in TRAINING
    assert {TESTING, *TRAINING} == set(TRACKS)
    assert [track.name for track in tracks_named(None)] == list(TRAINING)
    assert tracks_named("test") == (TRACKS[TESTING],)
    assert tracks_named("oval") == (TRACKS["oval"],)


def crosses(a, b, walls, section):
    """Whether the line from a to b meets a wall of that section (brute force, by sampling)."""
    num = len(walls)
    for side in range(2):
        c, d = walls[section, side], walls[(section + 1) % num, side]
        m = np.array([b - a, c - d]).T
        if abs(np.linalg.det(m)) > 1e-12:
            t, u = np.linalg.solve(m, c - a)
            if 0 <= t <= 1 and 0 <= u <= 1:
                return True
    return False


@pytest.mark.parametrize("name", ["hairpin", "technical"])
def test_no_wall_beyond_sight_is_met_before_a_nearer_one(name):
    layout = lay(TRACKS[name])
    num, distance = len(layout.center), 30.0
    reach = sight(layout, distance)
    assert reach < num / 4
    rng = np.random.default_rng(0)
    for _ in range(60):
        i = int(rng.integers(num))
        share = rng.uniform(0.05, 0.95)
        a = share * layout.walls[i, 0] + (1 - share) * layout.walls[i, 1]
        angle = rng.uniform(0, 2 * np.pi)
        b = a + distance * np.array([np.cos(angle), np.sin(angle)])
        near = [(i + k) % num for k in range(-reach, reach + 1)]
        far = sorted(set(range(num)) - set(near))
        if any(crosses(a, b, layout.walls, k) for k in far):
            assert any(crosses(a, b, layout.walls, k) for k in near)


def test_a_track_survives_its_file_and_the_name_may_be_the_files(tmp_path):
    track = replace(TRACKS["hairpin"], name="mine")
    document = {"name": track.name, "center": track.center, "half_width": track.half_width}
    (tmp_path / "loop.json").write_text(json.dumps(document))
    assert read_track(tmp_path / "loop.json") == track
    assert tracks_named(str(tmp_path / "loop.json")) == (track,)
    (tmp_path / "plain.json").write_text(json.dumps({"center": SQUARE}))
    assert read_track(tmp_path / "plain.json") == Track("plain", SQUARE, 5.0)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"center": SQUARE[:3]}, "has 3 points in center: give at least 4"),
        ({"center": SQUARE, "half_width": 0}, "has half_width 0: a car needs at least 3 m"),
        ({"center": SQUARE, "half_width": -4}, "has half_width -4: a car"),
        ({"center": [*SQUARE, (0, 0)]}, "the same point twice in a row in center"),
        ({"center": [(0, 0), (60, 60), (60, 0), (0, 60)]}, "The walls of track 'mine' cross"),
        ({"center": SQUARE, "half_width": 45}, "for a half_width of 45 m"),
        ({"center": [*SQUARE[:3], (0, float("nan"))]}, "numbers that are not finite"),
        ({"center": [1, 2, 3, 4]}, r'not as expected: write \{"center": \[\[x, y\]'),
        ({"centre": SQUARE}, "not as expected"),
        ({"center": SQUARE, "width": 3}, "not as expected"),
        ([1], "not as expected"),
        ("{", "is not valid JSON"),
        (None, "can't be read: No such file"),
    ],
)
def test_what_can_not_be_driven_on_is_refused_in_one_sentence(tmp_path, document, words):
    path = tmp_path / "mine.json"
    if document is not None:
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(UphillError, match=words) as caught:
        tracks_named(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_by_those_that_exist():
    with pytest.raises(UphillError, match=r"no track 'ovall': use one of oval, .*, test, or"):
        tracks_named("ovall")


def test_several_tracks_are_padded_to_the_longest():
    both = circuits((TRACKS["oval"], TRACKS["technical"]), 30.0, 1.6)
    alone = circuits((TRACKS["oval"],), 30.0, 1.6)
    num = alone.center.shape[1]
    assert both.center.shape[1] > num
    np.testing.assert_array_equal(both.center[0, :num], alone.center[0])
    assert both.num_sections.tolist() == [num, both.center.shape[1]]
    assert np.isnan(both.walls[0, num:]).all()
    assert np.isfinite(both.walls[1]).all()
