"""Optimisers: their settings, and that these reach Optax."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uphill.errors import UphillError
from uphill.parts import SGD, Adam, NaturalGradient, Optax, RMSProp, TrustRegion

NAN, INF = float("nan"), float("inf")
NO_SUCH = (
    "Optax has no optimiser with a learning rate of that name; use one such as adamw, lion, nadam "
    "or adabelief"
)
BELOW_ONE = "use a number from 0 to below 1"
NORM = "use a number above 0, or None"

REFUSED = [
    (Adam, {"learning_rate": -1.0}, "learning_rate is -1.0: use 0 or more"),
    (Adam, {"learning_rate": "linear:1:-1"}, "learning_rate is linear:1.0:-1.0: use 0 or more"),
    (Adam, {"b1": 1.0}, f"b1 is 1.0: {BELOW_ONE}"),
    (Adam, {"b2": NAN}, f"b2 is nan: {BELOW_ONE}"),
    (Adam, {"eps": -1e-8}, "eps is -1e-08: use a number that is 0 or more"),
    (RMSProp, {"decay": 1.5}, f"decay is 1.5: {BELOW_ONE}"),
    (RMSProp, {"max_grad_norm": 0.0}, f"max_grad_norm is 0.0: {NORM}"),
    (SGD, {"max_grad_norm": NAN}, f"max_grad_norm is nan: {NORM}"),
    (SGD, {"max_grad_norm": INF}, f"max_grad_norm is inf: {NORM}"),
    (
        SGD,
        {"learning_rate": "fast"},
        "learning_rate is 'fast': write a number, linear:START:END or cosine:START:END",
    ),
    (Optax, {"name": "adamw", "max_grad_norm": 0.0}, f"max_grad_norm is 0.0: {NORM}"),
    (Optax, {"name": "lion", "learning_rate": -1.0}, "learning_rate is -1.0: use 0 or more"),
    (Optax, {"name": "adamantium"}, f"name is 'adamantium': {NO_SUCH}"),
    (Optax, {"name": "apply_updates"}, f"name is 'apply_updates': {NO_SUCH}"),
    (Optax, {"name": "tree.norm"}, f"name is 'tree.norm': {NO_SUCH}"),
    (
        Optax,
        {"name": "lion", "settings": {"b3": 0.9, "learning_rate": 1.0}},
        "settings is b3, learning_rate: optax.lion has b1, b2, mu_dtype, weight_decay, mask",
    ),
    (
        Optax,
        {"name": "lion", "settings": {"b1": True}},
        "settings is {'b1': True}: give each name a number",
    ),
    (
        Optax,
        {"name": "lbfgs"},
        "name is 'lbfgs': with these settings it asks for more than gradients (a line search, "
        "perhaps); use another, or fix the settings",
    ),
    *(
        (make, changes, sentence)
        for make in (NaturalGradient, TrustRegion)
        for changes, sentence in (
            ({"max_kl": 0.0}, "max_kl is 0.0: use a number above 0"),
            ({"max_kl": "linear:0.1:-1"}, "max_kl is linear:0.1:-1.0: use 0 or more"),
            ({"damping": -0.1}, "damping is -0.1: use a number that is 0 or more"),
            ({"num_iterations": 0}, "num_iterations is 0: use at least 1"),
        )
    ),
    (TrustRegion, {"num_backtracks": 0}, "num_backtracks is 0: use at least 1"),
]


@pytest.mark.parametrize(("make", "changes", "sentence"), REFUSED)
def test_settings_that_mean_nothing_are_refused(
    make: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UphillError, match=f"^{re.escape(sentence)}\\.$"):
        make(**changes)


def test_trap_30_the_gradient_is_scaled_to_the_norm_and_not_cut_by_element() -> None:
    gradient = {"w": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}
    for optimizer in (
        SGD(learning_rate=1.0, max_grad_norm=0.5),
        SGD(learning_rate=1.0),
        Optax("sgd", learning_rate=1.0, max_grad_norm=0.5),
    ):
        transform = optimizer.transform()
        updates, _ = transform.update(gradient, transform.init(gradient))
        scale = 1.0 if optimizer.max_grad_norm is None else 0.5 / 5
        np.testing.assert_allclose(updates["w"], [-3.0 * scale, 0.0], rtol=1e-6)
        np.testing.assert_allclose(updates["b"], [-4.0 * scale], rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "oracle"),
    [
        (Adam(0.1, None, b1=0.8, b2=0.95, eps=1e-3), optax.adam(0.1, 0.8, 0.95, 1e-3)),
        (RMSProp(0.1, None, decay=0.8, eps=1e-3), optax.rmsprop(0.1, 0.8, 1e-3)),
        (Optax("lion", 0.1, None, {"b1": 0.8}), optax.lion(0.1, b1=0.8)),
        (
            Optax("adamw", 0.1, None, {"weight_decay": 0.3, "eps": 1e-3}),
            optax.adamw(0.1, weight_decay=0.3, eps=1e-3),
        ),
        (Optax("adabelief", "linear:0.1:0", None), optax.adabelief(0.1)),
    ],
    ids=["adam", "rmsprop", "lion", "adamw", "adabelief"],
)
def test_settings_reach_optax(optimizer: Any, oracle: optax.GradientTransformation) -> None:
    transform = optimizer.transform()
    x = jnp.array([1.0, -2.0])
    state, expected_state = transform.init(x), oracle.init(x)
    for _ in range(3):
        found, state = transform.update(x, state, x)
        expected, expected_state = oracle.update(x, expected_state, x)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rmsprop_is_that_of_a2c_unless_it_is_told_otherwise() -> None:
    """Mnih et al. (2016) have a decay of 0.99; Optax's own default is 0.9."""
    transform = RMSProp(0.1, max_grad_norm=None).transform()
    x = np.array([1.0, -2.0])
    state, square = transform.init(jnp.asarray(x)), np.zeros(2)
    for t in range(3):
        gradient = (t + 1) * x
        found, state = transform.update(jnp.asarray(gradient), state, jnp.asarray(x))
        square = 0.99 * square + 0.01 * gradient**2
        np.testing.assert_allclose(found, -0.1 * gradient / np.sqrt(square + 1e-5), rtol=1e-5)


def test_whole_numbers_of_optax_are_sizes_that_a_compiled_program_knows() -> None:
    optimizer = Optax("adafactor", 0.1, None, {"min_dim_size_to_factor": 2, "decay_rate": 0.7})
    x = jnp.ones((4, 3))

    @jax.jit
    def step(optimizer: Optax) -> jax.Array:
        transform = optimizer.transform()
        return transform.update(x, transform.init(x), x)[0]

    plain = optax.adafactor(0.1, min_dim_size_to_factor=2, decay_rate=0.7)
    np.testing.assert_allclose(step(optimizer), plain.update(x, plain.init(x), x)[0], rtol=1e-5)
    assert optimizer.settings == {"min_dim_size_to_factor": 2, "decay_rate": 0.7}
    assert jax.tree.leaves(optimizer.settings) == [0.7]
