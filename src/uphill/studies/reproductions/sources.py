"""Five tutorials on policy gradients, as data: what each does and claims, and what is done here.

Each method is a composition of the same parts as any other algorithm. What was wrong is fixed, what
belongs to the method is kept, what is not given is chosen; each is noted in a sentence.
"""

from dataclasses import dataclass, field
from typing import Any

from uphill.errors import UphillError
from uphill.parts import (
    SGD,
    Adam,
    Algorithm,
    Episodes,
    NoBaseline,
    Replay,
    RewardToGo,
    Steps,
    ValueFunction,
)
from uphill.parts.algorithms import reinforce, vpg
from uphill.policies.policy import NetworkSettings, PolicySettings


@dataclass(frozen=True)
class SourceStudy:
    """A source's method with its settings, on one environment."""

    env: str
    algorithm: Algorithm
    steps: int
    """for each seed"""
    budget: str
    """how long the source trains, and how `steps` stand for that"""
    claim: str
    label: str = ""
    """what tells it from the source's other studies of the same environment"""
    seeds: int = 10
    window: int = 100
    """training episodes whose mean has to reach the threshold"""
    shares: dict[str, dict[str, Any]] = field(default_factory=dict)
    """keyword arguments of the environment, by a name, under which the share of evaluation
    episodes that reach the threshold is reported as well"""


@dataclass(frozen=True)
class Source:
    """A tutorial: its studies, and what is different here."""

    name: str
    about: str
    studies: tuple[SourceStudy, ...]
    mended: tuple[str, ...]
    """faults that are not repeated"""
    kept: tuple[str, ...]
    """what is wrong, or suboptimal, but belongs to the source's method"""
    chosen: tuple[str, ...]
    """what the source leaves open, or can't be the same here"""

    @property
    def envs(self) -> tuple[str, ...]:
        """The environments, each once."""
        return tuple(dict.fromkeys(study.env for study in self.studies))


def _adam(learning_rate: float) -> Adam:
    """PyTorch's Adam with its defaults, which all of the sources use that use Adam."""
    return Adam(learning_rate=learning_rate, max_grad_norm=None, eps=1e-8)


def _relu(*hidden: int) -> PolicySettings:
    return PolicySettings(hidden=hidden, activation="relu")


_WEIGHTS = "Networks start from orthogonal weights here, not from PyTorch's uniform ones."

# --- 000: a lesson with a racing car --------------------------------------------------------------

_CAR_RACE = Source(
    name="car-race",
    about="REINFORCE without a baseline drives a car round a track by its radars",
    studies=(
        SourceStudy(
            env="CarRace-v0",
            algorithm=reinforce(
                sampling=Episodes(num_envs=64),
                estimator=RewardToGo(gamma=0.9),
                baseline=NoBaseline(),
                optimizer=_adam(1e-2),
                policy=PolicySettings(hidden=(32, 32)),
            ),
            steps=300_000,
            budget="50 updates of an episode; 300,000 steps are about 30 updates of 64 episodes",
            claim="a film: the first curve, a long run, and at last a full lap within 50 episodes",
            window=64,
            shares={"training tracks": {}, "test track": {"track": "test"}},
        ),
    ),
    mended=(
        "The printed training loop never stores its rewards, so it would learn from an empty list.",
        "The car's speed decides what an action does but is not shown to the policy: here it is "
        "the sixth number of the observation.",
        "The reward adds up the whole distance again at every frame: here it is the part of a lap "
        "gained in the step.",
        "Nothing counts laps: here a lap ends the episode, and the threshold is one lap without a "
        "crash.",
        "Speed has no ceiling, so that a fast car jumps through walls: here it has one.",
    ),
    kept=("Every action is weighed by the discounted return after it, without any baseline.",),
    chosen=(
        "Optimiser, learning rate, γ and network are not given: Adam 1e-2, two hidden layers of 32 "
        "tanh units, and γ = 0.9, found on other seeds (with γ = 0.99 some never lap).",
        "An update takes 64 episodes, where the lesson takes one; their gradients are averaged.",
        "Each episode is on one of four tracks; a fifth one is never trained on.",
        "A lap is sure to have been driven once the mean return of an update's episodes reaches "
        "the threshold: that is what is reported, and the first single lap comes earlier.",
    ),
)

