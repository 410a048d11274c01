"""Parts of one's own, with states of their own: as good as ours in an update, refused as ours."""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from trajectories import (
    LINEAR,
    LINEAR_POLICY,
    QUOTA,
    WINDOW,
    by_pieces,
    episodes_of,
    flat,
    learner_of,
    trajectory_of,
)

from plain import a2c, npg, ppo, trpo
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.learning import advantages
from uphill.learning.learner import take
from uphill.learning.objective import mean_kl
from uphill.learning.update import update
from uphill.parts import (
    SGD,
    Baseline,
    Estimator,
    Optimizer,
    Replay,
    Steps,
    Surrogate,
    TDResidual,
    TrustRegion,
    ValueFunction,
)
from uphill.parts.algorithms import reinforce, vpg
from uphill.training.trainer import Trainer, iterate

make_batch, jitted = jax.jit(advantages.make_batch), jax.jit(update)
KEY = jax.random.key(0)


class Counted(Baseline):
    """Subtracts the number of batches before this one."""

    def init(self, setup: Any, generator: Any) -> Any:
        return np.zeros((), np.float32)

    def __call__(self, state: Any, seen: Any, returns: Any) -> Any:
        return jnp.broadcast_to(state, returns.shape)

    def learned(self, state: Any, served: Any, key: Any) -> Any:
        return state + 1


class Kept(Counted):
    """Counts batches that only measure, too."""

    def unlearned(self, before: Any, after: Any) -> Any:
        return after


class Three(Baseline):
    """V = 3, everywhere."""

    has_value: ClassVar[bool] = True

    def __call__(self, state: Any, seen: Any, returns: Any) -> Any:
        return seen.value

    def value(self, state: Any, policy: Any, features: Any) -> Any:
        return jnp.full(features.shape[:-1], 3.0)


class Heavier(Surrogate):
    """w r A, with a w that grows by as much as the policy has moved."""

    is_ratio: ClassVar[bool] = True
    weight: Any = 1.0

    def init(self, setup: Any, generator: Any) -> Any:
        return np.asarray(self.weight, np.float32)

    def now(self, state: Any) -> Any:
        return Heavier(state)

    def __call__(self, sample: Any) -> Any:
        return self.weight * sample.ratio * sample.advantage

    def metrics(self, sample: Any) -> Any:
        return {"own/weight": jnp.broadcast_to(self.weight, sample.advantage.shape)}

    def learned(self, state: Any, moved: Callable) -> Any:
        return state + moved()


class Fading(Optimizer):
    """Steps along the gradient's sign, shorter each time."""

    def start(self, model: Any) -> Any:
        return np.zeros((), np.float32)

    def step(self, state: Any, parameters: Any, problem: Any) -> Any:
        gradient, metrics = problem.gradient(parameters)
        rate = 0.1 / (1 + state)
        return parameters - rate * jnp.sign(gradient), state + 1, metrics | {"own/rate": rate}


def reinforce_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "sampling": WINDOW, "mean_over": "steps"}
    return reinforce(**parts | {"optimizer": SGD(0.1)} | changes)


def ppo_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "baseline": ValueFunction(network=LINEAR)}
    return ppo(**parts | {"sampling": WINDOW, "num_minibatches": 2} | changes)


# --- their states -------------------------------------------------------------------------------


def test_a_baseline_of_ones_own_goes_on_from_batch_to_batch() -> None:
    algorithm = reinforce_of(baseline=Counted())
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    for count in range(3):
        assert learner.parts.baseline == count
        batch, _ = make_batch(algorithm, learner, trajectory)
        mask = flat(batch.mask)
        returns, found = flat(batch.target)[mask], flat(batch.advantage)[mask]
        np.testing.assert_allclose(found, returns - count, rtol=1e-5, atol=1e-5)
        learner, _ = jitted(algorithm, learner, trajectory, KEY)


