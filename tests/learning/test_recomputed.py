"""Advantages that are computed anew before each epoch, against epochs that are written out."""

from typing import Any

import jax
import numpy as np
import pytest
from trajectories import LINEAR, LINEAR_POLICY, WINDOW, learner_of, trajectory_of

from plain import ppo
from uphill.errors import UphillError
from uphill.learning import advantages
from uphill.learning.learner import joint_model, with_model
from uphill.learning.objective import mean_gradient
from uphill.learning.update import update
from uphill.parts import SGD, ValueFunction

RATE = 0.2
make_batch, jitted = jax.jit(advantages.make_batch), jax.jit(update)


def ppo_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "sampling": WINDOW, "baseline": ValueFunction(network=LINEAR)}
    parts |= {"optimizer": SGD(RATE), "scale_advantages": "none"}
    return ppo(**parts | {"num_epochs": 2, "num_minibatches": 1} | changes)


def by_hand(algorithm: Any, learner: Any, trajectory: Any, is_anew: bool) -> Any:
    """The networks after two epochs of one step each."""
    old, batch = learner.actor.policy, make_batch(algorithm, learner, trajectory)[0]
    for _ in range(2):
        model = joint_model(algorithm, learner)
        gradient, _ = mean_gradient(algorithm, model, batch, old)
        model = jax.tree.map(lambda x, g: x - RATE * g, model, gradient)
        learner = with_model(algorithm, learner, model)
        if is_anew:
            batch = make_batch(algorithm, learner, trajectory)[0]
    return joint_model(algorithm, learner)


def are_close(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in pairs)


@pytest.mark.parametrize("changes", [{}, {"target_kl": 1e6}], ids=["epochs", "target KL"])
def test_the_second_epoch_sees_what_the_networks_say_after_the_first(changes: Any) -> None:
    anew, once = ppo_of(recompute_advantages=True, **changes), ppo_of(**changes)
    learner = learner_of(once)
    trajectory = trajectory_of(learner)
    found = {}
    for algorithm, is_anew in ((anew, True), (once, False)):
        after, _ = jitted(algorithm, learner, trajectory, jax.random.key(0))
        found[is_anew] = joint_model(algorithm, after)
        assert are_close(found[is_anew], by_hand(algorithm, learner, trajectory, is_anew))
    assert not are_close(found[True], found[False])


def test_it_is_asked_for_and_of_a_single_epoch_it_is_refused() -> None:
    assert not ppo().recompute_advantages
    sentence = (
        r"^recompute_advantages is True: a single epoch already uses new advantages, so leave it "
        r"out, or use more epochs\.$"
    )
    with pytest.raises(UphillError, match=sentence):
        ppo_of(recompute_advantages=True, num_epochs=1)
