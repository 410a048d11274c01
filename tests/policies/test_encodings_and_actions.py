"""The border to Gymnasium's spaces: every supported one, single and in batches."""

import json
from collections import OrderedDict

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from uphill.errors import UphillError
from uphill.policies.actions import action_kind_of, is_for
from uphill.policies.bounded import Bounded
from uphill.policies.choices import Choice
from uphill.policies.encodings import (
    Group,
    batch_shape,
    encoding_of,
    ignoring,
    narrowed,
    scaled_features,
    starting_at,
)
from uphill.runs.bounds import check_action_kind, check_encoding
from uphill.runs.configuration import decode, encode

NESTED = spaces.Dict(
    {
        "b": spaces.Tuple((spaces.Discrete(3, start=-1), spaces.Box(-1, 1, (2, 2)))),
        "a": spaces.Dict({"bits": spaces.MultiBinary(2), "dice": spaces.MultiDiscrete([2, 3])}),
        "pixel": spaces.Box(0, 255, (1,), np.uint8),
    }
)

OBSERVATIONS = [
    #  space, an observation, its features
    (spaces.Box(-np.inf, np.inf, (2, 2)), np.float32([[1, 2], [3, 4]]), [1, 2, 3, 4]),
    (spaces.Box(0, 255, (3,), np.uint8), np.uint8([0, 7, 255]), [0, 7, 255]),
    (spaces.Box(-1, 1, (), np.float64), np.float64(0.5), [0.5]),
    (spaces.Discrete(3), np.int64(2), [0, 0, 1]),
    (spaces.Discrete(3, start=-5), np.int64(-5), [1, 0, 0]),
    (spaces.MultiDiscrete([2, 3]), np.int64([1, 0]), [0, 1, 1, 0, 0]),
    (spaces.MultiDiscrete([2, 2], start=[4, -1]), np.int64([5, -1]), [0, 1, 1, 0]),
    (spaces.MultiDiscrete([[2], [3]]), np.int64([[0], [2]]), [1, 0, 0, 0, 1]),
    (spaces.MultiBinary((1, 3)), np.int8([[1, 0, 1]]), [1, 0, 1]),
    (
        NESTED,
        {
            "b": (np.int64(0), np.float32([[5, 6], [7, 8]])),
            "a": {"bits": np.int8([0, 1]), "dice": np.int64([0, 2])},
            "pixel": np.uint8([9]),
        },
        [0, 1, 1, 0, 0, 0, 1, 0, 1, 0, 5, 6, 7, 8, 9],
    ),
]
IDS = [type(space).__name__ + f"-{k}" for k, (space, _, _) in enumerate(OBSERVATIONS)]


@pytest.mark.parametrize(("space", "observation", "features"), OBSERVATIONS, ids=IDS)
def test_observations_become_vectors(space: gymnasium.Space, observation, features) -> None:
    encoding = encoding_of(space)
    assert encoding.size == len(scaled_features(encoding)) == len(features)
    single = jax.tree.map(np.asarray, observation)
    encoded = encoding.encode(single)
    np.testing.assert_array_equal(encoded, features)
    assert jnp.result_type(encoded) in (jnp.float32, jnp.float64)
    assert batch_shape(encoding, observation) == ()

    batch = jax.tree.map(lambda x: np.broadcast_to(x, (4, 3, *np.shape(x))), single)
    assert batch_shape(encoding, batch) == (4, 3)
    encoded = encoding.encode(batch)
    assert encoded.shape == (4, 3, len(features))
    np.testing.assert_array_equal(encoded[3, 1], features)


def test_an_ordered_dict_or_another_order_of_keys_is_the_same_observation() -> None:
    encoding = encoding_of(NESTED)
    observation = jax.tree.map(np.asarray, NESTED.sample())
    turned = OrderedDict(reversed(list(observation.items())))
    np.testing.assert_array_equal(encoding.encode(observation), encoding.encode(turned))


