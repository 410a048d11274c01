# %% [markdown]
# # A car learns to drive
#
# A car drives round a closed track and can't stop. Ten times a second it sees six numbers, five
# distances to the walls and its own speed, and chooses one of four actions: left by 10°, right by
# 10°, slower, faster. Nobody shows it how to drive. After each step its reward is the part of a lap
# that it has gained, times 100, minus a little for the time; a crash costs 20 and ends the episode.
#
# REINFORCE is enough to learn from that.

# %%
import jax
import numpy as np

import uphill
from uphill import Trainer
from uphill.envs.make import choose
from uphill.learning.learner import take
from uphill.parts import Adam, Episodes
from uphill.policies.trained import TrainedPolicy
from uphill.theory.returns import reward_to_go
from uphill.views.notebook import curves, film, play

UPDATES = 40  # 80 and more give drivers that hurry
SEEDS = 4  # 10 for an interval to rely on

# %% [markdown]
# ## What an action was worth
#
# A race gives rewards $r_0, r_1, \dots$ The **return** of step $t$ is what came after it, where a
# reward $k$ steps ahead counts $\gamma^k$:
#
# $$ G_t = r_t + \gamma\, r_{t+1} + \gamma^2 r_{t+2} + \dots $$
#
# Three steps that gain one point each, and then a crash. The crash casts its shadow backwards: the
# last action gets all of it, earlier ones a little less each.

# %%
rewards = np.array([[1.0], [1.0], [1.0], [-20.0]])  # 4 steps of 1 car
ended = np.array([[False], [False], [False], [True]])
print(*(f"{g:.1f}" for g in reward_to_go(rewards, ended, gamma=0.9)[:, 0]))

# %% [markdown]
# ## What to change
#
# The policy $\pi_\theta(a \mid s)$ is a small network that gives each action a probability.
# REINFORCE makes an action more probable if what followed was good, and less if it was bad:
#
# $$ \theta \leftarrow \theta + \alpha \,
#    \frac{1}{n} \sum_{\text{episodes}} \sum_t \nabla_\theta \log \pi_\theta(a_t \mid s_t)\,
#    (G_t - b) $$
#
# Here $b$ is the mean return of all steps of the batch: better than usual is good, worse than usual
# is bad. With $b = 0$ (`baseline=NoBaseline()`) it also learns, but with more noise. An episode
# alone says little, so 64 cars drive at once and each update takes the mean over their episodes.

# %%
NUM_CARS = 64
algorithm = uphill.reinforce(
    sampling=Episodes(num_envs=NUM_CARS),
    optimizer=Adam(learning_rate=1e-2, max_grad_norm=None),
)

# %% [markdown]
# ## Training
#
# `uphill.train` would do it in a line. Here we write the loop ourselves, since we want to keep a
# driver from every fifth update. Race, policy and learner are one compiled program, and all seeds
# learn at once.


# %%
def driver_of(state):
    """The policy of the first seed, as a function that acts."""
    return TrainedPolicy(take(jax.device_get(state.learners), 0).actor)


world = choose("CarRace-v0")
trainer = Trainer(world, algorithm, seeds=tuple(range(SEEDS)), num_steps=10**9)
state = trainer.start()
drivers, returns = [driver_of(state)], []
for _ in range(UPDATES // 5):
    state, rows = trainer.advance(state, 5)
    returns.append(rows["return_sum"] / rows["num_episodes"])
    drivers.append(driver_of(state))

# %% [markdown]
# A lap without a crash earns 80 at least, and nothing else does. The line is the interquartile mean
# over seeds (the mean of the middle half), the band its 95 % interval: how far the line could move
# if we had drawn other seeds. Where it dips, a step was too long and a good driver was lost for a
# while; a learning rate that falls to zero (`learning_rate="linear:1e-2:0"`) keeps what was
# learned.

# %%
by_seed = np.concatenate(returns).T  # [SEEDS, updates]
episodes = NUM_CARS * np.arange(1, by_seed.shape[1] + 1)
curves(
    "car_race-curve",
    {"REINFORCE": (episodes, by_seed)},
    xlabel="episodes of each seed",
    threshold=80,
)

# %% [markdown]
# ## Milestones
#
# Every driver that we kept from the first seed takes the wheel, on the track with a hairpin, and
# always takes its most probable action. Which is the first to get through the first curve, to drive
# half a lap, and a whole one?


# %%
def lap(driver: TrainedPolicy, track: str, every: int | None = None):
    """One race."""
    return play("CarRace-v0", driver.act, every=every, track=track)


reached = {}
for k, driver in enumerate(drivers):
    info = lap(driver, "hairpin").info
    for milestone in ("first_curve", "long_run", "full_lap"):
        if info[milestone]:
            reached.setdefault(milestone, k)
    print(f"after {5 * k * NUM_CARS:5} episodes: {info['progress']:4.0%} of a lap")
print({milestone: f"{5 * k * NUM_CARS} episodes" for milestone, k in reached.items()})

# %% [markdown]
# ## The film
#
# The untrained driver, the one of the first long run, and the last. Then the last one again, on a
# track that none of them has ever driven.

# %%
cast = [0, reached.get("long_run", len(drivers) // 2), len(drivers) - 1]
frames = [frame for k in cast for frame in lap(drivers[k], "hairpin", every=5).frames]
unseen = lap(drivers[-1], "test", every=5)
print(f"on the unseen track: {unseen.info['progress']:.0%} of a lap")
film("car_race-film", frames + unseen.frames)

# %% [markdown]
# On the command line this is
#
#     uphill train CarRace-v0 --algo reinforce --seeds 4 --envs 64 --optimizer.learning-rate 1e-2 \
#         --baseline batch-mean --no-normalize-observations --no-normalize-returns
