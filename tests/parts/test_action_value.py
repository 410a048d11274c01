"""Fitting Q, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from samples import samples_of, served_of, valid
from trajectories import LINEAR, SETUP

from uphill.parts import SGD, ActionValue

RATE = 0.1


def test_q_descends_the_mean_squared_error_of_the_actions_that_were_taken() -> None:
    batch = samples_of(np.random.default_rng(1))
    settings = ActionValue(network=LINEAR, optimizer=SGD(RATE), num_steps=2)
    state = jax.tree.map(jnp.asarray, settings.init(SETUP, np.random.default_rng(0)))
    head = state.critic.network.head
    w, b = np.array(head.weight), np.array(head.bias)
    x, action = valid(batch, batch.features), valid(batch, batch.action)
    target = valid(batch, batch.estimator_target)
    for _ in range(2):
        error = (x @ w.T + b)[np.arange(len(x)), action] - target
        for a in (0, 1):
            chosen = action == a
            w[a] -= RATE * (error[chosen] @ x[chosen]) / len(x)
            b[a] -= RATE * error[chosen].sum() / len(x)
    after = settings.learned(state, served_of(batch), jax.random.key(0)).critic
    np.testing.assert_allclose(after.network.head.weight, w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.network.head.bias, b, rtol=1e-4, atol=1e-6)
