"""Numbers at which an update decides otherwise: a little below each, and a little above."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import LINEAR, LINEAR_POLICY, WINDOW, learner_of, trajectory_of

from plain import ppo, trpo
from uphill.learning.update import update
from uphill.parts import GAE, SGD, TrustRegion, ValueFunction
from uphill.theory.moments import Moments
from uphill.theory.scaling import scaled

jitted = jax.jit(update)
KEY = jax.random.key(0)
SMALL: dict[str, Any] = {
    "sampling": WINDOW,
    "policy": LINEAR_POLICY,
    "baseline": ValueFunction(network=LINEAR),
}


def test_steps_go_on_until_the_policy_has_moved_by_1_5_times_the_target_kl() -> None:
    def steps_of(num_epochs: int, target_kl: float) -> Any:
        # One minibatch an epoch, which is the whole batch: nothing but the bound decides.
        algorithm = ppo(
            optimizer=SGD(0.05),
            num_epochs=num_epochs,
            num_minibatches=1,
            target_kl=target_kl,
            **SMALL,
        )
        learner = learner_of(algorithm)
        return jitted(algorithm, learner, trajectory_of(learner), KEY)[1]

    # What the third step sees of the two before it, and takes unless it is too much.
    seen = steps_of(num_epochs=3, target_kl=1e6)
    assert seen["policy/num_steps"] == 3
    moved = float(seen["policy/approximate_kl"])
    assert steps_of(num_epochs=9, target_kl=moved / 1.52)["policy/num_steps"] == 2
    assert steps_of(num_epochs=9, target_kl=moved / 1.48)["policy/num_steps"] == 3


# Relative to the mean. float32 has seven digits, and sums of thousands of numbers lose two of them.
ROUNDING, VARYING = 0.9e-5, 1.1e-5


@pytest.mark.parametrize("mean", [-3000.0, 40.0])
def test_rewards_are_scaled_once_they_differ_by_more_than_rounding(mean: float) -> None:
    def scaled_by(spread: float) -> float:
        variance = np.float32([(spread * mean) ** 2])
        moments = Moments(np.full((), 1000, np.uint32), np.float32([mean]), variance)
        x = np.float32([0.5 * spread * abs(mean)])
        return float(scaled(x, moments, clip=1e9)[0] / x[0])

    assert scaled_by(ROUNDING) == 1
    deviation = VARYING * abs(mean)
    np.testing.assert_allclose(scaled_by(VARYING), 1 / np.sqrt(deviation**2 + 1e-8), rtol=1e-4)


def test_the_variance_explained_is_that_of_returns_that_differ_by_more_than_rounding() -> None:
    algorithm = ppo(estimator=GAE(gamma=0.0), num_epochs=1, num_minibatches=1, **SMALL)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)

    def explained(spread: float) -> float:
        """Of returns that are rewards, since γ is 0."""
        up = np.arange(trajectory.reward.size).reshape(trajectory.reward.shape) % 2 == 0
        reward = jnp.asarray(np.where(up, 1 + spread, 1 - spread) * 3.0, jnp.float32)
        steps = eqx.tree_at(
            lambda t: (t.reward, t.mask, t.terminated, t.truncated),
            trajectory,
            (reward, *(jnp.full(up.shape, flag) for flag in (True, False, False))),
        )
        return float(jitted(algorithm, learner, steps, KEY)[1]["value/explained_variance"])

    assert np.isnan(explained(0.0))
    assert np.isnan(explained(ROUNDING))
    assert explained(VARYING) < 0  # V, untrained, differs more than they do


def test_trpo_takes_no_step_where_the_step_itself_is_not_finite() -> None:
    """A policy that is all but certain has almost no curvature: an action that it never takes asks
    for a step without end. Refused, it must be gone, and not be multiplied by 0."""
    algorithm = trpo(
        sampling=WINDOW,
        policy=LINEAR_POLICY,
        baseline=ValueFunction(network=LINEAR, optimizer=SGD(0.1)),
        optimizer=TrustRegion(damping=0.0),
        scale_advantages="none",
    )
    learner = learner_of(algorithm)
    certain = jnp.array([85.0, 0.0])
    learner = eqx.tree_at(lambda x: x.actor.policy.head.bias, learner, certain)
    trajectory = trajectory_of(learner)
    never = jnp.ones_like(trajectory.action)
    features = learner.actor.features(trajectory.observation)
    log_prob = learner.actor.policy(features).log_prob(never)
    assert (log_prob < -80).all()
    trajectory = eqx.tree_at(
        lambda t: (t.action, t.log_prob, t.reward),
        trajectory,
        (never, log_prob, 1e6 * jnp.abs(trajectory.reward)),
    )
    after, metrics = jitted(algorithm, learner, trajectory, KEY)
    assert np.isfinite(metrics["gradient/norm"])
    assert metrics["policy/step_fraction"] == 0
    assert eqx.tree_equal(after.actor.policy, learner.actor.policy)