def test_every_seed_has_its_own() -> None:
    sampling = Steps(num_envs=2, num_steps=8)
    trainer = Trainer(
        choose("CartPole-v1"), reinforce_of(baseline=Counted(), sampling=sampling), (0, 1, 2), 60
    )
    *_, (state, _) = iterate(trainer)
    count = state.learners.parts.baseline
    assert count.shape == (3,)
    assert (np.asarray(count) > 1).all()
    np.testing.assert_array_equal(count, state.learners.num_updates)
    assert take(state.learners, 1).parts.baseline == count[1]


@pytest.mark.parametrize(("baseline", "expected"), [(Counted(), 0), (Kept(), 1)])
def test_a_batch_that_only_measures_leaves_it_unless_it_says_otherwise(
    baseline: Any, expected: int
) -> None:
    algorithm = reinforce_of(baseline=baseline, sampling=QUOTA, normalize_returns=True)
    learner = learner_of(algorithm)
    first, _ = jitted(algorithm, learner, episodes_of(learner), KEY)
    assert first.parts.baseline == expected
    second, _ = jitted(algorithm, first, episodes_of(learner, seed=1), KEY)
    assert second.parts.baseline == expected + 1


def test_a_memory_keeps_what_it_saw_while_only_scales_were_filled() -> None:
    own = ValueFunction(network=LINEAR, targets="td", optimizer=SGD(0.1), replay=Replay(100, 16))
    algorithm = vpg(policy=LINEAR_POLICY, sampling=QUOTA, baseline=own, normalize_observations=True)
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    after, _ = jitted(algorithm, learner, trajectory, KEY)
    assert after.parts.baseline.memory.count == trajectory.mask.sum()
    assert eqx.tree_equal(after.parts.baseline.critic, learner.parts.baseline.critic)


