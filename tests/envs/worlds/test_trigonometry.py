"""Against NumPy's sine and cosine in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.envs.worlds.trigonometry import sin_cos


def angles() -> np.ndarray:
    rng = np.random.default_rng(0)
    eighths = np.arange(-400, 401) * np.pi / 4
    spread = [rng.uniform(-limit, limit, 200_000) for limit in (1e-3, 4.0, 40.0, 1000.0)]
    return np.concatenate([eighths, eighths + 1e-6, eighths - 1e-6, *spread]).astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
def test_equals_the_sine_and_cosine_and_stays_within_one(compiled: bool) -> None:
    x = angles()
    function = jax.jit(sin_cos) if compiled else sin_cos
    sin, cos = map(np.asarray, function(jnp.asarray(x)))
    np.testing.assert_allclose(sin, np.sin(x.astype(np.float64)), atol=1.2e-7, rtol=0)
    np.testing.assert_allclose(cos, np.cos(x.astype(np.float64)), atol=1.2e-7, rtol=0)
    assert np.abs([sin, cos]).max() <= 1.0
    assert sin.dtype == cos.dtype == np.float32


def test_is_as_smooth_as_sine_and_cosine_where_it_is_differentiated() -> None:
    x = jnp.linspace(-7.0, 7.0, 101)
    d_sin, d_cos = jax.vmap(jax.jacfwd(sin_cos))(x)
    np.testing.assert_allclose(d_sin, np.cos(x), atol=1e-6)
    np.testing.assert_allclose(d_cos, -np.sin(x), atol=1e-6)


def test_what_is_not_finite_has_no_sine() -> None:
    sin, cos = sin_cos(jnp.array([jnp.inf, -jnp.inf, jnp.nan]))
    assert np.isnan(sin).all()
    assert np.isnan(cos).all()
