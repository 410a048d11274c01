"""Return estimators against their definitions, RLax, and each other."""

import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uphill.theory.returns import (
    discounted_sum,
    elapsed,
    episode_return,
    inside_finished_episode,
    lambda_return,
    n_step_return,
    one_step_return,
    reward_to_go,
    td_residual,
)

T, N = 14, 6


def rows(seed: int, num_steps: int = T, num_envs: int = N) -> dict[str, np.ndarray]:
    """Random steps with next-step autoreset: after an episode's end comes a row that only resets.
    Column 0 never ends, column 1 ends with both flags, the others at random."""
    rng = np.random.default_rng(seed)
    terminated = rng.random((num_steps, num_envs)) < 0.2
    truncated = rng.random((num_steps, num_envs)) < 0.2
    terminated[:, 0] = truncated[:, 0] = False
    terminated[4, 1] = truncated[4, 1] = True
    mask = np.ones((num_steps, num_envs), bool)
    for t in range(1, num_steps):
        mask[t] = ~(terminated | truncated)[t - 1]
        terminated[t] &= mask[t]
        truncated[t] &= mask[t]
    return {
        "reward": np.where(mask, rng.normal(size=mask.shape), 0.0).astype(np.float32),
        "terminated": terminated,
        "truncated": truncated,
        "mask": mask,
        "value": rng.normal(size=mask.shape).astype(np.float32),
        "final_value": rng.normal(size=num_envs).astype(np.float32),
    }