def test_only_numbers_are_normalised() -> None:
    # Keys are in the space's order: a (bits, dice), b (choice, box), pixel.
    expected = (False,) * 2 + (False,) * 5 + (False,) * 3 + (True,) * 4 + (True,)
    assert scaled_features(encoding_of(NESTED)) == expected


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Box(-1, 1, (2,)), np.zeros(3)),
        (spaces.Box(-1, 1, (2, 3)), np.zeros((3, 2))),
        (spaces.Box(-1, 1, (2,)), 0.0),
        (NESTED, {"a": 0}),
        (NESTED, np.zeros(15)),
        (spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))), (np.int64(0),)),
        (
            spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))),
            (np.zeros(4, int), np.zeros(5, int)),
        ),
    ],
)
def test_an_observation_of_another_shape_is_refused(space: gymnasium.Space, observation) -> None:
    with pytest.raises(UphillError, match=r"^The observation (has|does not have) .*: give .*\.$"):
        batch_shape(encoding_of(space), observation)


# --- actions ------------------------------------------------------------------------------------

ACTIONS = [
    spaces.Discrete(4),
    spaces.Discrete(4, start=-2),
    spaces.Discrete(4, dtype=np.int32),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 2], [3, 4]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    spaces.Box(-1, 1, (2,)),
    spaces.Box(np.float32([-2, 0, 5]), np.float32([-1, 100, 5.5])),
    spaces.Box(0.1, 0.3, (2, 3), np.float64),
    spaces.Box(-0.4, 0.4, (), np.float64),
    spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,)),
    spaces.Box(-np.finfo(np.float64).max, np.finfo(np.float64).max, (2,), np.float64),
    spaces.Box(0, 255, (2,), np.uint8),
    spaces.Box(-3, 3, (2,), np.int64),
    spaces.Box(-(2**31), 2**31 - 1, (1,), np.int32),
    spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64),
    spaces.Box(-1, 1, (2,), np.float16),
]


FAMILIES = [(space, "gaussian") for space in ACTIONS] + [
    (space, family)
    for space in ACTIONS
    if isinstance(space, spaces.Box) and space.dtype in (np.float32, np.int64)
    for family in ("tanh-gaussian", "beta")
]


@pytest.mark.parametrize(("space", "family"), FAMILIES, ids=str)
def test_whatever_is_sampled_becomes_an_action_of_the_space(
    space: gymnasium.Space, family: str
) -> None:
    kind = action_kind_of(space, family)
    rng = np.random.default_rng(0)
    # Large parameters: most samples of a Gaussian lie far outside [−1, 1].
    parameters = jnp.asarray(3 * rng.normal(size=(50, kind.num_parameters)), jnp.float32)
    distribution = kind.distribution(parameters, jnp.ones(kind.num_parameters))
    action = distribution.sample(jax.random.key(0))
    assert np.isfinite(distribution.log_prob(action)).all()
    assert distribution.log_prob(action).shape == (50,)
    vector = kind.vector(action)
    assert vector.shape == (50, kind.vector_size)
    assert (abs(np.asarray(vector)) <= 1).all()
    assert kind.can_clip == (isinstance(space, spaces.Box) and family == "gaussian")
    for sampled in (action, distribution.mode()):
        given = np.asarray(kind.to_environment(sampled))
        assert given.shape == (50, *space.shape)
        assert given.dtype.kind == np.dtype(space.dtype).kind
        assert given.dtype.itemsize <= np.dtype(space.dtype).itemsize
        for one in given.astype(space.dtype):
            assert space.contains(np.asarray(one)), one
    single = kind.distribution(parameters[0], jnp.ones(kind.num_parameters))
    assert kind.to_environment(single.mode()).shape == space.shape


def test_every_choice_can_be_reached_and_starts_are_added() -> None:
    kind = action_kind_of(spaces.Discrete(3, start=5))
    np.testing.assert_array_equal(kind.to_environment(jnp.arange(3)), [5, 6, 7])
    kind = action_kind_of(spaces.MultiDiscrete([[2, 2], [3, 3]], start=[[0, 10], [20, 30]]))
    np.testing.assert_array_equal(kind.to_environment(jnp.array([1, 0, 2, 1])), [[1, 10], [22, 31]])


def test_box_actions_are_scaled_and_clipped_at_the_border() -> None:
    kind = action_kind_of(spaces.Box(np.float32([-2, 0]), np.float32([4, 10])))
    policy = jnp.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 0.5], [7.0, -9.0]])
    expected = [[-2, 0], [1, 5], [4, 7.5], [4, 0]]
    np.testing.assert_allclose(kind.to_environment(policy), expected, rtol=1e-6)


