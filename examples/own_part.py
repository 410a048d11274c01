# %% [markdown]
# # A part of your own
#
# In Uphill an algorithm is a list of parts. Here are three that Uphill does not have, each in a few
# lines: a surrogate, a baseline that remembers, and an estimator that looks at the policy as it
# changes. [docs/a_part_of_your_own.md](../docs/a_part_of_your_own.md) explains what to define.

# %%
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

import uphill
from uphill.parts import Baseline, Episodes, Estimator, NoBaseline, Surrogate
from uphill.theory import returns
from uphill.theory.natural_gradient import conjugate_gradient
from uphill.views.notebook import curves, film, of_run, play

STEPS = 60_000  # of each seed
SEEDS = 6


def train(algorithm: uphill.parts.Algorithm, steps: int = STEPS) -> uphill.Run:
    return uphill.train("CartPole-v1", algorithm, seeds=SEEDS, steps=steps, episodes=32, quiet=True)


# %% [markdown]
# ## A surrogate
#
# PPO's objective is flat where the ratio $r = \pi / \pi_\text{old}$ has moved further than
# $\epsilon$: its gradient is zero there, and nothing brings the ratio back. *Simple Policy
# Optimization* maximises
#
# $$ r A - \frac{|A|}{2 \epsilon} (r - 1)^2 $$
#
# instead, which is largest where $|r - 1| = \epsilon$ and falls beyond. `is_ratio` declares that
# the objective stays valid after the policy has changed, so that a batch may be used for several
# epochs.


# %%
class SPO(Surrogate):
    """r A − |A| (r − 1)² / 2ε: Simple Policy Optimization, https://arxiv.org/abs/2401.16025."""

    is_ratio: ClassVar[bool] = True

    epsilon: float = 0.2
    """The distance of the ratio from 1 at which the objective is largest."""

    def __call__(self, sample):
        r, advantage = sample.ratio, sample.advantage
        return r * advantage - jnp.abs(advantage) * (r - 1) ** 2 / (2 * self.epsilon)


runs = {"PPO": train(uphill.ppo()), "SPO": train(uphill.ppo(surrogate=SPO()))}

# %% [markdown]
# ## A baseline that remembers
#
# Least squares on all batches so far, with less weight on older ones: $w$ minimises $\sum (w \cdot
# \phi(s) - G)^2$. What it remembers, $\sum \phi \phi^\top$ and $\sum \phi G$, is its *state*:
# `init` creates it, `learned` updates it after each batch, and checkpoints contain it. The baseline
# learns from a batch only after the batch was used, so the gradient stays unbiased.


# %%
class Linear(Baseline):
    """Subtracts w · (φ(s), 1), fitted to the returns of the batches before this one."""

    decay: float = 0.9
    """Weight of the previous sums when a new batch comes."""

    def init(self, setup, generator):
        n = setup.encoding.size + 1
        return np.zeros((n, n), np.float32), np.zeros(n, np.float32)

    def __call__(self, state, seen, returns):
        gram, moment = (jnp.asarray(x) for x in state)
        weights, _ = conjugate_gradient(lambda w: gram @ w + 1e-3 * w, moment, 20)
        return seen.deviation * (with_one(seen.features) @ weights)

    def learned(self, state, served, key):
        batch, (gram, moment) = served.batch, state
        x = jnp.where(batch.mask[..., None], with_one(batch.features), 0.0).reshape(-1, len(moment))
        y = jnp.where(batch.mask, batch.target, 0.0).ravel()
        count = jnp.maximum(batch.mask.sum(), 1)
        return self.decay * gram + x.T @ x / count, self.decay * moment + x.T @ y / count


def with_one(features):
    return jnp.concatenate([features, jnp.ones_like(features[..., :1])], -1)


for name, baseline in (("REINFORCE, no baseline", NoBaseline()), ("linear baseline", Linear())):
    runs[name] = train(uphill.reinforce(baseline=baseline, sampling=Episodes(num_envs=8)))

# %% [markdown]
# ## An estimator that sees the policy
#
# In PPO's later epochs the policy is no longer the one that sampled, but the advantages are still
# those of the first. *V-trace* weights what follows an action by how much more likely the policy
# has become to take it, $\rho = \min(1, \pi / \pi_\text{old})$:
#
# $$ A_t = \delta_t + \gamma \lambda\, \rho_{t+1} A_{t+1}, \qquad
#    \delta_t = r_t + \gamma V(s_{t+1}) - V(s_t) . $$
#
# `seen.log_prob` is the current policy's. In the first epoch $\rho = 1$ and this is GAE;
# `recompute_advantages` makes the algorithm recompute the advantages before each epoch.


# %%
class VTrace(Estimator):
    """The λ-return, each later step weighted by ρ = min(1, π / π_old): V-trace,
    https://arxiv.org/abs/1802.01561."""

    needs_value: ClassVar[bool] = True

    gamma: float = 0.99
    lam: float = 0.95

    def __call__(self, state, seen):
        t, value = seen.trajectory, seen.value
        bootstrap = (t.reward, t.terminated, value, seen.final_value, self.gamma, t.length)
        later = returns.following(ratio(seen), jnp.ones_like(value[0]), t.length)
        decay = jnp.where(t.ended, 0.0, self.gamma * self.lam * later)
        return value + returns.discounted_sum(returns.td_residual(*bootstrap), decay, t.length)

    def target(self, seen, estimated):
        return seen.value + ratio(seen) * (estimated - seen.value)


def ratio(seen):
    return jnp.minimum(1.0, jnp.exp(seen.log_prob - seen.trajectory.log_prob))


renewed = uphill.ppo(estimator=VTrace(), recompute_advantages=True)
runs["PPO with V-trace"] = train(renewed)

# %% [markdown]
# ## What they learn
#
# Interquartile means over seeds, with 95 % intervals. CartPole is too easy to show which is better;
# that they learn shows that they work.

# %%
shown = {name: of_run(run) for name, run in runs.items()}
ratios = {name: shown[name] for name in ("PPO", "SPO", "PPO with V-trace")}
curves("own_part-ratios", ratios, threshold=475)
curves("own_part-baselines", {name: shown[name] for name in shown if name not in ratios})

# %% [markdown]
# A run directory contains only the part's name, and reading a run never imports the part on its
# own: give the part again when you load the run.

# %%
path = runs["SPO"].path
print(uphill.load(path, parts=[SPO]).experiment.algorithm.surrogate)
try:
    print(uphill.load(path, seed_index=0).policy)
except uphill.UphillError as error:
    print(error)

# %%
run = uphill.load(path, parts=[SPO], seed_index=runs["SPO"].best_seed_index)
episode = play("CartPole-v1", run.policy.act, every=6)
print(f"return: {episode.episode_return:.0f}")
film("own_part-film", episode.frames)
