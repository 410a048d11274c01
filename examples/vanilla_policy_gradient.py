# %% [markdown]
# # A value function as the baseline
#
# Policy gradients weight each action by how much better things went than expected. But what was
# expected? A mean over episodes is a poor answer: a pole that is already falling will earn little,
# whatever one does now. A better one depends on the state, the **value function**
#
# $$ V(s) = \mathbb{E}[\,G_t \mid s_t = s\,], \qquad A_t = G_t - V(s_t) . $$
#
# The policy gradient with a learned $V$ is the vanilla policy gradient, `uphill.vpg()`. This
# notebook asks how $V$ is learned, and how one sees whether it is any good.

# %%
import jax.numpy as jnp
import numpy as np

import uphill
from uphill.parts import Adam, Episodes, NoBaseline, Replay, ValueFunction
from uphill.theory.returns import one_step_return, reward_to_go
from uphill.views.notebook import curves, film, of_run, play

STEPS = 100_000  # of each seed; 500_000 to solve CartPole-v1 with each
SEEDS = 6
ENVS = 8  # episodes of each update

# %% [markdown]
# ## Two things to learn from
#
# **Monte Carlo**: after the episode the return $G_t$ is known; fit $V(s_t)$ to it. Right on
# average, and noisy, since it contains the luck of all that followed.
#
# **Temporal difference (TD)**: look one step ahead only, and trust $V$ for the rest,
#
# $$ y_t = r_t + \gamma\, V(s_{t+1}) . $$
#
# Less noise, but wrong as long as $V$ is. After a fall nothing is left to earn, so there the second
# term is missing. Here are both, for an episode of four steps that each earn 1, and a $V$ that
# knows nothing yet and says 10 everywhere:

# %%
reward = jnp.ones((4, 1))
fallen = jnp.array([[False], [False], [False], [True]])
says_ten, never = jnp.full((4, 1), 10.0), jnp.zeros((4, 1), bool)
monte_carlo = reward_to_go(reward, fallen, 0.99)
td = one_step_return(reward, fallen, never, says_ten, says_ten[0], 0.99)
print("Monte Carlo:", *(f"{y:6.2f}" for y in monte_carlo[:, 0]))
print("TD:         ", *(f"{y:6.2f}" for y in td[:, 0]))

# %% [markdown]
# Only the last TD target is right. It pulls $V$ of that state down, with that the target of the
# state before, and so on backwards: TD gets there, in more steps.
#
# ## A trap worth seeing once
#
# A network for $V$ easily returns a column where returns are a row. NumPy, JAX and PyTorch then
# subtract every value from every return, and say nothing:

# %%
g, v = np.arange(3.0), np.zeros((3, 1))
print((g - v).shape, "instead of", (g - v[:, 0]).shape)

# %% [markdown]
# (Uphill's tests run with shapes checked and rank promotion refused, so that this can't happen.)
#
# ## Four ways
#
# All with the same policy, learning rate and number of episodes per update. $V$ always learns
# *after* the policy's step: so what is subtracted from a return never depends on that return, and
# the gradient stays unbiased.
#
# The last two learn $V$ from a **memory** of the last 2,000 transitions, 256 at random for each
# step. That is more to learn from, but earlier policies made it: a TD target contains one step of
# such a policy, a Monte Carlo target the whole rest of its episode.


# %%
def algorithm(baseline):
    """The vanilla policy gradient, with another baseline."""
    return uphill.vpg(
        sampling=Episodes(num_envs=ENVS),
        baseline=baseline,
        optimizer=Adam(learning_rate=1e-2, max_grad_norm=None),
    )


own, memory = Adam(learning_rate=1e-2), Replay(capacity=2000, num_samples=256)
baselines = {
    "no baseline": NoBaseline(),
    "V, Monte Carlo": ValueFunction(targets="monte-carlo", optimizer=own, num_steps=10),
    "V, TD, memory": ValueFunction(targets="td", optimizer=own, num_steps=10, replay=memory),
    "V, Monte Carlo, memory": ValueFunction(
        targets="monte-carlo", optimizer=own, num_steps=10, replay=memory
    ),
}
runs = {
    name: uphill.train(
        "CartPole-v1", algorithm(baseline), seeds=SEEDS, steps=STEPS, episodes=32, quiet=True
    )
    for name, baseline in baselines.items()
}
curves(
    "vanilla_policy_gradient-returns",
    {name: of_run(run) for name, run in runs.items()},
    threshold=475,
)

# %% [markdown]
# ## Is $V$ any good?
#
# The **explained variance** compares what $V$ said with what then happened,
#
# $$ 1 - \frac{\operatorname{Var}(G - V)}{\operatorname{Var}(G)} , $$
#
# before $V$ learns from it: 1 if $V$ foresaw everything, 0 if it is no better than a constant, and
# below 0 if it is worse than that. It is the first thing to look at when a policy gradient with a
# value function does not learn, and each run's `metrics.csv` has it.

# %%
curves(
    "vanilla_policy_gradient-explained",
    {
        name: of_run(run, "value/explained_variance")
        for name, run in runs.items()
        if name != "no baseline"
    },
    ylabel="explained variance",
    ylim=(-1, 1),
)

# %% [markdown]
# Two things to bear in mind when reading it. It falls when the policy improves quickly, since $V$
# then describes a policy that is gone. And once every episode lasts 500 steps, the return depends
# on the time that is left, which CartPole's observation does not contain: no $V(s)$ can explain
# that.
#
# ## Results
#
# Deterministic returns of the final policies: the interquartile mean over seeds, and its 95 %
# interval. With so few steps and seeds the intervals are wide: where they overlap, this can't say
# which is better.

# %%
for name, run in runs.items():
    result = run.evaluation["deterministic"]
    low, high = result["ci95"]
    print(f"{name:24} {result['iqm']:5.0f}  [{low:.0f}, {high:.0f}]")

best = max(runs.values(), key=lambda run: run.evaluation["deterministic"]["iqm"])
episode = play("CartPole-v1", best.policy_of(best.best_seed_index).act, every=6)
print(f"return: {episode.episode_return:.0f}")
film("vanilla_policy_gradient-film", episode.frames)