def test_integer_boxes_are_rounded() -> None:
    kind = action_kind_of(spaces.Box(0, 10, (1,), np.int32))
    policy = jnp.array([[-1.0], [0.11], [0.5], [3.0]])
    np.testing.assert_array_equal(kind.to_environment(policy)[:, 0], [0, 6, 8, 10])


def test_trap_10_the_log_prob_is_of_the_action_as_sampled() -> None:
    kind = action_kind_of(spaces.Box(-1, 1, (1,)))
    distribution = kind.distribution(jnp.array([[0.0]]), jnp.array([0.0]))
    far = jnp.array([[2.5]])
    assert kind.to_environment(far) == 1.0
    expected = -0.5 * 2.5**2 - 0.5 * np.log(2 * np.pi)
    assert distribution.log_prob(far)[0] == pytest.approx(expected, rel=1e-6)
    # Of the clipped action it would be larger, and its gradient another.
    assert distribution.log_prob(far)[0] < distribution.log_prob(jnp.array([[1.0]]))[0] - 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, 3e38])
def test_trap_10_actions_stay_finite_for_extreme_bounds_and_samples(scale: float) -> None:
    kind = Bounded((-scale,), (scale,), (1,), "float32")
    samples = jnp.array([[0.0], [1.0], [-1.0], [3e38], [-3e38], [jnp.inf]])
    found = np.asarray(kind.to_environment(samples))[:, 0]
    np.testing.assert_allclose(found / np.float32(scale), [0, 1, -1, 1, -1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "space", "words"),
    [
        (encoding_of, spaces.Text(5), "observation"),
        (encoding_of, spaces.Sequence(spaces.Discrete(2)), "observation"),
        (encoding_of, spaces.Dict({"a": spaces.Graph(spaces.Box(0, 1), None)}), "observation"),
        (action_kind_of, spaces.Dict({"a": spaces.Text(2)}), "action"),
        (action_kind_of, spaces.Tuple((spaces.Sequence(spaces.Discrete(2)),)), "action"),
        (action_kind_of, spaces.Text(5), "action"),
    ],
    ids=lambda x: getattr(x, "__name__", str(x)),  # without an address: workers must agree
)
def test_other_spaces_are_refused_with_what_is_supported(make, space, words: str) -> None:
    match = rf"^The {words} space .* is not supported: use .*Discrete.*MultiBinary.*\.$"
    with pytest.raises(UphillError, match=match):
        make(space)


def test_a_box_action_needs_finite_bounds() -> None:
    match = r"infinite bounds: .*, as in the policy's action_bounds=\(-1, 1\), or declare .*\.$"
    for space in (spaces.Box(-np.inf, 1, (2,)), spaces.Dict(a=spaces.Box(-np.inf, np.inf, (1,)))):
        with pytest.raises(UphillError, match=match):
            action_kind_of(space)
        with pytest.raises(UphillError, match=r"since ClipAction hides .*: leave ClipAction out"):
            action_kind_of(space, is_clipped=True)


def test_bounds_may_be_given_where_a_space_has_none() -> None:
    space = spaces.Box(np.float32([-np.inf, -3]), np.float32([np.inf, 4]))
    kind = action_kind_of(space, bounds=(-2.0, 2.0))
    assert (kind.low, kind.high) == ((-2, -3), (2, 4))
    assert is_for(kind, space)
    assert not is_for(kind, spaces.Box(np.float32([-1, -3]), np.float32([1, 4])))
    given = on_host(kind, np.float32([[1, -1]]))
    np.testing.assert_array_equal(given, [[2, -3]])
    both = spaces.Tuple((space, spaces.Discrete(2)))
    assert is_for(action_kind_of(both, bounds=(-1.0, 1.0)), both)
    for finite in (spaces.Box(-1, 1, (2,)), spaces.Discrete(3)):
        match = r"^action_bounds is \(-1\.0, 1\.0\): .* leave it out\.$"
        with pytest.raises(UphillError, match=match):
            action_kind_of(finite, bounds=(-1.0, 1.0))


