# %% [markdown]
# # From REINFORCE to PPO, step by step
#
# Seven algorithms on CartPole-v1, each one change away from the one before. In Uphill an algorithm
# *is* a list of parts, so each step is a line: what is changed, why, and what it costs.

# %%
from dataclasses import replace

import uphill
from uphill import parts
from uphill.views.notebook import curves, film, of_run, play

STEPS = 60_000  # of each seed; 500_000 to see where each ends
SEEDS = 6

# %% [markdown]
# ## 1. The theorem as it stands
#
# Play some episodes; make each action more probable in proportion to the return of the whole
# episode, $R$: the mean of $\sum_t \nabla \log \pi(a_t \mid s_t)\, R$ over episodes.

# %%
steps = {}
steps["1 whole return"] = uphill.reinforce(
    sampling=parts.Episodes(num_envs=8),
    estimator=parts.TotalReturn(gamma=0.99),
    baseline=parts.NoBaseline(),
    optimizer=parts.Adam(learning_rate=3e-3, max_grad_norm=None),
)

# %% [markdown]
# ## 2. Reward-to-go
#
# An action can't change what came before it. Leave that out: $G_t = \sum_{k \ge t} \gamma^{k-t}
# r_k$ instead of $R$. What is left out was noise with mean zero, so without a discount the estimate
# stays unbiased. With one, this version counts late steps as much as early ones: strictly it is not
# the gradient of the discounted return, and nearly always what one wants.

# %%
steps["2 reward-to-go"] = replace(steps["1 whole return"], estimator=parts.RewardToGo(gamma=0.99))

# %% [markdown]
# ## 3. A baseline
#
# In CartPole every reward is positive, so up to here every action that is tried becomes more
# probable, the bad ones only a little less so. Subtract the expected return, a learned $V(s_t)$,
# and bad actions become less probable. It costs a second network.

# %%
own = parts.Adam(learning_rate=1e-2)
steps["3 baseline V(s)"] = replace(
    steps["2 reward-to-go"], baseline=parts.ValueFunction(optimizer=own, num_steps=10)
)

# %% [markdown]
# ## 4. Generalised advantage estimation
#
# A return contains the luck of everything that follows. The λ-return trusts $V$ more, the further
# away a reward is:
#
# $$ A_t = \sum_{k \ge 0} (\gamma\lambda)^k\, \delta_{t+k}, \qquad
#    \delta_t = r_t + \gamma V(s_{t+1}) - V(s_t) . $$
#
# λ = 1 is step 3 again, except for episodes that ran out of time, which now count as unfinished.
# Below 1 there is *less* noise and *more* bias, because $V$ is not exact: a trade-off, not a free
# gain.

# %%
steps["4 GAE"] = replace(steps["3 baseline V(s)"], estimator=parts.GAE(gamma=0.99, lam=0.95))

# %% [markdown]
# ## 5. Short windows
#
# $V$ can stand for whatever is still to come, so there is no need to wait for the end of an
# episode. Take 32 steps of 8 environments and update at once: many more updates from as many steps.
# The mean is now over steps, since a window has no fixed number of episodes.

# %%
steps["5 windows"] = replace(
    steps["4 GAE"], sampling=parts.Steps(num_envs=8, num_steps=32), mean_over="steps"
)

# %% [markdown]
# ## 6. The clipped ratio
#
# So far every batch served one step and was thrown away, since the next step would need samples of
# the *new* policy. The ratio $\rho = \pi(a \mid s) / \pi_{\text{old}}(a \mid s)$ corrects for that,
# as long as the policies are close. PPO maximises
#
# $$ \min\big(\rho A,\; \operatorname{clip}(\rho, 1 - \epsilon, 1 + \epsilon)\, A\big) , $$
#
# which gains nothing from moving further than $\epsilon$. Now a batch is used for ten epochs. (Ten
# epochs with the plain score function would be wrong, and Uphill refuses them with an error.)
# Usually, advantages are also shifted and scaled to mean 0 and standard deviation 1 in each batch.

# %%
steps["6 clipped ratio"] = replace(
    steps["5 windows"],
    surrogate=parts.ClippedRatio(epsilon=0.2),
    num_epochs=10,
    scale_advantages="batch",
)
try:
    replace(steps["5 windows"], num_epochs=10)
