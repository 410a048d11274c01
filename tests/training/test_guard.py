"""A seed whose numbers are not finite stops as it last was, and the others go on."""

from dataclasses import dataclass

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from worlds import Endless

import uphill
from plain import a2c
from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError
from uphill.learning.learner import take
from uphill.parts import Adam, Algorithm, ScoreFunction, Steps
from uphill.policies.policy import PolicySettings
from uphill.runs import not_finite
from uphill.runs.files import named_leaves, to_tensors
from uphill.training.guard import LOSSES, NotFinite, first_fault, why
from uphill.training.trainer import Trainer, iterate


def small(learning_rate: float) -> Algorithm:
    return a2c(
        sampling=Steps(num_envs=4, num_steps=8),
        policy=PolicySettings(hidden=(8,)),
        optimizer=Adam(learning_rate),
    )


@pytest.mark.parametrize("backend", ["compiled", "envpool", "gymnasium"])
def test_the_other_seeds_go_on_in_every_kind_of_environment(backend: str) -> None:
    """One update of a learning rate of 1e30 leaves finite weights, and the next one overflows."""
    algorithms = [small(1e-2), small(1e30), small(1e-2)]
    trainer = Trainer(choose("CartPole-v1", backend), algorithms, (0, 1, 2), 200)
    *_, (state, rows) = iterate(trainer)
    assert set(state.stops) == {1}
    stop = state.stops[1]
    assert (stop.why.update, stop.why.step) == (2, None)
    assert stop.why.quantity in LOSSES
    assert stop.why.steps == state.num_transitions[1] <= 32
    assert stop.batch is not None
    assert stop.batch.mask.shape == (8, 4)
    for leaf in jax.tree.leaves(state.learners):
        assert np.isfinite(leaf).all()
    # Counters say what each has learned from, and training is done without it.
    assert np.asarray(state.learners.num_transitions).tolist() == list(state.num_transitions)
    assert min(state.num_transitions[0], state.num_transitions[2]) == state.steps >= 200
    assert trainer.is_done(state)
    assert rows["updated"].any(0).tolist() == [True, False, True]
    trainer.close()


class Drawn(eqx.Module):
    time: object
    fate: object


@dataclass(frozen=True)
class Rare(Endless):
    """One episode in fifty has a reward that is NaN at its third step."""

    def initial(self, key):
        return Drawn(jnp.zeros((), jnp.int32), jax.random.uniform(key))

    def transition(self, state, action, key):
        return Drawn(state.time + 1, state.fate)

    def reward(self, state, action, next_state):
        return jnp.where((state.fate > 0.98) & (state.time == 2), jnp.nan, 1.0)


def test_a_seed_that_stopped_is_as_it_was_wherever_chunks_end(monkeypatch) -> None:
    monkeypatch.setitem(WORLDS, "Rare-v0", Rare())
    trainer = Trainer(choose("Rare-v0"), small(1e-2), (0, 1, 2, 3), 10**4)
    at_once, rows = trainer.advance(trainer.start(), 30)
    one_by_one, states = trainer.start(), []
    for _ in range(30):
        one_by_one, _ = trainer.advance(one_by_one, 1)
        states.append(one_by_one)
    assert 0 < len(at_once.stops) < 4
    assert {s: stop.why for s, stop in at_once.stops.items()} == {
        s: stop.why for s, stop in one_by_one.stops.items()
    }
    for x, y in zip(*(jax.tree.leaves(x.learners) for x in (at_once, one_by_one)), strict=True):
        np.testing.assert_array_equal(x, y)
    for s, stop in at_once.stops.items():
        reason = stop.why
        assert reason.quantity == "reward"
        assert np.isnan(stop.batch.reward[reason.step]).any()
        assert np.isfinite(stop.batch.reward[: reason.step]).all()
        before = states[reason.update - 2]  # what it had learned by then, and where it stood
        for name in ("learners", "lanes"):
            old, new = (named_leaves(take(getattr(x, name), s)) for x in (before, at_once))
            for (where, x), (_, y) in zip(old, new, strict=True):
                assert to_tensors({"x": x}) == to_tensors({"x": y}), where
        assert rows["updated"][: reason.update - 1, s].all()
        assert not rows["updated"][reason.update - 1 :, s].any()
        assert rows["bad_reward"][reason.update - 1, s] == reason.step
        assert rows["num_transitions"][:, s].sum() == reason.steps


