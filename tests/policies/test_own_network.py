"""A user's own network: as a trunk, in a learner, in a checkpoint; and what is refused."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from small_runs import small_ppo
from uphill.errors import UphillError
from uphill.learning.learner import make_learner, stack_learners
from uphill.policies.actions import Choice
from uphill.policies.encodings import Numbers
from uphill.policies.networks import over_vectors
from uphill.policies.own_network import own_trunk
from uphill.runs.checkpoint import Standing, read_manifest, read_tensors, write_checkpoint
from uphill.runs.files import tree_from
from uphill.runs.milestones import Tracked


def network(inputs: int, key: PRNGKeyArray) -> eqx.Module:
    return eqx.nn.MLP(inputs, 5, 6, 1, key=key)


class Normed(eqx.Module):
    """Static settings, a Python number and a function of its own."""

    layer: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    scale: float

    def __init__(self, inputs: int, key: PRNGKeyArray) -> None:
        self.layer = eqx.nn.Linear(inputs, 3, key=key)
        self.norm = eqx.nn.LayerNorm(3)
        self.scale = 2.0

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(jnp.sin(self.layer(x)) * self.scale)


@pytest.mark.parametrize(("factory", "size"), [(network, 5), (Normed, 3)])
def test_the_trunk_computes_what_the_module_does(factory, size: int) -> None:
    trunk, outputs = own_trunk(factory, 4, np.random.default_rng(0))
    assert outputs == size
    x = np.random.default_rng(1).normal(size=(3, 2, 4)).astype(np.float32)
    key = jax.random.key(int(np.random.default_rng(0).integers(2**31)))
    expected = jax.vmap(jax.vmap(factory(4, key)))(x)
    np.testing.assert_allclose(trunk(x), expected, rtol=1e-5, atol=1e-6)
    for leaf in jax.tree.leaves(trunk):
        assert isinstance(leaf, np.ndarray)
        assert leaf.dtype == np.float32


def test_seeds_have_the_same_structure_and_other_weights_so_they_stack_and_compile_once() -> None:
    kind, encoding = Choice(2, 0, "int64"), Numbers((4,))
    learners = [make_learner(small_ppo(), encoding, kind, seed, network) for seed in (0, 1)]
    trunks = [learner.actor.policy.trunk for learner in learners]
    assert not np.allclose(*(trunk.arrays.layers[0].weight for trunk in trunks))
    assert stack_learners(learners).actor.policy.trunk.arrays.layers[0].weight.shape == (2, 6, 4)
    critic = learners[0].parts.baseline.critic
    assert not np.allclose(critic.trunk.arrays.layers[0].weight, trunks[0].arrays.layers[0].weight)
    compiled = jax.jit(lambda trunk: trunk(jnp.ones(4)))
    for trunk in trunks:
        compiled(trunk)
    assert compiled._cache_size() == 1


def test_a_checkpoint_holds_it_by_name(tmp_path: Path) -> None:
    kind, encoding = Choice(2, 0, "int64"), Numbers((4,))
    learner = make_learner(small_ppo(), encoding, kind, 0, network)
    facts = Standing(
        num_updates=0,
        num_transitions=(0,),
        encoding=encoding,
        action_kind=kind,
        reward_threshold=None,
        metrics_offset=0,
        recent=((),),
        best_scores=(None,),
        tracked=(Tracked(),),
        stopped=False,
        device={},
    )
    write_checkpoint(tmp_path, "latest", learner, facts)
    manifest = read_manifest(tmp_path, "latest")
    tensors = read_tensors(tmp_path, manifest)
    assert "actor.policy.trunk.arrays.layers.0.weight" in tensors
    other = make_learner(small_ppo(), encoding, kind, 1, network)
    again = tree_from(other, tensors)
    assert jax.tree.structure(again) == jax.tree.structure(learner)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(learner), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UphillError, match="The checkpoint does not fit"):
        tree_from(make_learner(small_ppo(), encoding, kind, 1), tensors)


class Counting(eqx.Module):
    table: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


class Returning(eqx.Module):
    out: str = eqx.field(static=True)

    def __call__(self, x: jax.Array):
        return {"pair": (x, x), "matrix": x[None], "integers": x.astype(int)}[self.out]


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (lambda n, key: Counting(jnp.arange(n)), "network has arrays of int32: keep what .*"),
        (
            lambda n, key: eqx.nn.MLP(n, 2, 2, 1, activation=lambda x: x, key=key),
            "network gives a different module at every call: define its functions once, .*",
        ),
        (
            lambda n, key: eqx.nn.Linear(n + 1, 2, key=key),
            "network gives a module that can't be called with one vector of 4 features .*",
        ),
        (lambda n, key: Returning("pair"), "network gives a module that returns .* to one .*"),
        (lambda n, key: Returning("matrix"), "network gives a module that returns .* to one .*"),
        (lambda n, key: Returning("integers"), "network gives a module that returns .* floats"),
        (lambda n, key: 3, "network gives a module that can't be called .*"),
    ],
)
def test_what_can_be_no_trunk_is_refused(factory, sentence: str) -> None:
    with pytest.raises(UphillError, match=rf"(?s)^{sentence}\.$"):
        own_trunk(factory, 4, np.random.default_rng(0))


def test_a_function_of_one_vector_is_applied_along_the_last_axis() -> None:
    x = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(over_vectors(lambda row: row[:2] + row[-1], x)[1, 2], [43, 44])
