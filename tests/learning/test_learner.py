"""What a learner is made of, and how it acts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import ACTIONS, ENCODING, LINEAR, LINEAR_POLICY, learner_of

from plain import ppo, trpo
from uphill.errors import UphillError
from uphill.learning.learner import make_learner
from uphill.parts import ActionValue, Optax
from uphill.parts.algorithms import reinforce, vpg
from uphill.policies.actions import Bounded, Switches


def test_a_mixture_with_uniform_actions_needs_finitely_many() -> None:
    box = Bounded((-1.0,), (1.0,), (1,), "float32")
    sentence = (
        r"^uniform_mixture is linear:0.2:0.0: continuous actions have no finite number of choices "
        r"to mix in, so use entropy or policy.initial_log_std to explore\.$"
    )
    with pytest.raises(UphillError, match=sentence):
        make_learner(ppo(uniform_mixture="linear:0.2:0"), ENCODING, box, 0)
    make_learner(ppo(uniform_mixture=0.2), ENCODING, Switches((3,), "int8"), 0)


def test_actions_are_drawn_from_the_mixture() -> None:
    learner = learner_of(reinforce(policy=LINEAR_POLICY))
    sure = jnp.array([50.0, 0.0])
    learner = eqx.tree_at(lambda x: x.actor.policy.head.bias, learner, sure)
    observation = np.zeros((20_000, 3), np.float32)
    key = jax.random.key(0)
    certain, _, _ = learner.actor.act(observation, key)
    assert not certain.any()
    action, log_prob, _ = learner.actor.act(observation, key, 0.4)
    np.testing.assert_allclose((action == 1).mean(), 0.2, atol=0.015)
    expected = np.where(action == 0, np.log(0.8), np.log(0.2))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


def test_a_learner_holds_only_what_its_parts_ask_for() -> None:
    joint, own, none = learner_of(ppo()), learner_of(vpg()), learner_of(reinforce())
    assert joint.parts.baseline.critic is not None
    assert joint.parts.baseline.optimizer is None
    assert joint.parts.baseline.memory is None
    assert own.parts.baseline.optimizer is not None
    assert none.parts.baseline is None
    assert none.parts.estimator is None
    assert none.parts.surrogate is None
    assert learner_of(trpo()).parts.optimizer is None
    learned = learner_of(reinforce(estimator=ActionValue(network=LINEAR)))
    assert learned.parts.estimator.critic is not None
    assert learned.parts.estimator.optimizer is not None


def test_the_state_of_an_optimiser_of_optax_is_as_optax_starts_it() -> None:
    """Not all of them start at zero."""
    learner = make_learner(
        reinforce(policy=LINEAR_POLICY, optimizer=Optax("adagrad")), ENCODING, ACTIONS, 0
    )
    started = [x for x in jax.tree.leaves(learner.parts.optimizer) if np.ndim(x)]
    assert any((x == np.float32(0.1)).all() for x in started)