class Spoiled(gymnasium.Env):
    """One in three returns NaN at its fourth step, with its reward or in its observation; actions
    are never anything but 1 to 2."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(1, 2, (1,), np.float32)

    def __init__(self, what: str) -> None:
        self.what, self.is_bad = what, None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        if self.is_bad is None:
            self.is_bad = self.np_random.uniform() < 1 / 3
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        bad = np.nan if self.is_bad and self.t == 4 else 0.5
        seen = np.full(2, bad if self.what == "observation" else 0.5, np.float32)
        return seen, bad if self.what == "reward" else 0.5, self.t >= 6, False, {}


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_an_environment_of_python_stops_only_its_seed(what: str) -> None:
    seeds = (0, 1, 2, 3)
    chosen = a2c(sampling=Steps(num_envs=1, num_steps=8), policy=PolicySettings(hidden=(8,)))
    choice = choose(Spoiled, "gymnasium", {"what": what})
    trainer = Trainer(choice, chosen, seeds, 60)
    *_, (state, _) = iterate(trainer)
    trainer.close()
    assert 0 < len(state.stops) < len(seeds)
    for stop in state.stops.values():
        assert (stop.why.update, stop.why.quantity, stop.why.step) == (1, what, 3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.learners))
    assert state.steps >= 60
    # Of one seed alone it ends the training, with the environment named.
    alone = Trainer(choice, chosen, (min(state.stops),), 60)
    with pytest.raises(UphillError, match=rf"returned nan in its {what}.*fix the environment"):
        alone.advance(alone.start(), 1)
    alone.close()


def rows_with(**changes: float) -> dict[str, np.ndarray]:
    row = dict.fromkeys(LOSSES, 1.0) | {"updated": 1, "bad_learner": False}
    row |= {"bad_reward": -1, "bad_observation": -1} | changes
    return {name: np.array([[x]]) for name, x in row.items()}


@pytest.mark.parametrize(
    ("changes", "quantity", "step"),
    [
        ({"bad_observation": 3, "bad_learner": True, "gradient/norm": np.nan}, "observation", 3),
        ({"value/loss": np.inf, "gradient/norm": np.nan}, "value/loss", None),
        ({"gradient/norm": np.inf}, "gradient/norm", None),
        ({"bad_learner": True}, "networks", None),
    ],
)
def test_what_was_not_finite_first_is_named(changes, quantity: str, step: int | None) -> None:
    trainer = Trainer(choose("CartPole-v1"), small(1e-2), (0,), 100)
    fresh = trainer.fresh_learners()
    old = eqx.tree_at(lambda x: x.num_updates, fresh, np.ones(1, np.int32))
    rows = rows_with(**changes)
    assert first_fault(rows, old) == 0
    assert why(rows, 0, 0, 2, 32) == NotFinite(2, 32, quantity, step)
    # A first batch that only fills the scales may have any loss; its networks stay as they are.
    is_loss = quantity in LOSSES
    assert first_fault(rows, fresh) == (None if is_loss else 0)
    assert first_fault(rows_with(updated=0, **changes), old) is None
    assert first_fault(rows_with(), old) is None
    trainer.close()


@pytest.mark.parametrize(("share", "shape"), [(1.0, (8, 4)), (0.6, (8, 2)), (0.2, (6, 1))])
def test_a_batch_that_is_kept_is_bounded(monkeypatch, share: float, shape: tuple[int, int]) -> None:
    monkeypatch.setitem(WORLDS, "Bad-v0", Endless(bad_reward_at=7))
    trainer = Trainer(choose("Bad-v0"), small(1e-2), (0,), 1000)
    state, _ = trainer.advance(trainer.start(), 1)
    batch = state.stops[0].batch
    assert batch is not None
    bad = batch.reward.copy()
    bad[:, :2] = 1.0  # the environments that are suspect are the last two
    batch = eqx.tree_at(lambda b: b.reward, batch, bad)
    size = sum(x.nbytes for x in jax.tree.leaves(batch))
    monkeypatch.setattr(not_finite, "LARGEST_BATCH", int(share * size))
    kept = not_finite._bounded(batch)
    assert kept.mask.shape == shape
    assert sum(x.nbytes for x in jax.tree.leaves(kept)) <= share * size
    assert np.isnan(kept.reward).any()
    trainer.close()


class Doubtful(ScoreFunction):
    """A surrogate of somebody's own."""


def test_a_custom_part_may_be_at_fault() -> None:
    """A lower learning rate does not mend what a part computes."""
    diverged = NotFinite(update=2, steps=64, quantity="loss/policy")
    said = not_finite.sentence(diverged, 0, "CartPole-v1", a2c())
    assert said.endswith("is not finite. Lower the optimizer's learning_rate.")
    own = uphill.a2c(surrogate=Doubtful(), optimizer=optax.chain(optax.adam(1e-3)))
    said = not_finite.sentence(diverged, 0, "CartPole-v1", own)
    assert said.endswith("learning_rate, or look for the cause in Doubtful and chain.")
