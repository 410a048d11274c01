"""CarRace: radars against marching rays, walls that hold, laps that count, rewards that add up."""

import json
from dataclasses import replace
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.envs.base import Configurable, Informative, World
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import choose, make_env
from uphill.envs.worlds import WORLDS, make_world
from uphill.envs.worlds.car_race import (
    CAR_RADIUS,
    LAP_REWARD,
    MAX_SPEED,
    MIN_SPEED,
    RADAR_ANGLES,
    RADAR_RANGE,
    TIME_STEP,
    CarRace,
    State,
    locate,
    radars,
)
from uphill.envs.worlds.tracks import TRACKS, Track, lay
from uphill.errors import UphillError

ALL = CarRace(tuple(TRACKS.values()))
LEFT, RIGHT, SLOWER, FASTER = range(4)
KEY = jax.random.key(0)
LOCATE = jax.jit(partial(locate, ALL.circuits))


def anywhere(rng, track=None, speed=10.0):
    """A car somewhere on a track, anyhow turned; NumPy's own arithmetic places it."""
    track = int(rng.integers(len(ALL.tracks))) if track is None else track
    layout = lay(ALL.tracks[track])
    num = len(layout.center)
    i, along = int(rng.integers(num)), rng.uniform(0.2, 0.8)
    step = layout.center[(i + 1) % num] - layout.center[i]
    normal = np.array([-step[1], step[0]]) / np.linalg.norm(step)
    aside = rng.uniform(-1, 1) * (ALL.tracks[track].half_width - CAR_RADIUS)
    return place(
        layout.center[i] + along * step + aside * normal,
        rng.uniform(-np.pi, np.pi),
        speed,
        track,
        i,
    )


def place(position, heading, speed, track, section):
    where = jnp.asarray(position, jnp.float32)
    number = jnp.int32(section)
    number, along, offset = LOCATE(jnp.int32(track), number, where)
    return State(
        where, jnp.float32(heading), jnp.float32(speed), jnp.int32(track), number, along, offset
    )


def stacked(states):
    return jax.tree.map(lambda *x: jnp.stack(x), *states)


def is_inside(points, walls):
    """Whether points lie on the track: between its two walls, by counting crossings."""
    inside = np.zeros(points.shape[:-1], bool)
    for wall in (walls[:, 0], walls[:, 1]):
        after = np.roll(wall, -1, axis=0)
        x, y = points[..., None, 0], points[..., None, 1]
        spans = (wall[:, 1] > y) != (after[:, 1] > y)
        height = np.where(after[:, 1] == wall[:, 1], 1, after[:, 1] - wall[:, 1])
        at = wall[:, 0] + (y - wall[:, 1]) / height * (after[:, 0] - wall[:, 0])
        inside ^= (spans & (at > x)).sum(-1) % 2 == 1
    return inside


def marched(position, heading, walls):
    """Where a ray leaves the track: steps of 1 cm until a point lies outside."""
    distance = np.arange(0, RADAR_RANGE, 0.01)
    found = []
    for angle in RADAR_ANGLES:
        ray = np.array([np.cos(heading + angle), np.sin(heading + angle)])
        outside = ~is_inside(position + distance[:, None] * ray, walls)
        found.append(distance[outside.argmax()] if outside.any() else RADAR_RANGE)
    return np.array(found)


def test_radars_measure_what_marching_rays_measure_on_every_track():
    rng = np.random.default_rng(0)
    states = [anywhere(rng, k % len(ALL.tracks)) for k in range(40)]
    ours = jax.jit(jax.vmap(lambda state: radars(ALL.circuits, state)))(stacked(states))
    for state, measured in zip(states, np.asarray(ours), strict=True):
        walls = lay(ALL.tracks[int(state.track)]).walls
        expected = marched(np.asarray(state.position, float), float(state.heading), walls)
        np.testing.assert_allclose(measured, expected, atol=0.03)
    assert (np.asarray(ours) < RADAR_RANGE).mean() > 0.5