except uphill.UphillError as error:
    print(error)

# %% [markdown]
# ## 7. Schedules
#
# Long steps learn fast, short ones keep what was learned. Let the learning rate and $\epsilon$ fall
# to zero, and let the learning rate start three times as high. With gradients clipped to a norm of
# 0.5, as is `Adam`'s default, this is PPO, whose value function learns separately here.

# %%
steps["7 schedules"] = replace(
    steps["6 clipped ratio"],
    surrogate=parts.ClippedRatio(epsilon="linear:0.2:0"),
    optimizer=parts.Adam(learning_rate="linear:1e-2:0"),
)

# %% [markdown]
# ## Seven learning curves
#
# Lines are interquartile means over seeds, bands their 95 % intervals. In two pictures, to keep
# them readable; the fourth step is in both.

# %%
runs = {
    name: uphill.train("CartPole-v1", algorithm, seeds=SEEDS, steps=STEPS, episodes=32, quiet=True)
    for name, algorithm in steps.items()
}
names = list(runs)
colors = {name: f"C{k}" for k, name in enumerate(names)}
for half, shown in (("first", names[:4]), ("second", names[3:])):
    lines = {name: of_run(runs[name]) for name in shown}
    curves(f"step_by_step-{half}", lines, threshold=475, colors=colors)

# %% [markdown]
# And what the final policies do, always taking their more probable action. Where intervals overlap,
# so few seeds can't say which is better; a single one would have told a story of its own.


# %%
def show_scores(runs: dict[str, uphill.Run]) -> None:
    """Returns of the final policies, and how good the last gradients were."""
    print(f"{'':24} return   95 % interval   signal to noise")
    for name, run in runs.items():
        result = run.evaluation["deterministic"]
        low, high = result["ci95"]
        _, snr = of_run(run, "gradient/snr")  # at 200 places, once it was measured at all
        at_last = f"{snr[:, -40:].mean():.1f}" if snr.size else "–"
        print(f"{name:24} {result['iqm']:6.0f}  {f'{low:.0f} to {high:.0f}':>14} {at_last:>12}")


show_scores(runs)

# %% [markdown]
# ## Why the fifth step is no better than the fourth
#
# The last column is $\lVert \mathbb E g \rVert^2 / \operatorname{tr} \operatorname{Cov}(g)$ over
# the last fifth of the training: below 1, a gradient is more noise than signal. A window of 8 × 32
# steps is a fifth of what eight episodes were, so there are five times as many updates, and each
# sees a fifth as much: once the pole hardly ever falls, most windows hold no fall at all. Adam's
# steps are as long for a bad gradient as for a good one, so the policy is shaken where it should
# settle.
#
# If that is why, then longer windows fix it, and so does a learning rate that falls, with the very
# same short windows. Both can be tried:

# %%
short = steps["5 windows"]
tried = {
    "5 with longer windows": replace(short, sampling=parts.Steps(num_envs=8, num_steps=128)),
    "5 with a falling rate": replace(
        short, optimizer=parts.Adam(learning_rate="linear:3e-3:0", max_grad_norm=None)
    ),
}
why = {
    name: uphill.train("CartPole-v1", algorithm, seeds=SEEDS, steps=STEPS, episodes=32, quiet=True)
    for name, algorithm in tried.items()
}
show_scores({name: runs[name] for name in ("4 GAE", "5 windows")} | why)

# %% [markdown]
# ## Results
#
# - What cost nothing brought most: leaving out of the return what an action can't have changed
#   (step 2), and what was to be expected anyway (step 3). Both only take noise away.
# - GAE and short windows are trades. Windows buy more updates from as many steps, and pay with
#   noisier gradients: worth it where episodes are long, or where a batch is used more than once.
# - That is what the clipped ratio is for (step 6). And schedules (step 7) end the shaking.
# - CartPole is small: from step 3 on every algorithm can solve it, and the order in which they do
#   says little about other tasks. What a step does to the noise, and what it assumes, stays true.
#
# A film of the last one's best seed:

# %%
last = runs["7 schedules"]
episode = play("CartPole-v1", last.policy_of(last.best_seed_index).act, every=6)
print(f"return: {episode.episode_return:.0f}")
film("step_by_step-film", episode.frames)