def fields(r: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [r[x] for x in ("reward", "terminated", "truncated", "value", "final_value")]


def estimate(
    r: dict[str, np.ndarray], gamma: float, lam: float, **changes: np.ndarray
) -> np.ndarray:
    r = r | changes
    return np.asarray(lambda_return(*fields(r), gamma, lam))


def all_n_step_returns(r: dict[str, np.ndarray], gamma: float, start: int, env: int) -> list[float]:
    """The returns of one step for n = 1, 2, … until there is no more of its episode, or of the
    data; each summed from its definition."""
    values = np.concatenate([r["value"], r["final_value"][None]]).astype(float)
    n_step, discounted = [], 0.0
    for t in range(start, len(r["mask"])):
        discounted += gamma ** (t - start) * float(r["reward"][t, env])
        bootstrap = gamma ** (t + 1 - start) * values[t + 1, env]
        n_step.append(discounted + (0.0 if r["terminated"][t, env] else bootstrap))
        if r["terminated"][t, env] or r["truncated"][t, env]:
            break
    return n_step


def brute_force_lambda_return(r: dict[str, np.ndarray], gamma: float, lam: float) -> np.ndarray:
    """The weighted mean of the n-step returns."""
    out = np.zeros(r["mask"].shape)
    for start, env in np.ndindex(out.shape):
        n_step = all_n_step_returns(r, gamma, start, env)
        last = len(n_step) - 1
        weights = [(1 - lam) * lam**n for n in range(last)] + [lam**last]
        out[start, env] = np.dot(weights, n_step)
    return out


def first_rows(mask: np.ndarray) -> np.ndarray:
    """For every valid step the row in which its episode began."""
    out = np.zeros(mask.shape, int)
    for t, env in np.ndindex(mask.shape):
        first = t
        while first > 0 and mask[first - 1, env]:
            first -= 1
        out[t, env] = first
    return out


def partly_filled(seed: int, length: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A buffer with rubbish beyond `length`, and the filled part alone."""
    r = rows(seed)
    short = {name: x if x.ndim == 1 else x[:length] for name, x in r.items()}
    rubbish = {"reward": np.nan, "value": np.nan, "terminated": True, "truncated": True}
    long = {name: x.copy() for name, x in r.items()}
    for name, x in (rubbish | {"mask": False}).items():
        long[name][length:] = x
    return long, short


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_trap_05_gae_matches_its_definition(lam: float) -> None:
    for seed in range(3):
        r = rows(seed)
        found = estimate(r, 0.95, lam)
        np.testing.assert_allclose(found, brute_force_lambda_return(r, 0.95, lam), atol=2e-5)


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_trap_05_gae_matches_rlax(lam: float) -> None:
    with warnings.catch_warnings():  # RLax's own dependencies warn when they are imported
        warnings.simplefilter("ignore")
        rlax = importlib.import_module("rlax")
    r = rows(3)
    gamma = 0.97
    values = np.concatenate([r["value"], r["final_value"][None]])
    with jax.numpy_rank_promotion("allow"):
        oracle = jax.vmap(rlax.truncated_generalized_advantage_estimation, 1, 1)
        # RLax has no truncation: λ = 0 where an episode was cut gives the same recurrence.
        expected = oracle(
            jnp.asarray(r["reward"]),
            jnp.asarray(gamma * ~r["terminated"], jnp.float32),
            jnp.asarray(lam * ~r["truncated"], jnp.float32),
            jnp.asarray(values),
        )
    np.testing.assert_allclose(estimate(r, gamma, lam) - r["value"], expected, atol=1e-5)


@pytest.mark.parametrize("lam", [0.0, 0.9, 1.0])
def test_trap_05_the_lambda_return_matches_rlax(lam: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rlax = importlib.import_module("rlax")
    r = rows(11)
    gamma = 0.97
    with jax.numpy_rank_promotion("allow"):
        expected = jax.vmap(rlax.lambda_returns, 1, 1)(
            jnp.asarray(r["reward"]),
            jnp.asarray(gamma * ~r["terminated"], jnp.float32),
            jnp.asarray(np.concatenate([r["value"][1:], r["final_value"][None]])),
            jnp.asarray(lam * ~r["truncated"], jnp.float32),
        )
    np.testing.assert_allclose(estimate(r, gamma, lam), expected, atol=1e-5)


def test_trap_01_truncation_bootstraps_and_termination_wins() -> None:
    gamma, num_steps = 0.9, 20
    value = np.full((num_steps, 2), 1 / (1 - gamma), np.float32)
    ends = np.zeros((num_steps, 2), bool)
    ends[9] = True  # the time limit; row 10 resets
    r = {
        "reward": np.ones((num_steps, 2), np.float32),
        "terminated": ends & np.array([[False, True]]),
        "truncated": ends,
        "value": value,
        "final_value": value[0],
    }
    for lam in (0.0, 0.5, 1.0):
        found = estimate(r, gamma, lam)
        # An endless chain of ones is worth 1/(1−γ) at every step, however often it is cut …
        np.testing.assert_allclose(found[:10, 0], 10.0, rtol=1e-5)
        # … and 1 at its last step if that terminates, whether or not it is also the time limit.
        assert found[9, 1] == pytest.approx(1.0)


def test_trap_02_the_final_observation_is_the_one_that_is_valued() -> None:
    r = rows(0)
    ends = np.argwhere(r["truncated"] & ~r["terminated"])
    t, env = next((t, env) for t, env in ends if t + 2 < T)
    base = estimate(r, 0.9, 0.0)
    for row, moves in ((t + 1, True), (t + 2, False)):  # the reset row, then the next episode
        value = r["value"].copy()
        value[row, env] += 10.0
        changed = estimate(r, 0.9, 0.0, value=value)
        assert changed[t, env] == pytest.approx(base[t, env] + (9.0 if moves else 0.0), abs=1e-4)


@pytest.mark.parametrize("flag", ["terminated", "truncated"])
def test_trap_04_nothing_leaks_over_the_end_of_an_episode(flag: str) -> None:
    end = 6
    r = rows(1)
    r["terminated"][:], r["truncated"][:] = False, False
    r[flag][end] = True
    rng = np.random.default_rng(9)
    reward, value = r["reward"].copy(), r["value"].copy()
    reward[end + 1 :] = 1e6 * rng.normal(size=reward[end + 1 :].shape)
    value[end + 2 :] = 1e6 * rng.normal(size=value[end + 2 :].shape)
    changes = {"reward": reward, "value": value, "final_value": 1e6 * r["final_value"]}
    before = slice(None, end + 1)
    for lam in (0.0, 0.9, 1.0):
        base, changed = estimate(r, 0.99, lam), estimate(r, 0.99, lam, **changes)
        np.testing.assert_array_equal(changed[before], base[before])
        assert (changed[end + 2 :] != base[end + 2 :]).any()
    ended = r["terminated"] | r["truncated"]
    base, changed = (reward_to_go(x, ended, 0.99) for x in (r["reward"], reward))
    np.testing.assert_array_equal(changed[before], base[before])


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_reward_to_go_sums_the_rest_of_the_episode(gamma: float) -> None:
    r = rows(4)
    ended = r["terminated"] | r["truncated"]
    expected = np.zeros((T, N))
    for start in range(T):
        for env in range(N):
            for t in range(start, T):
                expected[start, env] += gamma ** (t - start) * r["reward"][t, env]
                if ended[t, env]:
                    break
    np.testing.assert_allclose(reward_to_go(r["reward"], ended, gamma), expected, atol=1e-5)


def test_lambda_one_is_the_reward_to_go_where_every_episode_terminates() -> None:
    r = rows(5)
    terminated = r["terminated"] | r["truncated"]
    terminated[-1] = True
    nothing = np.zeros_like(terminated)
    found = estimate(r, 0.9, 1.0, terminated=terminated, truncated=nothing)
    expected = reward_to_go(r["reward"], terminated, 0.9)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_the_filled_part_of_a_buffer_is_read() -> None:
    length = 9
    long, short = partly_filled(6, length)
    # Compiled with the length as an argument: one program serves every length.
    partial = jax.jit(lambda n, *xs: lambda_return(*xs, 0.9, 0.8, n))
    found = np.asarray(partial(length, *fields(long)))
    np.testing.assert_allclose(found[:length], estimate(short, 0.9, 0.8), rtol=1e-6, atol=1e-6)

    ended = long["terminated"] | long["truncated"]
    found = np.asarray(reward_to_go(long["reward"], ended, 0.9, length))
    expected = reward_to_go(short["reward"], ended[:length], 0.9)
    np.testing.assert_allclose(found[:length], expected, rtol=1e-6)
    assert (found[length:] == 0).all()


def test_an_empty_buffer_gives_zeros() -> None:
    x = jnp.ones((4, 2))
    assert (discounted_sum(x, x, jnp.int32(0)) == 0).all()


def test_whole_numbers_will_do_as_settings() -> None:
    r = rows(7)
    np.testing.assert_array_equal(estimate(r, 1, 1), estimate(r, 1.0, 1.0))
    ended = r["terminated"] | r["truncated"]
    np.testing.assert_array_equal(
        reward_to_go(r["reward"], ended, 1), reward_to_go(r["reward"], ended, 1.0)
    )


def test_large_values_do_not_drown_small_advantages() -> None:
    gamma, lam, num_steps = 1 - 2.0**-10, 1.0, 1000
    rng = np.random.default_rng(0)
    value = (16_000 + rng.normal(size=(num_steps + 1, 1))).astype(np.float32)
    reward = (value[:-1] - np.float32(gamma) * value[1:]).astype(np.float32)
    no = np.zeros((num_steps, 1), bool)
    found = lambda_return(reward, no, no, value[:-1], value[-1], gamma, lam)
    exact, naive = float(value[-1, 0]), value[-1, 0]
    errors, naive_errors = [], []
    for t in reversed(range(num_steps)):
        exact = float(reward[t, 0]) + gamma * exact
        naive = np.float32(reward[t, 0] + np.float32(gamma) * naive)
        errors.append(abs(float(found[t, 0]) - exact))
        naive_errors.append(abs(float(naive) - exact))
    ulp = np.spacing(np.float32(16_000))
    # A recurrence over the returns themselves rounds at every step, and the errors pile up.
    assert max(naive_errors) > 5 * ulp
    assert max(errors) < 2 * ulp


def test_returns_stay_in_the_type_of_their_inputs() -> None:
    with jax.enable_x64(True):
        r = rows(8)
        assert estimate(r, 0.9, 0.5).dtype == np.float32
        wide = {name: r[name].astype(np.float64) for name in ("reward", "value", "final_value")}
        found = estimate(r | wide, 0.9, 0.5)
        assert found.dtype == np.float64
        expected = brute_force_lambda_return(r | wide, 0.9, 0.5)
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_inside_finished_episode_leaves_out_the_unfinished_tail() -> None:
    ended = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 1]], bool)
    expected = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1]], bool)
    np.testing.assert_array_equal(inside_finished_episode(ended), expected)


def test_elapsed_counts_from_the_first_step_of_the_episode() -> None:
    mask = rows(10)["mask"]
    expected = np.where(mask, np.arange(T)[:, None] - first_rows(mask), 0)
    np.testing.assert_array_equal(elapsed(mask), expected)
    assert expected.max() > 3
    assert ((expected == 0) & mask)[1:].any()


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_episode_return_is_that_of_the_first_step_everywhere(gamma: float) -> None:
    r = rows(10)
    mask, first = r["mask"], first_rows(r["mask"])
    expected = np.zeros((T, N))
    for t, env in np.argwhere(mask):
        episode = (first[:, env] == first[t, env]) & mask[:, env]
        rewards = r["reward"][episode, env].astype(float)
        expected[t, env] = (gamma ** np.arange(len(rewards)) * rewards).sum()
    rubbish = np.where(mask, r["reward"], 1e6).astype(np.float32)
    found = episode_return(rubbish, r["terminated"] | r["truncated"], mask, gamma)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_step_return_is_one_reward_and_v() -> None:
    r = rows(12)
    values = np.concatenate([r["value"], r["final_value"][None]])
    expected = r["reward"] + 0.9 * np.where(r["terminated"], 0.0, values[1:])
    found = one_step_return(*fields(r), 0.9)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found, estimate(r, 0.9, 0.0), atol=1e-6)
    residual = td_residual(r["reward"], r["terminated"], r["value"], r["final_value"], 0.9)
    np.testing.assert_allclose(residual, expected - r["value"], atol=1e-5)


def test_n_step_return_matches_its_definition() -> None:
    r = rows(13)
    r["truncated"][:, 2] = r["terminated"][:, 2] = False
    find = jax.jit(lambda n: n_step_return(*fields(r), 0.9, n))  # traced: one program for all n
    for n in (1, 2, 3, 5, T, T + 3):
        expected = np.zeros((T, N))
        for t, env in np.ndindex(T, N):
            expected[t, env] = all_n_step_returns(r, 0.9, t, env)[:n][-1]
        np.testing.assert_allclose(find(n), expected, atol=2e-5)
    # … and a static number.
    np.testing.assert_allclose(n_step_return(*fields(r), 0.9, 3), find(3), atol=1e-6)


def test_n_step_return_lies_between_one_step_and_lambda_one() -> None:
    r = rows(14)
    one = n_step_return(*fields(r), 0.95, 1)
    np.testing.assert_array_equal(one, one_step_return(*fields(r), 0.95))
    every = n_step_return(*fields(r), 0.95, T)
    np.testing.assert_allclose(every, estimate(r, 0.95, 1.0), atol=1e-5)
    assert np.abs(np.asarray(every) - np.asarray(one)).max() > 0.1


@pytest.mark.parametrize("length", [9, T])
def test_no_estimator_reads_beyond_the_filled_part(length: int) -> None:
    long, short = partly_filled(15, length)

    @jax.jit
    def every(r: dict[str, np.ndarray], length: int | None) -> list[jax.Array]:
        ended, mask = r["terminated"] | r["truncated"], r["mask"]
        return [
            one_step_return(*fields(r), 0.9, length),
            n_step_return(*fields(r), 0.9, 4, length),
            n_step_return(*fields(r), 0.9, 4 * T, length),
            episode_return(r["reward"], ended, mask, 0.9, length),
            elapsed(mask, length),
        ]

    for found, expected in zip(every(long, length), every(short, None), strict=True):
        np.testing.assert_allclose(found[:length], expected, rtol=1e-6, atol=1e-6)


SHARES = st.floats(0, 1, width=32)
NUMBERS = arrays(np.float32, (6, 3), elements=st.floats(-100, 100, width=32))
FLAGS = arrays(bool, (6, 3))


@given(NUMBERS, NUMBERS, FLAGS, FLAGS, SHARES, SHARES)
def test_any_episodes_have_the_returns_of_their_definition(
    reward, value, terminated, truncated, gamma, lam
) -> None:
    """Whatever the rows hold that are no step: those after the end of an episode."""
    mask = np.ones((6, 3), bool)
    for t in range(1, 6):
        mask[t] = ~(mask[t - 1] & (terminated | truncated)[t - 1])
    r = {"reward": reward, "value": value, "mask": mask, "final_value": value[0]}
    r |= {"terminated": terminated & mask, "truncated": truncated & mask}
    expected = brute_force_lambda_return(r, gamma, lam)
    np.testing.assert_allclose(estimate(r, gamma, lam)[mask], expected[mask], atol=5e-3)
    rubbish = {name: np.where(mask, r[name], 1e30).astype(np.float32) for name in ("reward",)}
    found = estimate(r, gamma, lam, **rubbish)
    np.testing.assert_allclose(found[mask], expected[mask], atol=5e-3)