@pytest.mark.parametrize(
    ("low", "high", "dtype", "ends"),
    [
        (-np.inf, -5.0, np.float32, r"-1\.0 to -5\.0"),
        (-np.inf, -1.0, np.float32, r"-1\.0 to -1\.0"),
        (3.0, np.inf, np.float64, r"3\.0 to 1\.0"),
    ],
)
def test_bounds_that_would_turn_a_box_around_are_refused(low, high, dtype, ends) -> None:
    space = spaces.Box(low, high, (2,), dtype)
    match = rf"^action_bounds is \(-1\.0, 1\.0\): .* from {ends}, so give .*\.$"
    for some in (space, spaces.Dict(a=space)):
        with pytest.raises(UphillError, match=match):
            action_kind_of(some, bounds=(-1.0, 1.0))
    assert is_for(action_kind_of(space, bounds=(-9.0, 9.0)), space)


def test_bounds_that_the_numbers_of_a_box_cannot_hold_are_refused() -> None:
    with pytest.raises(UphillError, match=r"^action_bounds is .* from -inf to inf, so give fin"):
        action_kind_of(spaces.Box(-np.inf, np.inf, (1,), np.float16), bounds=(-1e6, 1e6))


@pytest.mark.parametrize(
    ("make", "what"), [(encoding_of, "observation"), (action_kind_of, "action")]
)
def test_keys_that_are_no_text_are_refused(make, what: str) -> None:
    space: spaces.Dict = spaces.Dict({0: spaces.Discrete(2)})  # pyright: ignore[reportArgumentType]
    match = rf"^The {what} space .* has the key 0, which is not a string: .* such as '0'\.$"
    for some in (space, spaces.Tuple([space])):
        with pytest.raises(UphillError, match=match):
            make(some)


IMAGE = spaces.Box(0, 255, (4, 5, 3), np.uint8)


def test_images_of_bytes_become_fractions_and_are_not_normalised() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    encoding = encoding_of(IMAGE)
    found = np.asarray(encoding.encode(pixels))
    np.testing.assert_allclose(found, pixels.reshape(2, 60) / 255, rtol=1e-6)
    assert not any(scaled_features(encoding))
    inside = encoding_of(spaces.Dict({"eye": IMAGE, "speed": spaces.Box(-1, 1, (1,))}))
    found = np.asarray(inside.encode({"eye": pixels[0], "speed": np.float32([0.5])}))
    np.testing.assert_allclose(found, [*(pixels[0].ravel() / 255), 0.5], rtol=1e-6)
    assert scaled_features(inside) == (*(False,) * 60, True)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (4, 5), np.uint8),
        spaces.Box(0, 1, (4, 5, 3), np.uint8),
        spaces.Box(0, 255, (4, 5, 3), np.float32),
        spaces.Box(-1, 1, (40, 50, 3), np.float32),
    ],
    ids=str,
)
def test_other_boxes_keep_their_numbers(space: spaces.Box) -> None:
    encoding = encoding_of(space)
    np.testing.assert_array_equal(encoding.encode(space.high), space.high.ravel())
    assert all(scaled_features(encoding))


def test_trap_10_squashed_actions_are_scaled_from_what_was_stored() -> None:
    space = spaces.Box(np.float32([-2, 0]), np.float32([4, 10]))
    squashed = action_kind_of(space, "tanh-gaussian")
    found = squashed.to_environment(jnp.array([[0.0, np.arctanh(0.5)], [100.0, -100.0]]))
    np.testing.assert_allclose(found, [[1, 7.5], [4, 0]], rtol=1e-6)
    beta = action_kind_of(space, "beta")
    found = beta.to_environment(jnp.array([[0.5, 0.75], [1.0, 0.0]]))
    np.testing.assert_allclose(found, [[1, 7.5], [4, 0]], rtol=1e-6)


