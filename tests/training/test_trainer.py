"""The trainer: what is learned depends on seeds and updates, never on chunks or company."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv, PendulumEnv
from gymnasium.wrappers import TimeLimit
from worlds import Endless, Target

from counting_world import CountingWorld
from plain import a2c, ppo
from uphill.envs.alterations import Alterations
from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError
from uphill.learning.counting import count_of
from uphill.learning.learner import take, with_steps
from uphill.parts import GAE, SGD, Adam, Episodes, Steps, ValueFunction
from uphill.parts.algorithms import reinforce
from uphill.parts.checks import check_count
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.training import inside
from uphill.training.checks import check_numbers
from uphill.training.process import is_short_of_devices
from uphill.training.step import algorithm_now
from uphill.training.trainer import Trainer, iterate

SMALL = PolicySettings(hidden=(8,))
LINEAR = NetworkSettings(hidden=())


def small_ppo(**changes):
    sampling = Steps(num_envs=4, num_steps=16)
    return ppo(policy=SMALL, sampling=sampling, num_epochs=2, num_minibatches=2, **changes)


def trained(algorithm, seeds, num_steps=400, env="CartPole-v1", backend="auto", **loop):
    trainer = Trainer(choose(env, backend), algorithm, seeds, num_steps)
    *_, (state, _) = iterate(trainer, **loop)
    trainer.close()
    return state


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def assert_same(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.bits
@pytest.mark.parametrize(
    "algorithm",
    [small_ppo(normalize_observations=True), reinforce(policy=SMALL, sampling=Episodes(4))],
    ids=["steps", "episodes"],
)
def test_where_chunks_end_changes_no_bit(algorithm):
    trainer = Trainer(choose("CartPole-v1"), algorithm, (3,), 10**6)
    start = trainer.start()
    at_once, rows = trainer.advance(start, 6)
    state = start
    for num_updates in (1, 3, 2):
        state, last = trainer.advance(state, num_updates)
    assert_same(state.learners, at_once.learners)
    assert state.num_transitions == at_once.num_transitions
    np.testing.assert_array_equal(last["gradient/norm"], rows["gradient/norm"][-2:])


@pytest.mark.bits
def test_trap_20_a_seed_learns_the_same_bits_alone_and_among_others():
    """Three seeds on two devices: the last is padding, and each is as if alone."""
    together = trained(small_ppo(), (5, 6, 7))
    for s, seed in enumerate((5, 6, 7)):
        alone = trained(small_ppo(), (seed,))
        assert_same(take(together.learners, s), take(alone.learners, 0))
        assert together.num_transitions[s] == alone.num_transitions[0]


def test_seeds_differ():
    a, b = (trained(small_ppo(), (seed,)) for seed in (0, 1))
    assert not eqx.tree_equal(a.learners.actor, b.learners.actor)


def test_trap_24_training_stops_at_the_first_update_that_reaches_the_steps():
    trainer = Trainer(choose("CartPole-v1"), small_ppo(), (0, 1), 300)
    counts = np.zeros(2, int)
    for after, rows in iterate(trainer):
        state = after
        for row in rows["num_transitions"]:
            assert ((counts < 300) | (row == 0)).all(), "a seed that had its steps went on"
            counts += row
    assert tuple(counts) == state.num_transitions
    assert ((counts >= 300) & (counts < 300 + 64)).all()
    np.testing.assert_array_equal(state.learners.num_transitions, counts)


def value_learned(monkeypatch, world, gamma=0.9):
    """What a linear critic says of the only observation there is, after training."""
    monkeypatch.setitem(WORLDS, "Known-v0", world)
    algorithm = a2c(
        policy=PolicySettings(hidden=()),
        sampling=Steps(num_envs=4, num_steps=7),
        estimator=GAE(gamma=gamma, lam=0.9),
        baseline=ValueFunction(network=LINEAR, coefficient=0.5),
        optimizer=SGD(learning_rate=0.05),
    )
    state = trained(algorithm, (0,), 20_000, "Known-v0")
    return float(take(state.learners, 0).parts.baseline.critic(np.ones(1, np.float32)))


def test_trap_01_a_time_limit_is_not_an_end(monkeypatch):
    """Reward 1 for ever, cut every 10 steps: V = 1 / (1 − γ)."""
    assert value_learned(monkeypatch, Endless()) == pytest.approx(10, rel=0.02)


def test_trap_01_termination_wins_when_both_flags_are_set(monkeypatch):
    """One step, which terminates and meets its time limit: V = 1."""
    world = Endless(max_episode_steps=1, terminates=True)
    assert value_learned(monkeypatch, world) == pytest.approx(1, rel=0.02)


def test_continuous_actions_find_their_target(monkeypatch):
    monkeypatch.setitem(WORLDS, "Target-v0", Target())
    algorithm = ppo(
        policy=PolicySettings(hidden=(), initial_log_std=-0.5),
        sampling=Steps(num_envs=16, num_steps=32),
        optimizer=Adam(learning_rate="linear:1e-2:0"),
    )
    state = trained(algorithm, (0,), 50_000, "Target-v0")
    actor = take(state.learners, 0).actor
    mode = actor.policy.action_kind.to_environment(actor(np.ones(1, np.float32)).mode())
    assert mode[0] == pytest.approx(4, abs=0.15)


def test_a_reward_that_is_not_finite_is_found(monkeypatch):
    monkeypatch.setitem(WORLDS, "Bad-v0", Endless(bad_reward_at=5))
    trainer = Trainer(choose("Bad-v0"), small_ppo(), (0,), 1000)
    _, rows = trainer.advance(trainer.start(), 1)
    assert rows["bad_reward"][0, 0] == 4
    assert rows["bad_observation"][0, 0] == -1
    assert rows["bad_learner"][0, 0]


def test_the_observation_after_the_last_step_is_checked_too(monkeypatch):
    monkeypatch.setitem(WORLDS, "Bad-v0", Endless(bad_observation_at=3))
    algorithm = ppo(policy=SMALL, sampling=Steps(2, 3), num_minibatches=1)
    trainer = Trainer(choose("Bad-v0"), algorithm, (0,), 1000)
    _, rows = trainer.advance(trainer.start(), 1)
    assert rows["bad_observation"][0, 0] == 2


def test_64_bit_numbers_are_refused():
    with jax.enable_x64(True), pytest.raises(UphillError, match="JAX_ENABLE_X64 is on"):
        Trainer(choose("CartPole-v1"), small_ppo(), (0,), 100)


def test_seeds_that_must_take_turns_are_told(monkeypatch):
    """As in a notebook where JAX started before: fewer devices than cores and seeds."""
    assert not is_short_of_devices(len(jax.devices()))
    monkeypatch.setattr("uphill.training.process.usable_cores", lambda: 64)
    assert is_short_of_devices(len(jax.devices()) + 1)
    assert not is_short_of_devices(64, is_python=True)
    trainer = Trainer(choose("CartPole-v1"), small_ppo(), tuple(range(8)), 100)
    assert f"seeds take turns on {len(jax.devices())} device" in trainer.notice


def test_whole_episodes_need_a_time_limit():
    with pytest.raises(UphillError, match=r"CartPoleEnv has no time limit.*max_episode_steps=1000"):
        Trainer(choose(CartPoleEnv), reinforce(), (0,), 1000)
    limited = choose(CartPoleEnv, alterations=Alterations(1000))
    assert Trainer(limited, reinforce(), (0,), 1000).env.max_episode_steps == 1000


def test_whole_episodes_that_no_memory_holds_are_refused():
    endless = choose("CartPole-v1", alterations=Alterations(10**9))
    with pytest.raises(UphillError, match=r"1,000,000,000 steps.*a smaller max_episode_steps"):
        Trainer(endless, reinforce(), (0,), 1000)
    Trainer(endless, small_ppo(), (0,), 1000)


@pytest.mark.parametrize("num_steps", [0, -3, 2**53 + 1])
def test_steps_must_fit_a_counter(num_steps):
    with pytest.raises(UphillError, match=rf"steps is {num_steps}"):
        Trainer(choose("CartPole-v1"), small_ppo(), (0,), num_steps)


@pytest.mark.parametrize("seeds", [3, (), (-1,), (2**32,), ("0",), "01"])
def test_seeds_are_a_tuple_of_numbers(seeds):
    with pytest.raises(UphillError, match=r"^seeds is .*: give a tuple of numbers from 0 to"):
        check_numbers(100, seeds, None, 1)
    check_numbers(100, (np.int64(0), 2**32 - 1), None, 1)


def test_what_is_counted_is_a_whole_number_of_at_least_one():
    with pytest.raises(UphillError, match=r"^measure_every is 0: use at least 1"):
        Trainer(choose("CartPole-v1"), small_ppo(), (0,), 100, measure_every=0)
    trainer = Trainer(choose("CartPole-v1"), small_ppo(), (0,), 100)
    state = trainer.start()
    with pytest.raises(UphillError, match=r"^num_updates is 0: use"):
        trainer.advance(state, 0)
    with pytest.raises(UphillError, match=r"^every is 0: use"):
        next(iterate(trainer, state, every=0))
    with pytest.raises(UphillError, match=r"^episodes is 0: use"):
        trainer.evaluate(state, 0)
    for number in ("10", 2.5, True, None):
        with pytest.raises(UphillError, match=rf"^episodes is {number!r}: use"):
            check_count(episodes=number)


@pytest.mark.parametrize("measure_every", [None, 100])
def test_more_updates_than_fit_into_a_chunk_are_several(measure_every):
    count = inside.CAPACITY + 6
    trainer = Trainer(choose("CartPole-v1"), small_ppo(), (0,), 10**6, measure_every=measure_every)
    state, rows = trainer.advance(trainer.start(), count)
    assert state.num_updates == count
    assert np.asarray(state.learners.num_updates).tolist() == [count]
    assert len(rows["updated"]) == count
    assert rows["num_transitions"].sum() == state.num_transitions[0]
    assert int(state.learners.num_transitions[0]) == state.num_transitions[0]


def test_schedules_stay_where_they_end():
    algorithm = ppo(
        optimizer=Adam(learning_rate="linear:1e-3:1e-4"), uniform_mixture="linear:0.1:0"
    )
    for done, rate, uniform in ((0, 1e-3, 0.1), (50, 5.5e-4, 0.05), (100, 1e-4, 0), (300, 1e-4, 0)):
        now = algorithm_now(algorithm, 100, count_of(done))
        assert float(now.optimizer.learning_rate.value) == pytest.approx(rate, rel=1e-6)
        assert float(now.uniform) == pytest.approx(uniform, abs=1e-8)


def test_more_updates_than_their_numbers_have_bits_for_are_refused():
    one_step = ppo(sampling=Steps(1, 1), num_epochs=1, num_minibatches=1, scale_advantages="none")
    with pytest.raises(UphillError, match=r"more than 2,147,483,647 updates.*envs=2"):
        Trainer(choose("CartPole-v1"), one_step, (0,), 10**10)
    Trainer(choose("CartPole-v1"), small_ppo(), (0,), 10**10)


@pytest.mark.parametrize("backend", ["compiled", "envpool", "gymnasium"])
def test_steps_beyond_32_bits_are_counted_exactly(backend):
    """One seed passes 2³² on the way, and another has them behind it."""
    algorithm = a2c(
        sampling=Steps(4, 8), policy=SMALL, optimizer=Adam("linear:1e-2:0"), uniform_mixture=0.1
    )
    goal = 10**10
    trainer = Trainer(choose("CartPole-v1", backend), algorithm, (0, 1), goal)
    fresh, before = trainer.start(), (2**32 - 40, goal - 100)
    state = replace(
        fresh,
        learners=with_steps(fresh.learners, count_of(np.array(before))),
        num_transitions=before,
    )
    done = np.array(before)
    for _ in range(8):
        state, rows = trainer.advance(state, 1)
        # The second stops at the first update that reaches them.
        assert rows["updated"][0].tolist() == [1, done[1] < goal]
        done += rows["num_transitions"][0]
        assert state.num_transitions == tuple(done)
        words = state.learners.steps
        found = [(int(h) << 32) + int(low) for h, low in zip(*words, strict=True)]
        assert found == done.tolist()
    assert done[0] > 2**32 + 100
    assert goal <= done[1] < goal + 32
    trainer.close()


@pytest.mark.parametrize("backend", ["envpool", "gymnasium"])
@pytest.mark.parametrize("sampling", [Steps(2, 16), Episodes(2)], ids=["steps", "episodes"])
def test_environments_outside_are_repeatable(backend, sampling):
    algorithm = reinforce(
        policy=SMALL,
        sampling=sampling,
        mean_over="steps",
        normalize_observations=True,
    )
    one, two = (trained(algorithm, (1, 2), 150, backend=backend) for _ in range(2))
    assert_same(one.learners, two.learners)
    assert one.num_transitions == two.num_transitions
    assert not eqx.tree_equal(take(one.learners, 0).actor, take(one.learners, 1).actor)


@pytest.mark.parametrize("backend", ["compiled", "gymnasium"])
def test_an_update_is_measured_wherever_a_chunk_ends(backend: str) -> None:
    algorithm = a2c(sampling=Steps(4, 8), optimizer=Adam(0.1), policy=PolicySettings(hidden=(8,)))
    trainer = Trainer(choose("CartPole-v1", backend), algorithm, (0, 1), 10**4, measure_every=3)
    state, first = trainer.advance(trainer.start(), 2)
    _, second = trainer.advance(state, 5)
    trainer.close()
    for name in ("policy/kl", "gradient/snr"):
        values = np.concatenate([first[name], second[name]])
        assert np.isfinite(values[[2, 5]]).all(), name
        assert np.isnan(np.delete(values, [2, 5], 0)).all(), name
    assert (second["policy/kl"][[0, 3]] > 0).all()


@pytest.mark.parametrize("distribution", ["gaussian", "tanh-gaussian", "beta"])
def test_episodes_of_any_length_are_learned_from(distribution: str) -> None:
    """Blocks of rows are filled beyond the last step: 50 steps are no multiple of 32. There must be
    an action, since 0 has no density under a Beta, and 0 · ∞ is no gradient."""
    choice = choose(lambda: TimeLimit(PendulumEnv(), 50))
    settings = PolicySettings(hidden=(8,), distribution=distribution)
    algorithm = reinforce(sampling=Episodes(num_envs=2), policy=settings)
    trainer = Trainer(choice, algorithm, (0,), 10**4, measure_every=1)
    _, rows = trainer.advance(trainer.start(), 2)
    trainer.close()
    assert rows["num_transitions"].tolist() == [[100], [100]]
    assert not rows["bad_learner"].any()
    assert np.isfinite(rows["policy/kl"]).all()


def test_what_is_measured_is_the_last_update() -> None:
    algorithm = a2c(sampling=Steps(4, 8), optimizer=Adam(0.1), policy=PolicySettings(hidden=(8,)))
    trainer = Trainer(choose("CartPole-v1"), algorithm, (0,), 10**4, measure_every=2)
    before, _ = trainer.advance(trainer.start(), 1)
    after, rows = trainer.advance(before, 1)
    old, new = (take(state.learners.actor, 0) for state in (before, after))
    learner, trajectory = trainer._way.advance(before.learners, before.lanes, 1).befores[-1]
    assert eqx.tree_equal(take(learner.actor, 0), old)
    features = old.encoding.encode(np.asarray(trajectory.observation)[0])
    p, q = (jax.nn.log_softmax(actor.policy(features).logits) for actor in (old, new))
    kl = (np.exp(p) * (p - q)).sum(-1)[np.asarray(trajectory.mask)[0]].mean()
    np.testing.assert_allclose(rows["policy/kl"][0, 0], kl, rtol=1e-3)


def test_the_next_training_alike_is_not_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, real = [], inside.collect_and_learn

    def counted(*arguments):
        traced.append(arguments[0].world)
        return real(*arguments)

    monkeypatch.setattr(inside, "collect_and_learn", counted)
    first = trained(small_ppo(optimizer=Adam(learning_rate=1e-3)), (0,), 100)
    faster = trained(small_ppo(optimizer=Adam(learning_rate=1e-2)), (0,), 100)
    other = trained(small_ppo(optimizer=Adam(learning_rate=1e-3)), (1,), 100)
    assert len(traced) == 1
    assert len({leaves(x.learners.actor.policy)[0].tobytes() for x in (first, faster, other)}) == 3
    # A world of one's own may read what is no field of it.
    for seed in range(2):
        trained(small_ppo(), (seed,), 100, env=CountingWorld())
    assert len(traced) == 3
