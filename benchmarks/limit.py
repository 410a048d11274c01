"""How close PPO's update is to the time of its matrix products alone."""

import statistics
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.compositions import plain_ppo
from benchmarks.timing import seconds
from uphill.learning.advantages import make_batch
from uphill.learning.learner import take
from uphill.learning.update import ascend
from uphill.parts import Algorithm, Steps
from uphill.training.trainer import Trainer
from uphill.trajectory import Array

WIDTH = 64
PRODUCTS = 1_000


def limit(rounds: int = 9) -> None:
    """The time of an update's matrix products, as a share of the update's time: 64-64 tanh."""
    for size in (256, 1024):
        algorithm = plain_ppo(sampling=Steps(8, size // 2))  # 4 × 4 minibatches of this size
        update, num_flops = _update(algorithm, size), _flops(algorithm, size)
        product = _products(size)
        update()
        product()
        shares, rates = [], []
        for _ in range(rounds):
            rates.append(PRODUCTS * 2 * size * WIDTH * WIDTH / seconds(product))
            shares.append(num_flops / rates[-1] / seconds(update))
        print(
            f"minibatches of {size}: {num_flops / 1e6:.0f} MFLOP per update, "
            f"{statistics.median(rates) / 1e9:.0f} GFLOP/s for a {size} × {WIDTH} × {WIDTH} "
            f"product: "
            f"share {statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"
        )


def _update(algorithm: Algorithm, size: int) -> Callable[[], None]:
    """All epochs over one batch, shuffles and optimiser included."""
    trainer = Trainer("CartPole-v1", algorithm, (0,), 2**32 - 1)
    state = trainer.start()
    chunk = trainer._way.advance(state.learners, state.lanes, 1)
    learner, trajectory = take(jax.device_get(chunk.befores[-1]), 0)
    batch = jax.jit(lambda a, t: make_batch(algorithm, a, t)[0])(learner, trajectory)
    assert batch.mask.size == algorithm.num_minibatches * size
    run = jax.jit(lambda a, t, b, key: ascend(algorithm, a, t, b, key))
    return lambda: jax.block_until_ready(run(learner, trajectory, batch, jax.random.key(0)))


def _flops(algorithm: Algorithm, size: int) -> int:
    """FLOPs of the matrix products of actor and critic, forward and backward: three products for
    each layer, two for the first, whose input needs no gradient."""
    steps = algorithm.num_epochs * algorithm.num_minibatches
    layers = [(4, WIDTH, 2), (WIDTH, WIDTH, 3)]
    total = sum(2 * 2 * size * a * b * times for a, b, times in layers)
    heads = sum(2 * size * WIDTH * outputs * 3 for outputs in (2, 1))
    return steps * (total + heads)


def _products(size: int) -> Callable[[], None]:
    """Products of this size, one after another, in one program."""
    weights = jnp.eye(WIDTH)

    def body(_: Array, x: Array) -> Array:
        return x @ weights

    run = jax.jit(lambda x: lax.fori_loop(0, PRODUCTS, body, x))
    x = jnp.ones((size, WIDTH))
    return lambda: jax.block_until_ready(run(x))