# --- 001: the policy gradient theorem -------------------------------------------------------------

_THEOREM_MENDED = (
    "The log-derivative identity is misprinted: it is ∇f = f ∇ log f.",
    "Ψ = V(s) is given as a form of the gradient, but E[∇ log π(a|s) V(s)] = 0: it is left out.",
    "Copies of one environment share its random numbers: here each has a stream of its own.",
    "The return is estimated as all rewards over the number of ends, unfinished episodes included: "
    "here as the mean of whole episodes.",
)
_THEOREM_KEPT = (
    "A window's last reward is taken as the return of an episode that the window cuts.",
    "An episode that runs out of time counts as ended: without a value function nothing else is "
    "known of it.",
)
_THEOREM_CHOSEN = (
    _WEIGHTS,
    "float32 instead of float64.",
    "Episodes go on from one window into the next, where the source resets all environments; the "
    "step in which an environment is reset is no transition, so windows hold a few less.",
)

_CARTPOLE_LINEAR = Source(
    name="cartpole-linear",
    about="REINFORCE with a linear policy on 32 environments at once",
    studies=(
        SourceStudy(
            env="CartPole-v0",
            algorithm=reinforce(
                sampling=Steps(num_envs=32, num_steps=1000),
                baseline=NoBaseline(),
                optimizer=_adam(0.1),
                policy=PolicySettings(hidden=()),
                mean_over="steps",
            ),
            steps=3_200_000,
            budget="100 updates of 32 environments × 1,000 steps: 3.2 M steps",
            claim="a learning curve, no figure; that a linear policy is enough",
            seeds=32,
        ),
    ),
    mended=_THEOREM_MENDED,
    kept=_THEOREM_KEPT,
    chosen=_THEOREM_CHOSEN,
)

_SWING_UP = Source(
    name="swing-up",
    about="REINFORCE with a Gaussian policy on 256 environments at once",
    studies=(
        SourceStudy(
            env="CartPoleSwingUp-v0",
            algorithm=reinforce(
                sampling=Steps(num_envs=256, num_steps=1000),
                estimator=RewardToGo(gamma=0.999),
                baseline=NoBaseline(),
                optimizer=_adam(1e-2),
                policy=PolicySettings(hidden=(64, 64), activation="relu", initial_log_std=1.0),
                mean_over="steps",
            ),
            steps=5_000_000,
            budget="20 updates of 256 × 1,000 steps, 5.12 M; resets left out, 5 M steps take 20",
            claim="a learning curve, no figure; a decent policy, and that more would do better",
        ),
    ),
    mended=(*_THEOREM_MENDED, "σ is given as a variance: here it is the standard deviation."),
    kept=_THEOREM_KEPT,
    chosen=(
        *_THEOREM_CHOSEN,
        "The package that has the environment is no longer maintained: the world is written from "
        "its equations.",
    ),
)

# --- 002: REINFORCE from scratch ------------------------------------------------------------------

_WITHIN_EPISODE = (
    "Returns are shifted and scaled within the one episode of an update. That is biased: an "
    "episode's mean is no baseline for its early and late steps alike, and even a perfect episode "
    "makes some of its own actions less likely. Several episodes an update, with a baseline that "
    "they share, do better, and so does the preset."
)


def _one_episode(hidden: int) -> Algorithm:
    """One episode an update, its returns normalised within it."""
    return reinforce(
        sampling=Episodes(num_envs=1),
        baseline=NoBaseline(),
        optimizer=_adam(1e-2),
        policy=_relu(hidden),
        scale_advantages="batch",
    )


_FROM_SCRATCH = Source(
    name="from-scratch",
    about="REINFORCE with 16 hidden units, an update after every episode",
    studies=tuple(
        SourceStudy(
            env=env,
            algorithm=_one_episode(16),
            steps=steps,
            budget=f"not given; {steps:,} steps are at least {episodes:,} episodes",
            claim="a film of the trained policy, no figure",
            window=1,
        )
        for env, steps, episodes in (
            ("CartPole-v1", 500_000, 1000),
            ("Acrobot-v1", 500_000, 1000),
            ("LunarLander-v3", 900_000, 900),
        )
    ),
    mended=(
        "One training episode above the threshold is called solved: here it is the mean of 100 "
        "episodes of the final policy, for each seed.",
        "The film shows sampled actions: here the most probable ones are evaluated.",
    ),
    kept=(_WITHIN_EPISODE,),
    chosen=(
        _WEIGHTS,
        "How many episodes to train for is not given: as many steps as 1,000 episodes of 500 steps "
        "have, and for LunarLander-v3 900 of 1,000.",
    ),
)

