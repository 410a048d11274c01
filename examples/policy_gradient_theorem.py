# %% [markdown]
# # The policy gradient theorem, checked
#
# A policy $\pi_\theta$ acts at random, and we want it to earn more on average. That average,
# $J(\theta)$, depends on $\theta$ only through the *chances* of what happens. How does one
# differentiate that, without knowing how the environment works? The answer is a theorem of one
# line, and in a small enough problem we can check every word of it.

# %%
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import uphill
from uphill.parts import Adam, Episodes, NoBaseline, RewardToGo, TimeMean
from uphill.policies.policy import PolicySettings
from uphill.theory.distributions import Categorical
from uphill.theory.returns import reward_to_go
from uphill.views.notebook import curves, film, of_run, play

STEPS = 400_000  # of each seed on CartPole-v0; 3_000_000 shows whether it lasts
SEEDS = 8
SWING_UP_STEPS = 1_000_000  # 5_000_000 and more to keep the pole up for longer

# %% [markdown]
# ## A problem small enough to write down
#
# Two states, two actions, three steps. It starts in state 0, and the next state is the action that
# was taken. So there are eight trajectories, and here they all are: arrays are `[time,
# trajectory]`.

# %%
actions = np.array(list(itertools.product((0, 1), repeat=3))).T
states = np.concatenate([np.zeros((1, 8), int), actions[:-1]])
rewards = np.array([[1.0, 0.0], [0.0, 3.0]])[states, actions]
ended = np.arange(3)[:, None] == np.full((1, 8), 2)
theta = jnp.array([[0.9, -0.2], [0.0, 0.4]])  # logits, [state, action]


def log_prob(theta):
    """log π(a_t|s_t) of all steps of all trajectories."""
    return Categorical(theta[states]).log_prob(actions)


def expected_return(theta):
    """J = Σ P(τ) R(τ), where P(τ) is the product of π(a_t|s_t) over its steps."""
    return (jnp.exp(log_prob(theta).sum(0)) * rewards.sum(0)).sum()


# %% [markdown]
# ## The trick
#
# A derivative of a logarithm is $\nabla \log P = \nabla P / P$, so $\nabla P = P \,\nabla \log P$.
# A gradient of a sum over trajectories thereby becomes an *average* over trajectories, and an
# average can be estimated from samples:
#
# $$ \nabla J = \sum_\tau \nabla P(\tau) R(\tau) = \sum_\tau P(\tau)\,\nabla \log P(\tau)\, R(\tau)
#    = \mathbb{E}\Big[ \sum_t \nabla \log \pi(a_t \mid s_t)\, R(\tau) \Big] $$
#
# The last step holds because $\log P(\tau)$ is a sum, in which only the policy's terms depend on
# $\theta$: those of the environment have gradient zero, and may even be unknown. Here is $\nabla J$
# by differentiating the sum of all eight terms, and by the theorem.


# %%
def gradients(psi):
    """Σ_t ∇log π(a_t|s_t) Ψ_t of each trajectory: `[8, 4]`."""
    return jax.jacobian(lambda theta: (log_prob(theta) * psi).sum(0))(theta).reshape(8, -1)


p = jnp.exp(log_prob(theta).sum(0))
whole = np.broadcast_to(rewards.sum(0), (3, 8))
exact = jax.grad(expected_return)(theta).ravel()
print("differentiated:", *(f"{x:8.4f}" for x in exact))
print("by the theorem:", *(f"{x:8.4f}" for x in p @ gradients(whole)))

# %% [markdown]
# ## What may replace $R(\tau)$
#
# An action can't change what came before it: the rewards that follow, $G_t$, are enough. And
# anything may be subtracted that does not depend on the action, a **baseline** $b(s_t)$, because
#
# $$ \mathbb{E}_{a \sim \pi}[\nabla \log \pi(a \mid s)\, b(s)]
#    = b(s)\, \nabla \sum_a \pi(a \mid s) = b(s)\, \nabla 1 = 0 . $$
#
# All averages here are over all eight trajectories, so *bias* (how far the average is from $\nabla
# J$) and *variance* (how far one trajectory is from the average, squared) have no noise.

# %%
to_go = np.asarray(reward_to_go(rewards, ended, gamma=1.0))
same = states[:, :, None] == states[:, None, :]  # trajectories in the same state at the same time
value = np.asarray((same * p * to_go[:, None, :]).sum(2) / (same * p).sum(2))
for name, psi in {
    "R, the whole return": whole,
    "G, what follows": to_go,
    "G − 2, a number": to_go - 2,
    "G − 20, a bad number": to_go - 20,
    "G − V(s)": to_go - value,
    "V(s) alone": value,
}.items():
    g = gradients(psi)
    bias, spread = jnp.linalg.norm(p @ g - exact), p @ ((g - p @ g) ** 2).sum(1)
    print(f"{name:22} bias {bias:.4f}   variance {spread:8.2f}")

# %% [markdown]
# No baseline shifts the average, not even the bad one; they differ in noise. The last line is not
# like the others: $V(s)$ is itself a function of the state, so on its own it gives zero, and its
# bias is the length of the whole gradient. One may subtract $V$, but not follow it.
#
# ## More rollouts, less noise
#
# The mean of $n$ independent gradients has $1/n$ of the variance of one.

# %%
g, chances = np.asarray(gradients(to_go)), np.asarray(p, np.float64)
drawn = np.random.default_rng(0).choice(8, size=(4000, 64), p=chances / chances.sum())
for n in (1, 4, 16, 64):
    print(f"{n:3} rollouts: variance {g[drawn[:, :n]].mean(1).var(0).sum():6.3f}")

# %% [markdown]
# CartPole-v0 needs no hidden layer: a linear policy balances the pole. With the same learning rate,
# 0.1, and the same number of steps in all, we take batches of 2 and of 32 episodes. The small ones
# make many more updates and are up sooner; look at what they do then.

# %%
runs = {}
for n in (2, 32):
    linear = uphill.reinforce(
        sampling=Episodes(num_envs=n),
        baseline=NoBaseline(),
        optimizer=Adam(learning_rate=0.1, max_grad_norm=None),
        policy=PolicySettings(hidden=()),
    )
    run = uphill.train("CartPole-v0", linear, seeds=SEEDS, steps=STEPS, quiet=True)
    print(f"{n:2} episodes; final policies:", run.evaluation["deterministic"]["per_seed"])
    runs[f"batches of {n} episodes"] = of_run(run)
curves("policy_gradient_theorem-cartpole", runs, threshold=195)

# %% [markdown]
# ## Continuous actions: the same theorem
#
# The theorem only requires that a policy's $\log \pi(a \mid s)$ has a gradient. For a push that may
# be any number in $[-1, 1]$ we take a Gaussian: the network gives its mean, and $\log \sigma$ is
# learned as well. CartPoleSwingUp starts with the pole hanging. A step earns the cosine of the
# pole's angle from upright, −1 hanging and 1 standing, so doing nothing costs nearly 500; planners
# that know the equations reach about 360.

# %%
algorithm = uphill.reinforce(
    sampling=Episodes(num_envs=128),
    estimator=RewardToGo(gamma=0.999),
    baseline=TimeMean(),  # the mean over the batch at the same time
    optimizer=Adam(learning_rate=1e-2, max_grad_norm=None),
)
run = uphill.train("CartPoleSwingUp-v0", algorithm, steps=SWING_UP_STEPS, quiet=True)
episode = play("CartPoleSwingUp-v0", run.policy.act, every=6)
print(f"return of this episode: {episode.episode_return:.0f}")
film("policy_gradient_theorem-film", episode.frames)