def test_only_gaussian_actions_are_clipped_and_it_is_counted() -> None:
    space = spaces.Box(-3, 3, (4,))
    action = jnp.array([[0.5, 1.5, -1.0, -1.01], [0.0, 0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(action_kind_of(space).clipped(action), [0.5, 0])
    for family in ("tanh-gaussian", "beta"):
        np.testing.assert_array_equal(action_kind_of(space, family).clipped(action), [0, 0])


@pytest.mark.parametrize("extreme", [-1e30, -50.0, 0.0, 50.0, 1e30])
def test_trap_10_beta_actions_stay_finite_for_extreme_parameters(extreme: float) -> None:
    kind = action_kind_of(spaces.Box(-1, 1, (1,)), "beta")

    def score(parameters: jax.Array) -> jax.Array:
        beta = kind.distribution(parameters, None)
        return beta.log_prob(jnp.array([0.3])) + beta.entropy() + beta.mode().sum()

    value, gradient = jax.value_and_grad(score)(jnp.array([extreme, -extreme]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    mode = kind.distribution(jnp.full(2, extreme), None).mode()
    np.testing.assert_allclose(mode, [0.5], rtol=1e-3)


def test_a_network_sees_choices_as_one_hot_vectors() -> None:
    kind = action_kind_of(spaces.MultiDiscrete([2, 3], start=[5, 7]))
    np.testing.assert_array_equal(kind.vector(jnp.array([1, 0])), [0, 1, 1, 0, 0])
    kind = action_kind_of(spaces.Discrete(3, start=4))
    np.testing.assert_array_equal(kind.vector(jnp.array(2)), [0, 0, 1])


# --- numbers beyond 32 bits ---------------------------------------------------------------------

UNBOUNDED = spaces.Box(-np.inf, np.inf, (2,), np.float64)


@pytest.mark.parametrize(
    ("dtype", "start", "tick"),
    [
        (np.int64, 3_000_000_000, 1),
        (np.int64, 2**33, 1),
        (np.int64, 1_700_000_000_000, 1),
        (np.int64, -1_700_000_000_000, 1),
        (np.int64, 1_700_000_000_000_000_000, 1),
        (np.uint64, 2**64 - 9, 1),
        (np.int32, 1_700_000_000, 1),
        (np.uint32, 4_000_000_000, 1),
        (np.float64, 1.7e12, 1.0),
        (np.float64, 1.7e9, 1 / 64),
        (np.float64, 2_460_000.5, 1e-4),
        (np.float64, -1.7e9, 1 / 64),
    ],
)
def test_a_clock_that_ticks_still_ticks_in_32_bits(dtype, start, tick):
    limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else np.finfo(dtype)
    space = spaces.Dict(clock=spaces.Box(limits.min, limits.max, (2,), dtype), other=UNBOUNDED)
    first = {"clock": np.array([start, 5], dtype), "other": np.zeros(2)}
    encoding = starting_at(encoding_of(space), first)
    assert encoding == encoding_of(space)
    for k in (0, 1, 2, 7):
        later = first | {"clock": first["clock"] + np.array([k * tick, 0]).astype(dtype)}
        found = narrowed(encoding, later)
        assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype(np.float32)}
        expected = later["clock"][0] - first["clock"][0]
        np.testing.assert_allclose(encoding.encode(found), [expected, 5, 0, 0], rtol=1e-6)
    batch = jax.tree.map(lambda x: np.stack([x, x, x]), first)
    np.testing.assert_array_equal(encoding.encode(narrowed(encoding, batch)), [[0, 5, 0, 0]] * 3)
    decoded = decode(Group, json.loads(json.dumps(encode(encoding))))
    assert encoding.parts[0].offset == (first["clock"].tolist()[0], 0)
    assert decoded.parts[0].offset == encoding.parts[0].offset


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (np.uint8, [0, 255]),
        (np.int32, [-5, 1_000_000]),
        (np.float32, [0.1, 3e38]),
        (np.int64, [-3, 1_000_000]),
        (np.float64, [0.1, -1e6]),
        (np.float64, [0.1, 3e38]),
    ],
)
def test_numbers_that_fit_stay_as_they_were(dtype, values):
    first = np.array(values, dtype)
    encoding = starting_at(encoding_of(spaces.Box(-np.inf, np.inf, (2,))), first)
    assert encoding.offset == ()
    found = narrowed(encoding, first)
    assert found.dtype == (dtype if np.dtype(dtype).itemsize <= 4 else np.float32)
    np.testing.assert_array_equal(encoding.encode(found), first.astype(np.float32))


def test_numbers_far_below_and_above_an_offset_do_not_wrap():
    space = spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64)
    encoding = starting_at(encoding_of(space), np.array([2**63 - 1]))
    found = narrowed(encoding, np.array([[0], [-(2**63)], [2**63 - 2]]))
    np.testing.assert_allclose(found[:, 0], [-(2.0**63), -(2.0**64), -1])


@pytest.mark.parametrize("start", [0, 2**31 - 2, 2**40, -(2**40), -(2**63)])
def test_choices_are_told_apart_wherever_they_start(start):
    space = spaces.MultiDiscrete([3, 2], start=[start, 0])
    encoding = encoding_of(space)
    found = narrowed(encoding, np.array([start + 2, 1]))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(encoding.encode(found), [0, 0, 1, 0, 1])
    encoding = encoding_of(spaces.Discrete(3, start=start))
    np.testing.assert_array_equal(
        encoding.encode(narrowed(encoding, np.int64([start, start + 1]))), [[1, 0, 0], [0, 1, 0]]
    )
    kind = action_kind_of(spaces.Discrete(3, start=start))
    given = on_host(kind, np.int32([0, 2]))
    assert given.tolist() == [start, start + 2]
    kind = action_kind_of(space)
    assert on_host(kind, np.int32([[2, 1]])).tolist() == [[start + 2, 1]]


def on_host(kind, action):
    return kind.on_host(action, np.asarray(kind.to_environment(jnp.asarray(action))))


@pytest.mark.parametrize(
    ("space", "policy", "expected"),
    [
        (spaces.Box(0, 10**12, (1,), np.int64), [-1, 0, 1], [0, 5 * 10**11, 10**12]),
        (spaces.Box(0, 10**12 + 1, (1,), np.int64), [2.0], [10**12 + 1]),
        (spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64), [-1, 0, 1], [-(2**63), 0, 2**63 - 1]),
        (spaces.Box(0, 2**64 - 1, (1,), np.uint64), [-1, 9], [0, 2**64 - 1]),
        (spaces.Box(0, 2**31 - 1, (1,), np.int32), [1.0], [2**31 - 1]),
        (spaces.Box(0, 20_000_001, (1,), np.int32), [1.0], [20_000_001]),
        (spaces.Box(0.1, 0.3, (1,), np.float64), [-1, 0, 1], [0.1, 0.2, 0.3]),
        (spaces.Box(-1e300, 1e300, (1,), np.float64), [-1, 0.5, 1], [-1e300, 5e299, 1e300]),
    ],
)
def test_actions_reach_the_ends_of_their_space_in_its_own_type(space, policy, expected):
    given = on_host(action_kind_of(space), np.float32(policy)[:, None])
    assert given.dtype == space.dtype
    assert given.shape == (len(policy), 1)
    np.testing.assert_allclose(given[:, 0], expected, rtol=1e-15)
    assert [int(x) for x in given[[0, -1], 0]] == [int(expected[0]), int(expected[-1])]


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_actions_on_the_host_are_in_their_space_and_have_its_type(space):
    kind = action_kind_of(space)
    parameters = jnp.asarray(np.random.default_rng(0).normal(size=(50, kind.num_parameters)) * 3)
    distribution = kind.distribution(parameters.astype(jnp.float32), jnp.ones(kind.num_parameters))
    given = on_host(kind, np.asarray(distribution.sample(jax.random.key(0))))
    assert given.dtype == space.dtype
    as_one = np.asarray if isinstance(space, spaces.Box) else lambda x: x
    assert all(space.contains(as_one(one)) for one in given)
    single = kind.distribution(parameters[0].astype(jnp.float32), jnp.ones(kind.num_parameters))
    assert on_host(kind, np.asarray(single.mode())).shape == space.shape


