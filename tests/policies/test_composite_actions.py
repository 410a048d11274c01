"""Actions of several parts: a Dict or a Tuple of choices and numbers, each chosen for itself."""

import json

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from uphill.policies.actions import Composite, action_kind_of, is_for
from uphill.runs.configuration import decode, encode

COMPOSITES = [
    spaces.Tuple((spaces.Discrete(3, start=2), spaces.MultiDiscrete([2, 4]))),
    spaces.Dict(a=spaces.Discrete(3), b=spaces.Dict(c=spaces.MultiBinary(2))),
    spaces.Dict(steer=spaces.Box(-2, 1, (2,)), gas=spaces.Box(0, 1, (), np.float64)),
    spaces.Dict(
        push=spaces.Box(-1, 3, (2, 2)),
        which=spaces.Discrete(5, start=-1),
        more=spaces.Tuple((spaces.MultiBinary((1, 2)), spaces.Box(0, 10**12, (1,), np.int64))),
    ),
]


def composite(space: gymnasium.Space, num: int = 40) -> tuple:
    """The kind, distributions with random parameters, and samples of them."""
    kind = action_kind_of(space)
    assert isinstance(kind, Composite)
    rng = np.random.default_rng(0)
    parameters = jnp.asarray(rng.normal(size=(num, kind.num_parameters)), jnp.float32)
    log_std = jnp.asarray(rng.normal(size=kind.num_log_std), jnp.float32) / 4
    distribution = kind.distribution(parameters, log_std)
    return kind, distribution, distribution.sample(jax.random.key(0))


@pytest.mark.parametrize("space", COMPOSITES, ids=str)
def test_an_action_of_several_parts_is_one_of_its_space(space: gymnasium.Space) -> None:
    kind, distribution, action = composite(space)
    assert action.shape == (40, kind.width)
    assert kind.vector(action).shape == (40, kind.vector_size)
    for sampled in (action, distribution.mode()):
        given = kind.on_host(
            np.asarray(sampled), jax.tree.map(np.asarray, kind.to_environment(sampled))
        )
        for k in range(40):
            one = jax.tree.map(lambda x, k=k: x[k], given)
            assert space.contains(jax.tree.map(np.asarray, one)) or space.contains(one), one
    single = jax.tree.map(np.asarray, (sampled[0], kind.to_environment(sampled[0])))
    given = kind.on_host(*single)
    assert jax.tree.structure(given) == jax.tree.structure(space.sample())
    assert space.contains(given)
    assert is_for(kind, space)
    assert decode(Composite, json.loads(json.dumps(encode(kind)))) == kind


@pytest.mark.parametrize("space", COMPOSITES, ids=str)
def test_parts_are_independent(space: gymnasium.Space) -> None:
    kind, distribution, action = composite(space)
    of_parts = list(zip(distribution.parts, distribution.of_parts(action), strict=True))
    total = sum(np.asarray(part.log_prob(x)) for part, x in of_parts)
    np.testing.assert_allclose(distribution.log_prob(action), total, rtol=1e-4, atol=1e-5)
    entropy = sum(np.asarray(part.entropy()) for part, _ in of_parts)
    np.testing.assert_allclose(distribution.entropy(), entropy, rtol=1e-4, atol=1e-5)
    other = composite(space)[0].distribution(
        jnp.zeros((40, kind.num_parameters)), jnp.zeros(kind.num_log_std)
    )
    pairs = zip(distribution.parts, other.parts, strict=True)
    kl = sum(np.asarray(part.kl(of_other)) for part, of_other in pairs)
    np.testing.assert_allclose(distribution.kl(other), kl, rtol=1e-4, atol=1e-5)
    assert kind.is_finite == (kind.num_log_std == 0)
    assert kind.can_clip == (not kind.is_finite)


def test_a_finite_action_of_several_parts_mixes_with_uniform() -> None:
    kind, distribution, _ = composite(COMPOSITES[0])
    all_uniform = distribution.mixed_with_uniform(1.0)
    np.testing.assert_allclose(all_uniform.entropy(), np.log(3 * 2 * 4), rtol=1e-5)
    assert kind.is_finite


def test_clipped_components_are_counted_among_those_that_can_be() -> None:
    kind = action_kind_of(COMPOSITES[3])
    # 4 of `push`, 1 of `which`, 2 switches, 1 of the far box
    action = jnp.array([[0.5, 2.0, -3.0, 0.0, 4, 1, 0, 1.5]])
    np.testing.assert_allclose(kind.clipped(action), [3 / 5], rtol=1e-6)