def test_a_surrogate_of_ones_own_is_what_it_has_become() -> None:
    algorithm = ppo_of(surrogate=Heavier(2.0), optimizer=SGD(0.1), num_epochs=3)
    learner = learner_of(algorithm)
    assert learner.parts.surrogate == 2.0
    trajectory = trajectory_of(learner)
    after, metrics = jitted(algorithm, learner, trajectory, KEY)
    assert metrics["own/weight"] == 2.0
    batch, _ = make_batch(algorithm, learner, trajectory)
    moved = mean_kl(algorithm, learner.actor.policy, after.actor.policy, batch)
    assert moved > 1e-5
    np.testing.assert_allclose(after.parts.surrogate, 2.0 + moved, rtol=1e-6)
    _, metrics = jitted(algorithm, after, trajectory, KEY)
    np.testing.assert_allclose(metrics["own/weight"], after.parts.surrogate, rtol=1e-6)
    # w times the objective, w times the step.
    plain = ppo_of(surrogate=Heavier(1.0), optimizer=SGD(0.2), num_epochs=3)
    same, _ = jitted(plain, learner_of(plain), trajectory, KEY)
    for x, y in zip(*map(jax.tree.leaves, (after.actor, same.actor)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_an_optimiser_of_ones_own_takes_every_step() -> None:
    algorithm = reinforce_of(optimizer=Fading())
    learner = learner_of(algorithm)
    trajectory, moved = trajectory_of(learner), []
    for step in range(2):
        after, metrics = jitted(algorithm, learner, trajectory, KEY)
        np.testing.assert_allclose(metrics["own/rate"], 0.1 / (1 + step), rtol=1e-6)
        assert after.parts.optimizer == step + 1
        flat_policies = (ravel_pytree(x.actor.policy)[0] for x in (learner, after))
        moved.append(np.abs(np.subtract(*flat_policies)))
        learner = after
    np.testing.assert_allclose(moved[0], 0.1, rtol=1e-4)
    np.testing.assert_allclose(moved[1], 0.05, rtol=1e-4)
    many = ppo_of(optimizer=Fading(), num_epochs=4)
    after, _ = jitted(many, learner_of(many), trajectory, KEY)
    assert after.parts.optimizer == 8


def test_a_value_of_ones_own_is_bootstrapped_from() -> None:
    algorithm = a2c(
        policy=LINEAR_POLICY,
        sampling=WINDOW,
        estimator=TDResidual(0.9),
        baseline=Three(),
        optimizer=SGD(0.1),
    )
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    reward, terminated = np.asarray(trajectory.reward), np.asarray(trajectory.terminated)

    def residual(n: int, rows: np.ndarray, k: int) -> float:
        t = rows[k]
        return reward[t, n] + 0.9 * (0.0 if terminated[t, n] else 3.0) - 3.0

    expected, mask = by_pieces(trajectory, residual), flat(trajectory.mask)
    found = flat(batch.advantage)[mask]
    np.testing.assert_allclose(found, flat(expected)[mask], rtol=1e-5, atol=1e-5)
    after, _ = jitted(algorithm, learner, trajectory, KEY)
    assert not eqx.tree_equal(after.actor.policy, learner.actor.policy)


# --- what they need is declared, and refused with the sentences of ours --------------------------


class OwnEstimator(Estimator):
    gamma: Any = 0.9

    def __call__(self, state: Any, seen: Any) -> Any:
        return seen.trajectory.reward


class Bootstrapping(OwnEstimator):
    needs_value: ClassVar[bool] = True


class Whole(OwnEstimator):
    needs_episodes: ClassVar[bool] = True


class WholeBaseline(Counted):
    needs_episodes: ClassVar[bool] = True


class Momentary(Surrogate):
    def __call__(self, sample: Any) -> Any:
        return sample.log_prob * sample.advantage


class Limiting(Heavier):
    limits_step: ClassVar[bool] = True


class Single(Fading):
    needs_whole_batch: ClassVar[bool] = True


REUSED = "the batch is no longer the policy's own, so use 1 or ClippedRatio as the surrogate"
LIMITS = "limits the step itself, so use ImportanceRatio"
REFUSED = [
    (
        reinforce_of,
        {"estimator": Bootstrapping()},
        "estimator is Bootstrapping: it bootstraps from a value function, so use ValueFunction as "
        "the baseline or RewardToGo as the estimator",
    ),
    (
        reinforce_of,
        {"estimator": Whole()},
        "estimator is Whole: it must see whole episodes, which a window cuts, so use Episodes as "
        "the sampling",
    ),
    (
        reinforce_of,
        {"baseline": WholeBaseline()},
        "baseline is WholeBaseline: a window does not begin where episodes do, so their time is "
        "not known; use Episodes as the sampling",
    ),
    (
        ppo_of,
        {"surrogate": Momentary()},
        f"num_epochs is 4: after the first epoch {REUSED}",
    ),
    (
        ppo_of,
        {"surrogate": Momentary(), "num_epochs": 1},
        f"num_minibatches is 2: after the first minibatch {REUSED}",
    ),
    (npg, {"surrogate": Limiting()}, f"surrogate is Limiting: NaturalGradient {LIMITS}"),
    (trpo, {"surrogate": Momentary()}, f"surrogate is Momentary: TrustRegion {LIMITS}"),
    (
        ppo_of,
        {"optimizer": Single(), "baseline": Three()},
        "num_epochs is 4: Single takes one step on the whole batch, so use 1",
    ),
    (
        ppo_of,
        {"optimizer": Single(), "baseline": Three(), "num_epochs": 1},
        "num_minibatches is 2: Single takes one step on the whole batch, so use 1",
    ),
    (
        a2c,
        {"optimizer": Single()},
        "optimizer is Single: it moves the policy alone, so give the value function an optimizer "
        "of its own",
    ),
]


@pytest.mark.parametrize(("make", "changes", "sentence"), REFUSED)
def test_parts_of_ones_own_are_refused_as_ours_are(make: Any, changes: Any, sentence: str) -> None:
    with pytest.raises(UphillError, match=f"^{re.escape(sentence)}\\.$"):
        make(**changes)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (ppo_of, {"estimator": Bootstrapping()}),
        (ppo_of, {"surrogate": Heavier()}),
        (reinforce, {"estimator": Whole(), "baseline": WholeBaseline()}),
        (reinforce, {"surrogate": Momentary(), "optimizer": Single()}),
        (trpo, {"surrogate": Heavier(), "optimizer": TrustRegion()}),
    ],
)
def test_where_their_needs_are_met_they_are_not(make: Any, changes: Any) -> None:
    algorithm = make(**changes)
    for name, part in changes.items():
        assert getattr(algorithm, name) is part
