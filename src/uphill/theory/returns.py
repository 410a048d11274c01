"""Return estimators: how good was what followed this step?

All of them are one linear recurrence, read backwards in time. `ended` is `terminated | truncated`;
rows that autoreset produced need no special case, because the row before them has ended.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int

from uphill.trajectory import Array, Scalar


def discounted_sum(
    x: Float[Array, "T N"],
    decay: Float[Array, "T N"],
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The linear recurrence behind every estimator, from the last step to the first.

    y_t = x_t + decay_t · y_{t+1},   y_length = 0

    Only the first `length` rows are computed (all by default); the others are 0.

    >>> x = jnp.ones((3, 1))
    >>> discounted_sum(x, 0.5 * x)[:, 0].tolist()
    [1.75, 1.5, 1.0]
    """

    def step(y: Float[Array, " N"], row: tuple) -> tuple:
        x, decay = row
        y = x + decay * y
        return y, y

    x, decay = jnp.asarray(x), jnp.asarray(decay)
    if length is None:
        return lax.scan(step, jnp.zeros_like(x[0]), (x, decay), reverse=True)[1]

    def row(i: Array, carry: tuple) -> tuple:
        y, out = carry
        t = length - 1 - i
        y, _ = step(y, (x[t], decay[t]))
        return y, lax.dynamic_update_index_in_dim(out, y, t, 0)

    return lax.fori_loop(0, length, row, (jnp.zeros_like(x[0]), jnp.zeros_like(x)))[1]


def reward_to_go(
    reward: Float[Array, "T N"],
    ended: Bool[Array, "T N"],
    gamma: Scalar,
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The discounted sum of the rewards from this step to the end of its episode (or of the data).

    G_t = Σ_{k≥t} γ^{k−t} r_k

    An episode that ran into its time limit ends there: this is the return of the time-limited task.

    Reference: Williams (1992), https://doi.org/10.1007/BF00992696
    """
    return discounted_sum(reward, jnp.where(ended, 0.0, gamma), length)


def lambda_return(
    reward: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    truncated: Bool[Array, "T N"],
    value: Float[Array, "T N"],
    final_value: Float[Array, " N"],
    gamma: Scalar,
    lam: Scalar,
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The λ-return; less the value it is the generalised advantage estimate.

    G_t = r_t + γ (1 − terminated_t) · ((1 − λ) V_{t+1} + λ G_{t+1}),   A_t = G_t − V_t

    where an episode was truncated, or the data ends, V_{t+1} stands for G_{t+1}. Termination wins
    when both flags are set. `value` is of the observation before each step, `final_value` of the
    observation after the last.

    Reference: Schulman et al. (2016), https://arxiv.org/abs/1506.02438
    """
    next_value = jnp.concatenate([value[1:], final_value[None]])
    if length is not None:  # what is beyond the last row is unused, and not what followed it
        next_value = lax.dynamic_update_index_in_dim(next_value, final_value, length - 1, 0)
    # What recurs is δ = r + γ V' − V, and in this form: the difference of two large values is exact
    # in float32, while the rounding of γ V' would pile up over the steps.
    delta = reward + gamma * (jnp.where(terminated, 0.0, next_value) - value) - (1 - gamma) * value
    decay = jnp.where(terminated | truncated, 0.0, gamma * lam)
    advantage = discounted_sum(delta, decay, length)
    return advantage + value


def inside_finished_episode(ended: Bool[Array, "T N"]) -> Bool[Array, "T N"]:
    """True for the steps whose episode ends within the data: the rest is an unfinished tail."""
    return lax.cummax(jnp.asarray(ended, jnp.int8), axis=0, reverse=True).astype(bool)
