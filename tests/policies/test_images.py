"""Images: which spaces are some, and how they become features and channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from uphill.errors import UphillError
from uphill.policies.encodings import (
    Numbers,
    OneHot,
    encoding_of,
    images_in,
    is_of,
    narrowed,
    scaled_features,
    strangers,
)
from uphill.policies.images import Image, rows_axis, white_of


def of_bytes(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("space", "white"),
    [
        (of_bytes(84, 84), 255),
        (of_bytes(4, 84, 84), 255),
        (of_bytes(84, 84, 3), 255),
        (of_bytes(4, 84, 84, 3), 255),
        (of_bytes(4, 3, 84, 84), 255),
        (of_bytes(4, 5, 3), 255),
        (of_bytes(7, 7, 3), 255),
        (spaces.Box(0, 1, (10, 10, 4), bool), 1),
        (spaces.Box(0, 1, (84, 84, 1), np.float32), 1),
        (spaces.Box(0, 255, (84, 84, 3), np.float64), 255),
        (of_bytes(128), None),
        (of_bytes(4, 5), None),
        (of_bytes(2, 2, 2, 9, 9), None),
        (spaces.Box(0, 1, (8, 8, 3), np.uint8), None),
        (spaces.Box(0, 255, (84, 84, 3), np.int32), None),
        (spaces.Box(0, 1, (4, 5, 3), np.float32), None),
        (spaces.Box(-1, 1, (84, 84, 3), np.float32), None),
        (spaces.Box(-np.inf, np.inf, (84, 84), np.float32), None),
        (spaces.Box(0, np.arange(64 * 64).reshape(64, 64), dtype=np.float32), None),
    ],
    ids=str,
)
def test_which_boxes_are_images(space: spaces.Box, white: int | None) -> None:
    assert white_of(space) == white
    encoding = encoding_of(space)
    assert isinstance(encoding, Numbers)
    assert encoding.is_image == (white is not None)
    assert any(scaled_features(encoding)) == (white is None)
    assert len(images_in(encoding)) == (white is not None)
    if white is not None:
        image = np.random.default_rng(0).integers(0, white + 1, space.shape).astype(space.dtype)
        found = np.asarray(encoding.encode(image))
        np.testing.assert_allclose(found, image.ravel() / white, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "axis", "channels"),
    [
        ((84, 84), 0, 1),
        ((3, 84, 84), 1, 3),
        ((84, 84, 3), 0, 3),
        ((4, 8, 9), 1, 4),
        ((210, 160, 3), 0, 3),
        ((4, 84, 84, 3), 1, 12),
        ((4, 3, 84, 84), 2, 12),
        ((84, 84, 3, 4), 0, 12),
        ((8, 8, 8), 0, 8),
    ],
)
def test_pixels_are_the_longest_neighbouring_axes(shape, axis, channels) -> None:
    assert rows_axis(shape) == axis
    image = Image(0, shape, axis)
    assert image.channels == channels
    assert (image.height, image.width) == shape[axis : axis + 2]


def test_an_image_among_features_has_its_channels_first() -> None:
    stack = np.random.default_rng(0).random((4, 9, 8, 3)).astype(np.float32)
    features = np.concatenate([np.zeros(5), stack.ravel(), np.ones(2)])
    found = Image(5, stack.shape, 1).among(jnp.asarray(features, jnp.float32))
    assert found.shape == (12, 9, 8)
    np.testing.assert_allclose(found[3 * 2 + 1], stack[2, :, :, 1], rtol=1e-6)


def test_images_are_found_wherever_they_are_in_a_dict() -> None:
    space = spaces.Dict(
        {
            "a": spaces.Discrete(3),
            "eye": of_bytes(9, 8, 3),
            "inner": spaces.Tuple((spaces.Box(-1, 1, (2,)), of_bytes(12, 12))),
            "speed": spaces.Box(-1, 1, (1,)),
        }
    )
    encoding = encoding_of(space)
    first, second = images_in(encoding)
    assert (first.start, first.shape, str(first)) == (3, (9, 8, 3), "9 × 8 × 3")
    assert (second.start, second.shape, str(second)) == (221, (12, 12), "12 × 12 × 1")
    observation = space.sample()
    features = jnp.asarray(encoding.encode(jax.tree.map(np.asarray, observation)))
    pixels = observation["inner"][1]
    np.testing.assert_allclose(second.among(features)[0], pixels / 255, rtol=1e-6)


# --- categories ---------------------------------------------------------------------------------

MINIGRID = spaces.Dict(image=of_bytes(7, 7, 3), direction=spaces.Discrete(4))


def test_bytes_may_be_categories() -> None:
    encoding = encoding_of(MINIGRID, 11)
    grid, _ = encoding.parts
    assert isinstance(grid, OneHot)
    assert encoding.size == 4 + 7 * 7 * 3 * 11
    image = np.random.default_rng(0).integers(0, 11, (7, 7, 3)).astype(np.uint8)
    observation = {"image": image, "direction": np.array(2)}
    features = jnp.asarray(encoding.encode(narrowed(encoding, observation)))
    (found,) = images_in(encoding)
    channels = np.asarray(found.among(features)).reshape(3, 11, 7, 7)
    np.testing.assert_array_equal(channels.argmax(1), image.transpose(2, 0, 1))
    np.testing.assert_array_equal(channels.sum(1), 1)
    # What an encoding makes of the numbers is its own affair: the space is the same.
    assert is_of(encoding, MINIGRID)
    assert is_of(encoding_of(MINIGRID), MINIGRID)
    assert not is_of(encoding, spaces.Dict(image=of_bytes(7, 7, 3)))


@pytest.mark.parametrize("side", [3, 7])
def test_a_byte_that_is_no_category_is_refused(side: int) -> None:
    encoding = encoding_of(of_bytes(side, side, 3), 5)
    image = np.zeros((2, side, side, 3), np.uint8)
    image[1, 2, 2, 0] = 9
    (found,) = strangers(encoding, jnp.asarray(image))
    assert np.argwhere(found).tolist() == [[1, 2, 2, 0]]
    match = r"^The observation has the category 9, and observation_categories is 5: .*\.$"
    with pytest.raises(UphillError, match=match):
        narrowed(encoding, image)


def test_all_bytes_may_be_categories_and_other_numbers_are_left_alone() -> None:
    image = np.full((3, 3, 3), 255, np.uint8)
    for categories in (256, 300):
        encoding = encoding_of(of_bytes(3, 3, 3), categories)
        np.testing.assert_array_equal(narrowed(encoding, image), image)
        assert strangers(encoding, jnp.asarray(image)) == []
    # Choices of several kinds are checked where an environment returns them.
    several = encoding_of(spaces.MultiDiscrete([[2, 9], [9, 9]], np.uint8))
    assert narrowed(several, np.uint8([[1, 8], [8, 8]])).max() == 8


@pytest.mark.parametrize(
    "space", [spaces.Box(-1, 1, (3,)), spaces.Discrete(4), spaces.Box(0, 1, (84, 84), np.float32)]
)
def test_categories_need_an_image_of_bytes(space) -> None:
    with pytest.raises(UphillError, match=r"^observation_categories is 5: .* leave it out\.$"):
        encoding_of(space, 5)


def test_a_grid_of_choices_is_an_image() -> None:
    space = spaces.MultiDiscrete(np.full((6, 7), 3))
    (image,) = images_in(encoding_of(space))
    assert str(image) == "6 × 7 × 3"
    assert images_in(encoding_of(spaces.MultiDiscrete(np.full((2, 7), 3)))) == []
    assert images_in(encoding_of(spaces.MultiDiscrete(np.arange(42).reshape(6, 7) + 1))) == []


def test_an_encoding_is_of_its_own_space_only() -> None:
    old = Numbers((84, 84))  # of a run that took a grey image for numbers
    assert is_of(old, of_bytes(84, 84))
    assert not is_of(old, of_bytes(84, 83))
    assert not is_of(old, spaces.MultiBinary((84, 84)))
    fractions, floats = (spaces.Box(0, white, (84, 84), np.float32) for white in (1, 255))
    bytes_ = of_bytes(84, 84)
    assert is_of(encoding_of(floats), bytes_)
    assert not is_of(encoding_of(fractions), bytes_)
    assert not is_of(encoding_of(bytes_), fractions)
    grid = encoding_of(bytes_, 4)
    assert is_of(grid, bytes_)
    assert not is_of(grid, floats)
    assert not is_of(grid, fractions)
    assert not is_of(encoding_of(spaces.Discrete(3)), spaces.Discrete(4))
    nested = spaces.Tuple((spaces.Discrete(3), of_bytes(9, 9)))
    assert is_of(encoding_of(nested), nested)
    assert not is_of(encoding_of(nested), spaces.Tuple((spaces.Discrete(3),)))
    assert not is_of(encoding_of(nested), of_bytes(9, 9))
