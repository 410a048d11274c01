# %% [markdown]
# # REINFORCE from scratch
#
# REINFORCE fits on one screen. We write it out for CartPole-v1, where each step that the pole stays
# up earns 1 and an episode has at most 500 steps; we compare it with `uphill.reinforce()`; and we
# look at one popular step of it, normalising the returns of each episode, which goes wrong.

# %%
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import uphill
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.worlds import WORLDS
from uphill.parts import Adam, Episodes
from uphill.policies.policy import PolicySettings
from uphill.theory import means, returns, surrogates
from uphill.theory.distributions import Categorical
from uphill.views.notebook import curves, film, of_run, play

UPDATES = 80  # 200 and more to see whether it lasts
SEEDS = 8

# %% [markdown]
# ## The algorithm
#
# **The policy**: four numbers in (where cart and pole are, and how fast they move), 16 hidden
# units, two numbers out. `Categorical` makes probabilities of them, $\pi(a \mid s) = e^{z_a} /
# \sum_b e^{z_b}$.
#
# **Episodes**: all environments step together. Each would continue with its next episode when one
# is over; we count only the first, and `mask` says which steps those are. (Taking whichever
# episodes end first would favour short ones.)
#
# **The loss**: from $\mathbb{E}[\sum_t \nabla \log \pi(a_t \mid s_t)\, (G_t - b)]$ to code.
# `score_function` is $\log \pi(a_t \mid s_t) \cdot A_t$, whose gradient is the term in the sum; $b$
# is the mean return of the batch; the sum is divided by the number of episodes. Optimisers descend,
# hence the minus sign. Its value means nothing, only its gradient does.

# %%
env = CompiledEnvironment(WORLDS["CartPole-v1"], num_envs=16)
optimizer = optax.adam(1e-2)


def policy(weights, observation):
    w, b, v, c = weights
    return Categorical(jax.nn.relu(observation @ w + b) @ v + c)


def episodes(weights, key):
    def step(carry, key):
        state, observation, running = carry
        action = policy(weights, observation).sample(key)
        state, seen = env.step(state, action)
        ended = seen.terminated | seen.truncated
        row = (observation, action, seen.reward, ended, running)
        return (state, seen.observation, running & ~ended), row

    key_reset, key_act = jax.random.split(key)
    first = (*env.reset(key_reset), jnp.ones(env.num_envs, bool))
    return jax.lax.scan(step, first, jax.random.split(key_act, env.max_episode_steps))[1]


def loss(weights, observation, action, reward, ended, mask):
    to_go = returns.reward_to_go(reward, ended, gamma=0.99)
    advantage = to_go - means.batch_mean(to_go, mask)
    log_prob = policy(weights, observation).log_prob(action)
    return -jnp.where(mask, surrogates.score_function(log_prob, advantage), 0).sum() / env.num_envs


def update(carry, key):
    weights, moments = carry
    batch = episodes(weights, key)
    step, moments = optimizer.update(jax.grad(loss)(weights, *batch), moments)
    _, _, reward, _, mask = batch
    return (optax.apply_updates(weights, step), moments), jnp.where(mask, reward, 0).sum(0).mean()


def train(key):
    key_hidden, key_out, key_updates = jax.random.split(key, 3)
    hidden = 0.7 * jax.random.normal(key_hidden, (4, 16))
    out = 0.01 * jax.random.normal(key_out, (16, 2))  # small: undecided at first
    weights = (hidden, jnp.zeros(16), out, jnp.zeros(2))
    start = (weights, optimizer.init(weights))
    (weights, _), mean_returns = jax.lax.scan(update, start, jax.random.split(key_updates, UPDATES))
    return weights, mean_returns


# %% [markdown]
# That is all of it. One call compiles the whole training, for all seeds at once. Beside it we train
# the library's own version, with the same network and learning rate, for about as many steps.

# %%
weights, by_update = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), SEEDS))
by_update = np.asarray(by_update)  # [SEEDS, UPDATES]
steps = env.num_envs * by_update.mean(0).cumsum()  # a step earns 1, so returns are lengths

run = uphill.train(
    "CartPole-v1",
    uphill.reinforce(
        sampling=Episodes(num_envs=env.num_envs),
        optimizer=Adam(learning_rate=1e-2, max_grad_norm=None),
        policy=PolicySettings(hidden=(16,), activation="relu"),
    ),
    seeds=SEEDS,
    steps=int(steps[-1]),
    quiet=True,
)
lines = {"from scratch": (steps, by_update), "uphill.reinforce()": of_run(run)}
curves("reinforce_from_scratch-curve", lines, threshold=475)

# %% [markdown]
# ## A step that goes wrong
#
# Many versions of this algorithm shift and scale the returns within each episode, to mean 0 and
# standard deviation 1: $(G_t - \bar G) / \sigma_G$. It looks harmless. But $\bar G$ and $\sigma_G$
# depend on the very actions that they judge, so this is not a baseline in the sense of the theorem.
#
# The smallest example: an episode of two steps, two actions each time; action 1 earns 1, action 0
# nothing. Clearly action 1 is better, both times. Four episodes are possible; we list them all and
# take the exact average of the gradient, for the first and for the second choice. At first both
# actions are equally likely, and with respect to the logit of action 1, ∇log π(a) is a − ½.


# %%
def average_gradient(weigh, num_episodes=1):
    """E[(a_t − ½) Ψ_t] for t = 0, 1; `weigh` makes Ψ of the returns `[episode, t]`."""
    batches = list(itertools.product((0, 1), repeat=2 * num_episodes))
    total = np.zeros(2)
    for batch in batches:
        a = np.reshape(batch, (num_episodes, 2))  # the actions, which are the rewards as well
        to_go = np.stack([a[:, 0] + a[:, 1], a[:, 1]], 1)
        total += ((a - 0.5) * weigh(to_go)).mean(0) / len(batches)
    return total


def normalised(g):
    """(G − mean) / standard deviation, within the episode."""
    return (g - g.mean(1)) / (g.std(1) + 1e-8)


print("returns as they are:      ", average_gradient(lambda g: g))
print("normalised in the episode:", average_gradient(normalised).round(6))

# %% [markdown]
# Normalised, the second choice is never learned: its gradient is zero on average. If the first
# reward was 1, the second return is the smaller one and becomes −1; if it was 0, both returns are
# equal and become 0. What the second action itself earned makes no difference.
#
# With more episodes in a batch there are better ways. The mean of the *other* episodes does not
# depend on the actions that it judges (`LeaveOneOut()`). The mean of the whole batch depends on
# them a little, and less the more episodes there are. Here with two and with five:

# %%
print("mean of the other one:    ", average_gradient(lambda g: g - g[::-1].mean(1)[:, None], 2))
print("mean of both:             ", average_gradient(lambda g: g - g.mean(), 2))
print("mean of five:             ", average_gradient(lambda g: g - g.mean(), 5))

# %% [markdown]
# ## The film
#
# The first seed's policy, always with its more probable action.

# %%
mine = jax.tree.map(lambda x: np.asarray(x[0]), weights)
episode = play("CartPole-v1", lambda observation: int(policy(mine, observation).mode()), every=6)
print(f"return: {episode.episode_return:.0f}")
film("reinforce_from_scratch-film", episode.frames)
