"""Natural gradients against Fisher matrices that are written down, and TRPO's promise, kept."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
from gymnasium import spaces
from steps import natural_step, problem_at

from plain import npg, trpo
from uphill.batch import Batch
from uphill.learning.learner import make_learner
from uphill.learning.objective import distribution_of
from uphill.parts import Algorithm, NaturalGradient, TrustRegion
from uphill.policies.actions import action_kind_of
from uphill.policies.encodings import encoding_of
from uphill.policies.policy import Policy, PolicySettings

EQUAL = 1e-8
NUM_SAMPLES = 24
NUM_FEATURES = 3
ACTIONS = {"discrete": spaces.Discrete(3), "gaussian": spaces.Box(-1, 1, (2,), np.float32)}


def policy_for(algorithm: Algorithm, kind: str) -> Policy:
    box = spaces.Box(-np.inf, np.inf, (NUM_FEATURES,), np.float32)
    learner = make_learner(algorithm, encoding_of(box), action_kind_of(ACTIONS[kind]), seed=0)
    return learner.actor.policy


def random_like(policy: Policy, spread: float, rng: np.random.Generator) -> Policy:
    return jax.tree.map(lambda x: spread * rng.normal(size=x.shape), policy)


def random_batch(features: np.ndarray, kind: str, rng: np.random.Generator) -> Batch:
    """Samples of which the last few are masked out, and rubbish."""
    size = len(features)
    action = rng.integers(0, 3, size) if kind == "discrete" else rng.normal(size=(size, 2))
    numbers, mask = rng.normal(size=(3, size)), np.arange(size) < size - 4
    features, advantage = np.where(mask[:, None], features, 1e3), np.where(mask, numbers[1], 1e3)
    rows = (features, action, numbers[0], advantage, numbers[2], mask)
    return Batch(*(x[None] for x in rows))


# --- NPG: the direction -------------------------------------------------------------------------


def scores(policy: Policy, x: np.ndarray, uniform: float) -> tuple[np.ndarray, np.ndarray]:
    """π[a] and ∇log π[a, :] of a table of logits at the features `x`, by hand."""
    logits = policy.head.weight @ x + policy.head.bias
    pi = np.exp(logits) / np.exp(logits).sum()
    by_logit = np.eye(len(pi)) - pi
    mixed = (1 - uniform) * pi + uniform / len(pi)
    by_logit *= ((1 - uniform) * pi / mixed)[:, None]
    weight = np.einsum("ak,j->akj", by_logit, x).reshape(len(pi), -1)
    return mixed, np.concatenate([weight, by_logit], 1)


def softmax_fisher(policy: Policy, features: np.ndarray, uniform: float) -> np.ndarray:
    """F = mean_s Σ_a π ∇log π ∇log πᵀ"""
    each = []
    for x in features:
        pi, score = scores(policy, x, uniform)
        each.append(np.einsum("a,ai,aj->ij", pi, score, score))
    return np.mean(each, 0)


def gaussian_fisher(policy: Policy, features: np.ndarray, uniform: float) -> np.ndarray:
    """1/σ² for the mean and 2 for log σ, in closed form."""
    precision = np.diag(np.exp(-2 * policy.log_std))
    num_outputs, each = len(policy.log_std), []
    for x in features:
        weight = np.einsum("ki,j->kij", np.eye(num_outputs), x).reshape(num_outputs, -1)
        jacobian = np.concatenate([weight, np.eye(num_outputs)], 1)
        each.append(jacobian.T @ precision @ jacobian)
    size = each[0].shape[0]
    fisher = np.zeros((size + num_outputs,) * 2)
    fisher[:size, :size], fisher[size:, size:] = np.mean(each, 0), 2 * np.eye(num_outputs)
    return fisher


@pytest.mark.parametrize(
    ("kind", "uniform"), [("discrete", None), ("discrete", 0.2), ("gaussian", None)]
)
def test_the_natural_direction_is_the_inverse_fisher_matrix_times_the_gradient(
    kind: str, uniform: float | None
) -> None:
    rng = np.random.default_rng(0)
    optimizer = NaturalGradient(damping=0.0, num_iterations=60)
    settings = PolicySettings(hidden=(), initial_log_std=0.0)
    algorithm = npg(optimizer=optimizer, policy=settings, uniform_mixture=uniform).at(0.0)
    policy = random_like(policy_for(algorithm, kind), 0.5, rng)
    # One of three states each, as features: a table of logits. A Gaussian's may be any numbers.
    states = np.eye(NUM_FEATURES)[rng.integers(0, NUM_FEATURES, NUM_SAMPLES)]
    features = states if kind == "discrete" else rng.normal(size=states.shape)
    batch = random_batch(features, kind, rng)
    fisher_of = {"discrete": softmax_fisher, "gaussian": gaussian_fisher}[kind]
    fisher = fisher_of(policy, features[batch.mask[0]], uniform or 0.0)

    @jax.jit
    def direction(algorithm: Algorithm) -> tuple:
        parameters, _, problem = problem_at(algorithm, policy, batch)
        ascent = -problem.gradient(parameters)[0]
        return ascent, *algorithm.optimizer.direction(ascent, problem)

    ascent, found, curved = direction(algorithm)
    # A softmax does not change where all of its logits do: F has no inverse, and the direction is
    # the shortest one.
    expected = np.linalg.pinv(fisher, rcond=1e-10) @ ascent
    rank = {"discrete": 3 * 2, "gaussian": len(fisher)}[kind]
    assert np.linalg.matrix_rank(fisher) == rank
    np.testing.assert_allclose(found, expected, atol=EQUAL)
    np.testing.assert_allclose(curved, fisher @ found, atol=EQUAL)
    damped = eqx.tree_at(lambda a: a.optimizer.damping, algorithm, 0.1)
    _, found, curved = direction(damped)
    damped_fisher = fisher + 0.1 * np.eye(len(fisher))
    np.testing.assert_allclose(found, np.linalg.solve(damped_fisher, ascent), atol=EQUAL)
    np.testing.assert_allclose(curved, ascent, atol=EQUAL)


# --- TRPO: the promise --------------------------------------------------------------------------

NUM_UPDATES = 500
HIDDEN = PolicySettings(hidden=(6,))


def random_updates(kind: str, optimizer: Any) -> tuple:
    """`NUM_UPDATES` random policies, batches and bounds, and the policies after one step each."""
    rng = np.random.default_rng(1)
    algorithm = trpo(optimizer=optimizer, policy=HIDDEN).at(0.0)
    if isinstance(optimizer, NaturalGradient):
        algorithm = npg(optimizer=optimizer, policy=HIDDEN).at(0.0)

    like = policy_for(algorithm, kind)

    def one() -> tuple:
        max_kl, spread, size = 10 ** rng.uniform([-4, -0.7, -2], [0, 0.7, 2])
        policy = random_like(like, 0.5 * spread, rng)
        batch = random_batch(rng.normal(size=(NUM_SAMPLES, NUM_FEATURES)), kind, rng)
        batch = eqx.tree_at(lambda b: b.advantage, batch, size * batch.advantage)
        return max_kl, 10 ** rng.uniform(-4, -1), policy, batch

    every = [one() for _ in range(NUM_UPDATES)]

    def stacked(*leaves: Any) -> np.ndarray:
        stack = np.stack(leaves)
        return stack.astype(np.float32) if stack.dtype == np.float64 else stack

    max_kl, damping, policy, batch = jax.tree.map(stacked, *every)

    @jax.jit
    @jax.vmap
    def step(max_kl: Any, damping: Any, policy: Policy, batch: Batch) -> tuple:
        def chosen(x: Algorithm) -> tuple:
            return x.optimizer.max_kl.number, x.optimizer.damping

        settings = eqx.tree_at(chosen, algorithm, (max_kl, damping))
        # The batch is the policy's own: every ratio begins at 1.
        log_prob = distribution_of(settings, policy, batch.features).log_prob(batch.action)
        batch = eqx.tree_at(lambda b: b.old_log_prob, batch, log_prob)
        return natural_step(settings, policy, batch)

    after, metrics = step(max_kl, damping, policy, batch)
    return max_kl, policy, batch, after, metrics


def outputs(policy: Policy, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The head's numbers [U, B, P], and σ [U, 1, P], in float64."""

    def affine(layer: eqx.nn.Linear, x: np.ndarray) -> np.ndarray:
        weight, bias = (np.asarray(leaf, np.float64) for leaf in (layer.weight, layer.bias))
        return np.einsum("ubi,uoi->ubo", x, weight) + bias[:, None]

    (layer,) = policy.trunk.layers
    numbers = affine(policy.head, np.tanh(affine(layer, np.asarray(features, np.float64))))
    log_std = np.zeros_like(numbers[:, 0]) if policy.log_std is None else policy.log_std
    return numbers, np.exp(np.asarray(log_std, np.float64))[:, None]