@pytest.mark.parametrize("family", ["tanh-gaussian", "beta"])
def test_other_distributions_reach_64_bits_too(family):
    kind = action_kind_of(spaces.Box(0, 10**12, (1,), np.int64), family)
    ends = [[-100.0], [100.0]] if family == "tanh-gaussian" else [[0.0], [1.0]]
    assert on_host(kind, np.float32(ends)).tolist() == [[0], [10**12]]


def test_actions_of_32_bits_are_those_of_the_compiled_program():
    kind = action_kind_of(spaces.Box(np.float32([-2, 0.1]), np.float32([4, 0.3])))
    action = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    np.testing.assert_array_equal(on_host(kind, action), kind.to_environment(jnp.asarray(action)))


@pytest.mark.parametrize(
    ("make", "space"),
    [
        (encoding_of, spaces.Dict({})),
        (encoding_of, spaces.Tuple([])),
        (encoding_of, spaces.Dict(a=spaces.Dict({}))),
        (encoding_of, spaces.Box(0, 1, (0,))),
        (action_kind_of, spaces.Box(0, 1, (0,))),
        (action_kind_of, spaces.Dict({})),
        (action_kind_of, spaces.Tuple([])),
    ],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_spaces_without_a_number_are_refused(make, space):
    with pytest.raises(UphillError, match="has no numbers"):
        make(space)


def test_an_empty_part_of_a_space_is_left_out():
    encoding = encoding_of(spaces.Dict(a=spaces.Dict({}), b=spaces.Box(-1, 1, (1,))))
    np.testing.assert_array_equal(encoding.encode({"a": {}, "b": np.float32([0.5])}), [0.5])
    # It may be empty since all of it was dropped; who asks the policy gives it whole.
    whole = {"a": {"x": np.ones(3)}, "b": np.zeros((4, 1), np.float32)}
    encoding = ignoring(encoding, ("a.x",))
    assert batch_shape(encoding, whole) == (4,)
    assert narrowed(encoding, whole)["a"] == {}


SHAPES = st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)
NAMES = st.text(min_size=1, max_size=5).filter(lambda name: name.isprintable())
BOXES = st.builds(
    lambda low, width, shape, dtype: spaces.Box(low, low + width, shape, dtype),
    st.integers(-100, 100),
    st.integers(1, 100),
    SHAPES,
    st.sampled_from([np.float32, np.float64, np.int16, np.int64]),
)
LEAVES = (
    BOXES
    | st.builds(spaces.Discrete, st.integers(1, 5), start=st.integers(-(2**40), 2**40))
    | st.lists(st.integers(1, 4), min_size=1, max_size=3).map(spaces.MultiDiscrete)
    | st.integers(1, 4).map(spaces.MultiBinary)
)
SPACES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple)
        | st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(spaces.Dict)
    ),
    max_leaves=3,
)