def test_radars_run_from_right_to_left():
    straight = place([0.0, -22.0], 0.0, 10.0, 0, 0)  # the oval's start, 2 m left of the middle
    right, right_ahead, ahead, left_ahead, left = np.asarray(radars(ALL.circuits, straight))
    assert right == pytest.approx(7, abs=0.1)
    assert left == pytest.approx(3, abs=0.1)
    assert right_ahead == pytest.approx(7 * np.sqrt(2), abs=0.3)
    assert left_ahead == pytest.approx(3 * np.sqrt(2), abs=0.3)
    assert ahead > 20
    observation = ALL.observation(straight)
    np.testing.assert_allclose(observation[0], right / RADAR_RANGE, rtol=1e-6)
    np.testing.assert_allclose(observation[5], 10 / MAX_SPEED)


def test_padding_of_shorter_tracks_has_no_effect():
    one, padded = CarRace((TRACKS["oval"],)), CarRace((TRACKS["oval"], TRACKS["technical"]))
    short, long = padded.circuits.num_sections
    assert long - short > 10
    start = place([6.0, -27.0], np.pi, 6.0, 0, 2)

    def trace(world, actions):
        def step(state, action):
            state = world.transition(state, action, KEY)
            return state, (world.observation(state), world.progress(state))

        return jax.jit(lambda actions: jax.lax.scan(step, start, actions)[1])(actions)

    # The line at which the numbers of sections start again is crossed both ways.
    actions = np.array([SLOWER] * 20 + [RIGHT] * 18 + [SLOWER] * 20)
    alone, among = trace(one, actions), trace(padded, actions)
    assert alone[1].min() < 0 < alone[1][-1]
    for a, b in zip(alone, among, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        assert np.isfinite(a).all()


def test_a_step_is_no_longer_than_what_keeps_a_car_from_the_wall():
    assert MAX_SPEED * TIME_STEP <= CAR_RADIUS + 1e-9


def test_no_car_at_top_speed_passes_through_a_wall():
    rng = np.random.default_rng(1)
    start = stacked([anywhere(rng, speed=MAX_SPEED) for _ in range(256)])

    def step(carry, action):
        state, over = carry
        moved = jax.vmap(ALL.transition, (0, 0, None))(state, action, KEY)
        moved = jax.tree.map(lambda old, new: jax.vmap(jnp.where)(over, old, new), state, moved)
        return (moved, over | jax.vmap(ALL.crashed)(moved)), None

    # Mostly straight on at top speed: FASTER changes nothing more.
    actions = rng.choice([FASTER, FASTER, FASTER, LEFT, RIGHT], (300, 256))
    (end, over), _ = jax.jit(lambda carry, actions: jax.lax.scan(step, carry, actions))(
        (start, jnp.zeros(256, bool)), jnp.asarray(actions)
    )
    assert np.asarray(over).mean() > 0.9
    for k in range(256):
        walls = lay(ALL.tracks[int(end.track[k])]).walls
        assert is_inside(np.asarray(end.position[k], float), walls)


def test_the_nearest_section_is_the_nearest_of_all():
    rng = np.random.default_rng(2)
    for _ in range(30):
        state = anywhere(rng)
        center = lay(ALL.tracks[int(state.track)]).center
        closed = np.concatenate([center, center[:1]])
        at = (np.arange(len(center))[:, None] + np.arange(100) / 100).ravel()
        fine = np.stack([np.interp(at, np.arange(len(closed)), closed[:, k]) for k in (0, 1)], -1)
        distance = np.linalg.norm(fine - np.asarray(state.position), axis=-1)
        assert float(state.offset) == pytest.approx(distance.min(), abs=0.02)
        there = float(state.section + state.along) % len(center)
        away = abs(there - at[distance.argmin()])
        assert min(away, len(center) - away) < 0.1


def test_the_controls_are_those_of_the_lesson():
    state = place([0.0, -24.0], 0.0, 8.0, 0, 0)

    def after(action, world=ALL):
        moved = world.transition(state, jnp.asarray(action), KEY)
        return float(moved.heading), float(moved.speed)

    assert after(LEFT) == pytest.approx((np.radians(10), 8))
    assert after(RIGHT) == pytest.approx((-np.radians(10), 8))
    assert after(FASTER) == pytest.approx((0, 10))
    assert after(SLOWER) == pytest.approx((0, 6))
    slowest, fastest = (place([0.0, -24.0], 0.0, speed, 0, 0) for speed in (6.0, 16.0))
    assert float(ALL.transition(slowest, jnp.asarray(SLOWER), KEY).speed) == MIN_SPEED
    assert float(ALL.transition(fastest, jnp.asarray(FASTER), KEY).speed) == MAX_SPEED
    continuous = WORLDS["CarRaceContinuous-v0"]
    assert after([0.5, -1.0], continuous) == pytest.approx((np.radians(5), 6))
    assert after([-7.0, 9.0], continuous) == pytest.approx((-np.radians(10), 10))


def by_hand(observation, target):
    """Turn to where there is more room; else keep a speed."""
    right, right_ahead, _, left_ahead, left = observation[:5]
    room = (left_ahead - right_ahead) + (left - right) / 2
    speed = observation[5] * MAX_SPEED
    keep = jnp.where(speed < target, FASTER, jnp.where(room > 0, LEFT, RIGHT))
    return jnp.where(room > 0.07, LEFT, jnp.where(room < -0.07, RIGHT, keep))


@partial(jax.jit, static_argnums=(0, 2, 3))
def drive(world, target, num_steps=1000, num_cars=40):
    """Episodes driven by hand: the last state, the return, the steps, and every state's info."""

    def episode(key):
        def step(carry, _):
            state, over, total, steps = carry
            action = by_hand(world.observation(state), target)
            moved = world.transition(state, action, key)
            total += jnp.where(over, 0.0, world.reward(state, action, moved))
            moved = jax.tree.map(lambda old, new: jnp.where(over, old, new), state, moved)
            return (moved, over | world.terminated(moved), total, steps + ~over), world.info(moved)

        carry = (world.initial(key), jnp.bool_(False), jnp.float32(0), jnp.int32(0))
        (state, _, total, steps), infos = jax.lax.scan(step, carry, None, length=num_steps)
        return state, total, steps, infos

    return jax.vmap(episode)(jax.random.split(KEY, num_cars))


@pytest.mark.parametrize("target", [MIN_SPEED, 12.0])
def test_every_track_can_be_driven_in_time_and_the_rewards_of_a_lap_add_up(target):
    state, total, steps, infos = jax.tree.map(np.asarray, drive(ALL, jnp.float32(target)))
    assert set(state.track.tolist()) == set(range(len(TRACKS)))
    progress = infos["progress"][:, -1]
    assert not infos["crashed"].any()
    assert (progress >= 1).all()
    assert (progress < 1.02).all()
    np.testing.assert_allclose(total, LAP_REWARD * progress - 0.02 * steps, atol=1e-2)
    assert (total >= ALL.reward_threshold).all()
    assert (infos["laps"][:, -1] == 1).all()
    milestones = np.stack([infos[name] for name in ("first_curve", "long_run", "full_lap")])
    assert not milestones[:, :, 0].any()
    assert milestones[:, :, -1].all()
    assert (np.diff(milestones.argmax(-1), axis=0) > 0).all()


def test_two_laps_are_twice_the_way_and_each_counts_once():
    world = make_world("CarRace-v0", {"track": "oval", "laps": 2})
    assert world.max_episode_steps == 2000
    assert world.reward_threshold == 180
    _, total, _, infos = drive(world, jnp.float32(12), 800, 2)
    laps = np.asarray(infos["laps"])
    assert (laps[:, -1] == 2).all()
    assert (np.diff(laps, axis=1) >= 0).all()
    assert (laps.max(1) == 2).all()
    assert (np.asarray(total) > 180).all()


def test_driving_backwards_over_the_line_counts_no_lap_and_pays_less_than_nothing():
    world = make_world("CarRace-v0", {"track": "oval"})
    backwards = place([0.0, -24.0], np.pi, 10.0, 0, 0)
    transition, total, state = jax.jit(world.transition), 0.0, backwards
    for _ in range(5):
        moved = transition(state, jnp.asarray(FASTER), KEY)
        total += float(world.reward(state, jnp.asarray(FASTER), moved))
        state = moved
    assert float(world.progress(state)) < -0.02
    assert int(world.info(state)["laps"]) == 0
    assert not world.terminated(state)
    assert total == pytest.approx(100 * float(world.progress(state)) - 5 * 0.02, abs=1e-3)
    # Turned round, the same stretch only earns back what it cost.
    forwards = place(state.position, 0.0, 10.0, 0, int(state.section))
    for _ in range(20):
        forwards = transition(forwards, jnp.asarray(SLOWER), KEY)
    assert 0 < float(world.progress(forwards)) < 0.1
    assert not world.info(forwards)["full_lap"]


def test_a_crash_ends_the_episode_costs_twenty_and_no_crash_reaches_the_threshold():
    world = make_world("CarRace-v0", {"track": "oval"})
    state = place([0.0, -24.0], np.pi / 2, 10.0, 0, 0)
    steps, rewards, transition = 0, [], jax.jit(world.transition)
    while not world.terminated(state):
        moved = transition(state, jnp.asarray(SLOWER), KEY)
        rewards.append(float(world.reward(state, jnp.asarray(SLOWER), moved)))
        state, steps = moved, steps + 1
    assert world.crashed(state)
    assert steps == int(np.ceil((5 - CAR_RADIUS - 0.8) / 0.6)) + 1
    assert rewards[-1] == pytest.approx(-20.02, abs=0.5)
    assert max(rewards[:-1]) < 0.5
    # Whoever crashes or runs out of time at 100 % less a hair earns less than the threshold, and
    # the slowest full lap earns it.
    limit = world.max_episode_steps
    assert world.reward_threshold > LAP_REWARD - 1e-3 - 20 - 0.02
    assert world.reward_threshold > LAP_REWARD - 1e-3 - 0.02 * limit
    assert world.reward_threshold <= LAP_REWARD - 0.02 * limit


def test_the_time_limit_is_long_enough_for_a_slow_lap_on_every_track():
    for name, track in TRACKS.items():
        world = make_world("CarRace-v0", {"track": name})
        assert lay(track).length / (MIN_SPEED * TIME_STEP) < 0.8 * world.max_episode_steps
    huge = Track("huge", ((0, 0), (900, 0), (900, 900), (0, 900)))
    world = CarRace((huge,))
    assert lay(huge).length / (MIN_SPEED * TIME_STEP) < 0.8 * world.max_episode_steps


def test_episodes_start_at_random_on_all_training_tracks():
    world = WORLDS["CarRace-v0"]
    states = jax.vmap(world.initial)(jax.random.split(KEY, 2000))
    share = np.bincount(np.asarray(states.track), minlength=len(world.tracks)) / 2000
    np.testing.assert_allclose(share, 1 / len(world.tracks), atol=0.05)
    assert not jax.vmap(world.crashed)(states).any()
    assert (jax.vmap(world.progress)(states) == 0).all()
    assert float(states.offset.max()) == pytest.approx(1, abs=0.01)
    on_oval = np.asarray(states.heading)[np.asarray(states.track) == 0]
    assert np.degrees(on_oval).std() == pytest.approx(20 / np.sqrt(12), rel=0.1)


@pytest.mark.parametrize(
    ("name", "dtype"), [("CarRace-v0", np.int32), ("CarRaceContinuous-v0", np.float32)]
)
def test_observations_stay_in_their_space_whatever_is_done(name, dtype):
    env = CompiledEnvironment(WORLDS[name], 32)
    space = gymnasium.vector.utils.batch_space(env.action_space, 32)
    space.seed(0)
    actions = np.stack([space.sample() for _ in range(100)]).astype(dtype)
    state, _ = env.reset(KEY)
    timesteps = jax.jit(lambda state: jax.lax.scan(env.step, state, actions)[1])(state)
    assert timesteps.observation.shape == (100, 32, 6)
    assert (timesteps.observation >= 0).all()
    assert (timesteps.observation <= 1).all()
    assert timesteps.terminated.sum() > 10


def test_it_is_a_world_with_arguments_and_with_something_to_tell():
    for name in ("CarRace-v0", "CarRaceContinuous-v0"):
        assert isinstance(WORLDS[name], World)
        assert isinstance(WORLDS[name], Configurable)
        assert isinstance(WORLDS[name], Informative)
        assert hash(make_world(name, {"track": "oval"})) == hash(
            make_world(name, {"track": "oval"})
        )
        assert make_world(name, {"track": "oval"}) != WORLDS[name]


def test_a_track_of_the_users_own_is_driven(tmp_path):
    path = tmp_path / "loop.json"
    path.write_text(json.dumps({"center": [[0, 0], [70, 0], [70, 60], [0, 60]], "half_width": 6}))
    choice = choose("CarRace-v0", env_kwargs={"track": str(path), "laps": 1})
    assert choice.backend == "compiled"
    env, _ = make_env(choice, 3)
    assert env.world.tracks[0].name == "loop"
    _, _, _, infos = drive(env.world, jnp.float32(12), 400, 3)
    assert infos["full_lap"][:, -1].all()


@pytest.mark.parametrize(
    ("env_kwargs", "words"),
    [
        ({"colour": "red"}, r"CarRace-v0 has no argument colour \(these are: track, laps\)"),
        ({"laps": 0}, "laps is 0: give a whole number, 1 or more"),
        ({"laps": 1.5}, "laps is 1.5: give"),
        ({"laps": True}, "laps is True: give"),
        ({"track": 3}, "track is 3: give its name or a .json file"),
        ({"track": "nowhere"}, "no track 'nowhere': use one of oval"),
        ({"track": "nowhere.json"}, r"'nowhere\.json' can't be read: No such file"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_sentence(env_kwargs, words):
    for backend in ("auto", "compiled"):
        with pytest.raises(UphillError, match=words) as caught:
            choose("CarRace-v0", backend, env_kwargs)
        assert "\n" not in str(caught.value)


def test_circuits_of_the_same_tracks_are_made_once():
    assert CarRace(tuple(TRACKS.values())).circuits is ALL.circuits
    assert replace(ALL, laps=2).circuits is ALL.circuits


def test_a_wide_track_with_a_tight_bend_does_not_lose_the_car():
    # Close to the inner wall of a bend, a step passes many metres of the centre line.
    turns = 2 * np.pi * np.arange(12) / 12
    points = tuple(zip(21 * np.cos(turns), 21 * np.sin(turns), strict=True))
    world = CarRace((Track("round", points, half_width=20.0),))
    transition = jax.jit(world.transition)
    start = world.initial(KEY)
    state = State(
        jnp.array([3.0, 0.0]), jnp.float32(np.pi / 2), jnp.float32(16.0), start.track,
        start.section, start.along, jnp.float32(18.0),
    )  # fmt: skip
    angle = 0.0
    for _ in range(6):
        x, y = np.asarray(state.position, float)
        heading = np.arctan2(y, x) + np.pi / 2 + np.radians(12)
        turned = State(
            state.position, jnp.float32(heading), state.speed, state.track, state.section,
            state.along, state.offset,
        )  # fmt: skip
        state = transition(turned, jnp.asarray(FASTER), KEY)
        after = np.asarray(state.position, float)
        angle += np.arctan2(x * after[1] - y * after[0], x * after[0] + y * after[1])
        assert float(world.progress(state)) == pytest.approx(angle / (2 * np.pi), abs=0.02)
    assert angle > 2
