"""The canvas: where things land, in which colour, and how smooth their edges are."""

import numpy as np
import pygame
import pytest

from uphill.envs.pictures.drawing import INK, PAPER, Canvas

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def canvas(**keywords):
    return Canvas((80, 40), scale=10, background=WHITE, **keywords)


def ink(picture):
    """How much of every pixel is covered by black on white."""
    return 1 - picture.mean(-1) / 255


def test_an_empty_canvas_is_its_background():
    picture = canvas().rgb()
    assert picture.shape == (40, 80, 3)
    assert picture.dtype == np.uint8
    assert (picture == 255).all()


def test_the_world_has_y_upwards_and_its_center_in_the_middle():
    drawn = canvas(center=(5.0, 1.0))
    drawn.polygon([(6, 1), (8, 1), (8, 2), (6, 2)], RED)
    picture = drawn.rgb()
    red = (picture == RED).all(-1)
    rows, columns = np.nonzero(red)
    assert abs(rows.min() - 10) <= 1
    assert abs(rows.max() - 19) <= 1
    assert abs(columns.min() - 50) <= 1
    assert abs(columns.max() - 69) <= 1


def test_a_disc_covers_its_area_and_its_edge_is_smooth():
    drawn = canvas()
    drawn.circle((0.5, 0.0), 1.2, BLACK)
    covered = ink(drawn.rgb())
    assert covered.sum() == pytest.approx(np.pi * 12**2, rel=0.03)
    rows, columns = np.mgrid[:40, :80] + 0.5
    assert (covered * columns).sum() / covered.sum() == pytest.approx(45, abs=0.3)
    assert (covered * rows).sum() / covered.sum() == pytest.approx(20, abs=0.3)
    assert ((covered > 0.1) & (covered < 0.9)).sum() > 20


@pytest.mark.parametrize("end", [(2.0, 0.0), (1.2, 1.2), (0.0, -1.5)])
def test_a_line_is_as_thick_as_it_says_and_has_round_caps(end):
    drawn = canvas()
    drawn.line([(0, 0), end], 0.6, BLACK)
    length = 10 * np.hypot(*end)
    assert ink(drawn.rgb()).sum() == pytest.approx(6 * length + np.pi * 3**2, rel=0.05)


def test_opacity_mixes_and_a_shape_outside_the_picture_is_nothing():
    drawn = canvas()
    drawn.polygon([(-1, -1), (1, -1), (1, 1), (-1, 1)], (0, 0, 0, 51))
    drawn.circle((100, 100), 1.0, (0, 0, 0, 128))
    picture = drawn.rgb()
    np.testing.assert_allclose(picture[20, 40], 204, atol=2)
    assert (picture[0, 0] == 255).all()


def test_a_turned_box_keeps_its_area_and_rounding_takes_the_corners():
    areas = []
    for angle, rounding in [(0.0, 0.0), (0.7, 0.0), (0.7, 0.5)]:
        drawn = canvas()
        drawn.box((0, 0), 3, 1.6, BLACK, angle, rounding)
        areas.append(ink(drawn.rgb()).sum())
    assert areas[:2] == pytest.approx([480, 480], rel=0.05)
    assert areas[2] == pytest.approx(480 - (4 - np.pi) * 5**2, rel=0.05)


def test_text_begins_centres_and_ends_where_it_should():
    where = {}
    for align in ("left", "center", "right"):
        drawn = canvas()
        drawn.text("III", (40, 10), 12, BLACK, align)
        columns = np.nonzero(ink(drawn.rgb()).any(0))[0]
        where[align] = (columns.min(), columns.max())
    assert where["left"][0] >= 39
    assert where["right"][1] <= 41
    assert sum(where["center"]) / 2 == pytest.approx(40, abs=2)


def test_a_shadow_is_soft_and_a_panel_lies_where_its_pixels_say():
    drawn = canvas()
    drawn.shadow((0, 0), 4, 2)
    drawn.panel(60, 0, 20, 10, RED)
    picture = drawn.rgb()
    row = picture[20, 20:41].mean(-1)
    assert (np.diff(row) <= 0).all()
    assert row[-1] < row[0] - 20
    assert (picture[5, 70] == RED).all()
    assert (picture[20, 70] == 255).all()


def test_a_hub_is_dark_with_a_light_middle():
    drawn = canvas()
    drawn.hub((0, 0), 1.0)
    picture = drawn.rgb()
    assert tuple(picture[20, 40]) == PAPER
    assert tuple(picture[20, 47]) == INK


def test_text_is_the_same_after_somebody_quits_pygame():
    pictures = []
    for _ in range(2):
        drawn = canvas()
        drawn.text("quit", (10, 5))
        pictures.append(drawn.rgb())
        pygame.quit()
    assert (pictures[0] < 255).any()
    np.testing.assert_array_equal(*pictures)


def test_every_pixel_is_the_rounded_mean_of_its_square():
    drawn = Canvas((50, 90), scale=10)
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 256, (150, 270, 3), np.uint8)
    drawn._strokes.append(lambda surface, _: pygame.surfarray.blit_array(surface, fine))
    mean = fine.reshape(50, 3, 90, 3, 3).mean((1, 3)).swapaxes(0, 1)
    np.testing.assert_array_equal(drawn.rgb(), np.floor(mean + 0.5))


def test_a_picture_can_be_drawn_at_any_width() -> None:
    drawn = Canvas((400, 200), scale=50, background=WHITE)
    drawn.circle((2, 1), 1.0, RED)
    drawn.line([(-3, -1), (3, -1)], 0.4, INK)
    drawn.text("words", (20, 20))
    drawn.shadow((-2, 1), 2.0, 1.0)
    drawn.panel(300, 0, 100, 50, INK)
    whole, half = drawn.rgb(), drawn.rgb(200)
    assert half.shape == (100, 200, 3)
    pixels = whole.reshape(100, 2, 200, 2, 3).mean((1, 3))
    assert np.abs(half - pixels).mean() < 1.5
    np.testing.assert_array_equal(drawn.rgb(400), whole)


def test_a_copy_is_what_was_there_and_no_more() -> None:
    base = canvas()
    base.circle((0, 0), 1.0, RED)
    copy, before = base.copy(), base.rgb()
    base.circle((2, 0), 1.0, INK)
    np.testing.assert_array_equal(copy.rgb(), before)
    copy.circle((-2, 0), 1.0, INK)
    assert (copy.rgb() != before).any()
    np.testing.assert_array_equal(base.copy().rgb(), base.rgb())