@settings(max_examples=6)
@given(SPACES, st.integers(0, 2**31 - 1))
def test_any_space_can_be_observed_and_acted_in(space: gymnasium.Space, seed: int) -> None:
    """What describes it survives being written, and actions lie in it."""
    space.seed(seed)
    encoding, observation = encoding_of(space), jax.tree.map(np.asarray, space.sample())
    features = np.asarray(encoding.encode(narrowed(encoding, observation)))
    assert features.shape == (encoding.size,)
    assert np.isfinite(features).all()
    kind = action_kind_of(space)
    assert is_for(kind, space)
    for described in (encoding, kind):
        written = json.loads(json.dumps(encode(described)))
        assert decode(type(encoding) | type(kind), written) == described
    rng = np.random.default_rng(seed)
    parameters = rng.normal(size=(1, kind.num_parameters)).astype(np.float32)
    distribution = kind.distribution(parameters, np.zeros(kind.num_log_std, np.float32))
    action = np.asarray(distribution.sample(jax.random.key(seed)))
    as_given = jax.tree.map(np.asarray, kind.to_environment(jnp.asarray(action)))
    assert space.contains(jax.tree.map(lambda x: x[0], kind.on_host(action, as_given)))


@pytest.mark.parametrize("start", [-(2**63), 2**63 - 3])
def test_choices_may_lie_at_the_ends_of_64_bits(start: int) -> None:
    space = spaces.Discrete(3, start=start)
    check_action_kind(action_kind_of(space))
    check_encoding(encoding_of(space))
    with pytest.raises(UphillError, match="expected a whole number of 64 bits"):
        check_action_kind(Choice(4, 2**63 - 3, "int64"))


def test_spaces_of_too_many_choices_are_refused() -> None:
    huge = spaces.Discrete(10**9)
    with pytest.raises(UphillError, match=r"observation space Dict.* is 1,000,000,002 numbers for"):
        encoding_of(spaces.Dict(a=huge, b=spaces.Discrete(2)))
    with pytest.raises(UphillError, match=r"action space Discrete\(1000000000\) is 1,000,000,000"):
        action_kind_of(huge)