def outcome(kind: str, before: Policy, after: Policy, batch: Batch) -> tuple:
    """The mean KL(before ‖ after) and the mean of (r − 1) A, by textbook formulas in NumPy."""
    features, action = batch.features[:, 0], batch.action[:, 0]
    (old, old_std), (new, new_std) = (outputs(x, features) for x in (before, after))
    if kind == "discrete":
        old, new = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (old, new))
        kl = (np.exp(old) * (old - new)).sum(-1)
        log_ratio = np.take_along_axis(new - old, action[..., None], -1)[..., 0]
    else:
        kl = np.log(new_std / old_std) + (old_std**2 + (old - new) ** 2) / (2 * new_std**2) - 0.5
        kl = kl.sum(-1)
        new_error, old_error = (action - new) / new_std, (action - old) / old_std
        log_ratio = (0.5 * (old_error**2 - new_error**2) - np.log(new_std / old_std)).sum(-1)
    mask = batch.mask[:, 0]
    gain = np.where(mask, np.expm1(log_ratio) * batch.advantage[:, 0], 0.0)
    return (np.where(mask, kl, 0.0).sum(-1) / mask.sum(-1), gain.sum(-1) / mask.sum(-1))


@pytest.mark.parametrize("kind", ["discrete", "gaussian"])
def test_trpo_keeps_its_bound_in_500_random_updates_and_always_improves(kind: str) -> None:
    with jax.enable_x64(False):
        max_kl, before, batch, after, metrics = random_updates(kind, TrustRegion())
    kl, gain = outcome(kind, before, after, batch)
    fraction = np.asarray(metrics["policy/step_fraction"])
    # What is allowed beyond the bound is the rounding of a KL divergence in float32.
    assert (kl <= max_kl + 1e-6).all()
    size = np.where(batch.mask[:, 0], np.abs(batch.advantage[:, 0]), 0).max(-1)
    assert (gain >= -1e-6 * size).all()
    # It is a promise about steps: nearly all were taken, and many had to be made shorter first.
    assert (fraction > 0).mean() > 0.95
    assert (gain[fraction > 0] > 0).mean() > 0.99
    assert ((fraction > 0) & (fraction < 1)).mean() > 0.1
    assert (kl > 0.5 * max_kl).mean() > 0.25
    assert (kl[fraction == 0] == 0).all()


def test_negative_control_without_the_line_search_the_bound_is_exceeded() -> None:
    with jax.enable_x64(False):
        max_kl, before, batch, after, _ = random_updates("discrete", NaturalGradient())
    kl, gain = outcome("discrete", before, after, batch)
    assert (kl > 1.1 * max_kl).mean() > 0.1
    assert (gain < 0).any()