# --- 003: vanilla policy gradient -----------------------------------------------------------------


def _with_memory(policy_rate: float, value_rate: float) -> Algorithm:
    """V learns TD targets from a memory, one batch of 256 after every episode."""
    return vpg(
        sampling=Episodes(num_envs=1),
        policy=_relu(64),
        baseline=ValueFunction(
            network=NetworkSettings(hidden=(64,), activation="relu"),
            targets="td",
            optimizer=SGD(learning_rate=value_rate),
            replay=Replay(capacity=2000, num_samples=256),
        ),
        optimizer=SGD(learning_rate=policy_rate),
    )


_VPG = Source(
    name="vpg",
    about="a value function as the baseline, learned from a memory of transitions",
    studies=(
        SourceStudy(
            env="CartPole-v1",
            label="its rates",
            algorithm=_with_memory(2e-7, 2e-7),
            steps=110_000,
            budget="5,000 episodes; of 22 steps, which is what an untrained policy lasts, 110,000",
            claim="a curve over 4,000 episodes, no figure; a film of a balanced pole",
        ),
        SourceStudy(
            env="CartPole-v1",
            label="rates that work",
            algorithm=_with_memory(3e-5, 3e-2),
            steps=500_000,
            budget="5,000 episodes; 500,000 steps are at least 1,000",
            claim="the same",
        ),
    ),
    mended=(
        "Returns (T) less values (T, 1) make a table (T, T): here one advantage a step.",
        "The discount's exponent counts from the episode's start: the return from step t on is too "
        "small by γ^t, and V, which is not, is subtracted from it.",
        "V learns at the wrong state, the one after the reward that its target counts.",
        "V of the state after a fall counts in the target, as if the episode went on.",
        "In the text, the gradient of the dynamics is 1 (it is 0: they don't depend on the policy) "
        "and policies need not be differentiable (log π must be).",
    ),
    kept=(
        "V is fitted off-policy, to r + γ V(s′) on 256 transitions from the last 2,000, one step "
        "after each episode; with so little of it, V lags behind the policy.",
    ),
    chosen=(
        _WEIGHTS,
        "γ is not given: 0.99.",
        "Our squared error has a ½, so the value's rate of 1e-7 is 2e-7 here.",
        "A batch is drawn with replacement.",
        "With the faults fixed, 2e-7 and 1e-7 leave the policy as random as it was: the method is "
        "run again with rates that work, found on other seeds: 3e-5 for the policy, 3e-2 for V.",
    ),
)

# --- 004: step by step ----------------------------------------------------------------------------

_STEP_BY_STEP = Source(
    name="step-by-step",
    about="REINFORCE with 128 hidden units, an update after every episode",
    studies=(
        SourceStudy(
            env="CartPole-v1",
            algorithm=_one_episode(128),
            steps=500_000,
            budget="1,000 episodes at most, of at most 500 steps: 500,000",
            claim="perhaps solved (475 over 50 episodes) within a few hundred episodes",
            window=50,
        ),
    ),
    mended=(
        "The seeds given leave the environment's own random numbers free: here a run repeats bit "
        "for bit.",
        "GAE is said to lower noise and bias: it lowers noise, and for λ < 1 adds bias.",
    ),
    kept=(_WITHIN_EPISODE,),
    chosen=(
        _WEIGHTS,
        "The source stops at a mean of 475 over 50 episodes: here that moment is reported, but "
        "training goes on to the end, and what is evaluated is the final policy.",
    ),
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (_CAR_RACE, _CARTPOLE_LINEAR, _SWING_UP, _FROM_SCRATCH, _VPG, _STEP_BY_STEP)
}


def find_source(name: str) -> Source:
    """Raises:
    UphillError: if there is no source of that name.
    """
    if name not in SOURCES:
        raise UphillError(f"There is no reproduction {name!r}: use one of {', '.join(SOURCES)}.")
    return SOURCES[name]
