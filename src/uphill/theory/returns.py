"""Return estimators: how good was the outcome of this step?

Most of them are one linear recurrence, run backwards in time; the return of a whole episode and the
n-step return are built from its sums. `ended` is `terminated | truncated`; rows from autoreset need
no special case, because the row before them has ended.

Where a buffer is only partly filled, `length` is the number of filled rows: the others are never
read, and their results are meaningless.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int

from uphill.trajectory import Array, Scalar


def over_rows(
    step: Callable[[Any, Any], tuple[Any, Array]],
    carry: Any,
    rows: Any,
    length: Int[Array, ""] | int | None = None,
    reverse: bool = False,
) -> tuple[Any, Array]:
    """`lax.scan` over time, but over the first `length` rows only (all by default).

    Gives the last carry, and what `step` returned for every row: 0 for those beyond.
    """
    rows = jax.tree.map(jnp.asarray, rows)
    if length is None:
        return lax.scan(step, carry, rows, reverse=reverse)

    def row(i: Array, state: tuple) -> tuple:
        carry, out = state
        t = length - 1 - i if reverse else i
        carry, y = step(carry, jax.tree.map(lambda x: x[t], rows))
        return carry, lax.dynamic_update_index_in_dim(out, y, t, 0)

    num_rows = jax.tree.leaves(rows)[0].shape[0]
    like = jax.eval_shape(step, carry, jax.tree.map(lambda x: x[0], rows))[1]
    out = jnp.zeros((num_rows, *like.shape), like.dtype)
    return lax.fori_loop(0, length, row, (carry, out))


def discounted_sum(
    x: Float[Array, "T N"],
    decay: Float[Array, "T N"],
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The linear recurrence behind most of these returns, from the last step to the first.

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

    return over_rows(step, jnp.zeros_like(x[0]), (x, decay), length, reverse=True)[1]


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


def episode_return(
    reward: Float[Array, "T N"],
    ended: Bool[Array, "T N"],
    mask: Bool[Array, "T N"],
    gamma: Scalar,
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The discounted return of the whole episode, from its first step, for each of its steps.

    Ψ_t = G_0 = Σ_k γ^k r_k

    For data that start at a reset, as `elapsed`; 0 for masked rows.

    Reference: Williams (1992), https://doi.org/10.1007/BF00992696
    """

    def step(carry: tuple, row: tuple) -> tuple:
        first_to_go, was_valid = carry
        to_go, valid = row
        first_to_go = jnp.where(valid & ~was_valid, to_go, first_to_go)
        return (first_to_go, valid), jnp.where(valid, first_to_go, 0.0)

    to_go = reward_to_go(reward, ended, gamma, length)
    start = (jnp.zeros_like(to_go[0]), jnp.zeros(mask.shape[1], bool))
    return over_rows(step, start, (to_go, mask), length)[1]


def td_residual(
    reward: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    value: Float[Array, "T N"],
    final_value: Float[Array, " N"],
    gamma: Scalar,
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The TD residual: how much better a step was than V predicted. The estimators below sum it.

    δ_t = r_t + γ (1 − terminated_t) V_{t+1} − V_t

    `value` is of the observation before each step, `final_value` of the observation after the last.
    """
    next_value = following(value, final_value, length)
    # In this form the difference of two large values is exact in float32, while the rounding of
    # γ V' would pile up over the steps.
    return reward + gamma * (jnp.where(terminated, 0.0, next_value) - value) - (1 - gamma) * value


def one_step_return(
    reward: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    truncated: Bool[Array, "T N"],
    value: Float[Array, "T N"],
    final_value: Float[Array, " N"],
    gamma: Scalar,
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """The target of TD(0); minus the value it is the TD residual.

    G_t = r_t + γ (1 − terminated_t) V_{t+1}

    A truncated step bootstraps like any other, so `truncated` changes nothing: it is there because
    all estimators that bootstrap take the same arguments.

    Reference: Sutton (1988), https://doi.org/10.1007/BF00115009
    """
    del truncated
    return value + td_residual(reward, terminated, value, final_value, gamma, length)


def n_step_return(
    reward: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    truncated: Bool[Array, "T N"],
    value: Float[Array, "T N"],
    final_value: Float[Array, " N"],
    gamma: Scalar,
    num_steps: Int[Array, ""] | int,
    length: Int[Array, ""] | int | None = None,
) -> Float[Array, "T N"]:
    """`num_steps` rewards, then V; a static or a traced number of them.

    G_t = Σ_{k<n} γ^k r_{t+k} + γ^n V_{t+n},   A_t = G_t − V_t = Σ_{k<n} γ^k δ_{t+k}

    It stops earlier where the episode terminates, without V, and where the episode was truncated or
    the data end, with V of the observation there. Termination wins when both flags are set.

    Reference: Watkins (1989), http://www.cs.rhul.ac.uk/~chrisw/new_thesis.pdf
    """
    delta = td_residual(reward, terminated, value, final_value, gamma, length)
    nothing = jnp.zeros_like(delta)

    def one_more(_: Array, advantage: Array) -> Array:
        after = following(advantage, nothing[0], length)
        return delta + jnp.where(terminated | truncated, 0.0, gamma * after)

    # From the number of rows on nothing changes any more.
    num_rows = reward.shape[0] if length is None else length
    return value + lax.fori_loop(0, jnp.minimum(num_steps, num_rows), one_more, nothing)


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
    """The λ-return; minus the value it is the generalised advantage estimate.

    G_t = r_t + γ (1 − terminated_t) · ((1 − λ) V_{t+1} + λ G_{t+1}),   A_t = G_t − V_t

    where an episode was truncated, or the data ends, V_{t+1} stands for G_{t+1}. Termination wins
    when both flags are set. `value` is of the observation before each step, `final_value` of the
    observation after the last.

    Reference: Schulman et al. (2016), https://arxiv.org/abs/1506.02438
    """
    delta = td_residual(reward, terminated, value, final_value, gamma, length)
    decay = jnp.where(terminated | truncated, 0.0, gamma * lam)
    advantage = discounted_sum(delta, decay, length)
    return advantage + value


def inside_finished_episode(ended: Bool[Array, "T N"]) -> Bool[Array, "T N"]:
    """True for the steps whose episode ends within the data: the rest is an unfinished tail."""
    return lax.cummax(jnp.asarray(ended, jnp.int8), axis=0, reverse=True).astype(bool)


def elapsed(
    mask: Bool[Array, "T N"], length: Int[Array, ""] | int | None = None
) -> Int[Array, "T N"]:
    """How many steps of its episode came before each step; 0 for masked rows.

    For data that start at a reset: an episode begins at row 0, or after masked rows.

    >>> elapsed(jnp.array([[True], [True], [False], [True]]))[:, 0].tolist()
    [0, 1, 0, 0]
    """

    def step(count: Int[Array, " N"], valid: Bool[Array, " N"]) -> tuple:
        count = jnp.where(valid, count + 1, 0)
        return count, jnp.maximum(count - 1, 0)

    return over_rows(step, jnp.zeros(mask.shape[1], jnp.int32), mask, length)[1]


def following(
    x: Float[Array, "T *rest"],
    after_last: Float[Array, "*rest"],
    length: Int[Array, ""] | int | None,
) -> Float[Array, "T *rest"]:
    """x_{t+1}, and `after_last` after the last row that is filled."""
    rows = jnp.concatenate([x[1:], after_last[None]])
    if length is None:
        return rows
    return lax.dynamic_update_index_in_dim(rows, after_last, length - 1, 0)
