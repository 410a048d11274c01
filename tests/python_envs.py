"""Python environments for the tests: small, and each wrong, or old, in one way.

Importing this module registers some of them, as a user's module does.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Counting(gymnasium.Env):
    """The observation is (lane, episode, t): what was valued and what was counted can be read off.

    The lane is drawn from the seed. Episodes last `length` steps, then terminate.
    """

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(self, length=5):
        self.length = length
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.lane = seed % 997
        self.episode += 1
        self.t = 0
        return self._observation(), {}

    def step(self, action):
        self.t += 1
        return self._observation(), float(action), self.t >= self.length, False, {}

    def _observation(self):
        return np.array([self.lane, self.episode, self.t], np.float32)


class RandomLength(Counting):
    """Counting, with an episode length drawn anew for each episode."""

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed, options=options)
        self.length = int(self.np_random.integers(1, 9))
        return result


class Truncating(Counting):
    """Counting, that truncates every third episode after 12 steps, and declares no limit."""

    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        is_long = self.episode % 3 == 2
        return observation, reward, terminated and not is_long, is_long and self.t >= 12, info


class Endless(Counting):
    """Counting, that nothing ends; 1 for each step."""

    def step(self, action):
        observation, _, _, _, info = super().step(action)
        return observation, 1.0, False, False, info


class InPlace(Counting):
    """Counting, that writes every observation into the same array."""

    def __init__(self, length=5):
        super().__init__(length)
        self.buffer = np.zeros(3, np.float32)

    def _observation(self):
        self.buffer[:] = super()._observation()
        return self.buffer


class Noise(gymnasium.Env):
    """A random first observation: to tell seeds apart."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 1, (2,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(2), {}

    def step(self, action):
        return self.np_random.random(2), 1.0, bool(self.np_random.random() < 0.2), False, {}


class Faulty(Counting):
    """Counting, that at the third step of its first episode does what `fault` says."""

    def __init__(self, fault):
        super().__init__(length=10)
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        if self.fault == "raise in reset":
            raise OSError("the track is flooded")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if self.t != 3:
            return observation, reward, terminated, truncated, info
        match self.fault:
            case "raise":
                self._drive(action)
            case "raise from":
                try:
                    self._drive(action)
                except KeyError as error:
                    raise OSError("the engine broke") from error
            case "shape":
                observation = observation[:2]
            case "dtype":
                observation = observation + 1j
            case "nan observation":
                observation[1] = np.nan
            case "nan reward":
                reward = float("nan")
            case "inf reward":
                reward = float("-inf")
            case "no reward":
                reward = None
            case "five values":
                return observation, reward, terminated
        return observation, reward, terminated, truncated, info

    def _drive(self, action):
        return {}["wheel"]


class Fatal(Counting):
    """Counting, whose process comes to a bad end at the second step of an episode, as `end` says;
    or before."""

    def __init__(self, end, episode=0):
        super().__init__(length=2 if end == "hang in reset" else 10)
        if end == "raise" and multiprocessing.parent_process() is not None:
            raise ConnectionRefusedError("no licence here")
        if end == "noise" and multiprocessing.parent_process() is None:
            end = "none"
        self.end, self.last = end, episode

    def reset(self, *, seed=None, options=None):
        if self.end == "hang in reset" and self.episode >= 0:
            time.sleep(3600)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        match self.end:
            case "exit" if self.t == 1 and self.episode == self.last:
                os._exit(9)
            case "SIGSEGV" | "SIGKILL" if self.t == 1:
                os.kill(os.getpid(), getattr(signal, self.end))
            case "hang" if self.t == 1:
                self._wait_for_the_simulator()
            case "noise":
                sys.stdout.write(1_000_000 * "x")
                threading.Thread(target=time.sleep, args=(3600,)).start()
        return super().step(action)

    def _wait_for_the_simulator(self):
        while True:
            time.sleep(3600)


class Mended(Counting):
    """Fatal, without its end."""

    def __init__(self, end, episode):
        super().__init__(length=10)


class OldGym:
    """The old Gym's signatures, and no base class: 4-value step, bare reset, `seed()`."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 1, (2,), np.float32)

    def __init__(self, end=1000):
        self.end = end
        self.random = np.random.RandomState(0)

    def seed(self, seed=None):
        self.random = np.random.RandomState(seed)
        return [seed]

    def reset(self):
        self.t = 0
        return self.random.rand(2).astype(np.float32)

    def step(self, action):
        self.t += 1
        return self.random.rand(2).astype(np.float32), 1.0, self.t >= self.end, {}


class OldGymnasium(gymnasium.Env):
    """The old signatures in an environment that inherits from today's class."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 1, (2,), np.float32)

    def reset(self):
        self.t = 0
        return self.np_random.random(2, np.float32)

    def step(self, action):
        self.t += 1
        return self.np_random.random(2, np.float32), 1.0, False, {}


class SeedOnly(Noise):
    """Today's signatures, but `reset` has no `options`."""

    def reset(self, seed=None):
        return super().reset(seed=seed)


class AnyKeywords(Noise):
    """`reset(**keywords)`, as many a hand-written environment has it."""

    def reset(self, **keywords):
        return super().reset(**keywords)


class Continuous(Noise):
    """Noise that takes a vector of two, and refuses anything else."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def step(self, action):
        assert action.shape == (2,)
        return super().step(0)


class Corners(gymnasium.ActionWrapper):
    """Two actions for `Continuous`: what the wrapper is given, the environment would refuse."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = spaces.Discrete(2)

    def action(self, action):
        return np.full(2, 2 * action - 1, np.float32)


class Clock(Counting):
    """The observation is a clock in milliseconds, and a number that never changes."""

    observation_space = spaces.Box(0, 2**63 - 1, (2,), np.int64)
    started = 1_700_000_000_000

    def _observation(self):
        return np.array([self.started + self.t, 3_000_000_000])


class Bank(gymnasium.Env):
    """Whole amounts up to 10¹²; what was paid is kept."""

    action_space = spaces.Box(0, 10**12, (1,), np.int64)
    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, paid=None):
        self.paid = paid if paid is not None else []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        self.paid.append(action)
        return np.zeros(1, np.float32), 0.0, self.t >= 4, False, {}


class Speaking(gymnasium.Env):
    """Numbers and texts; it begins where the options of `reset` say."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        {
            "place": spaces.Box(-1, 100, (1,), np.float32),
            "mission": spaces.Text(20),
            "more": spaces.Dict({"name": spaces.Text(5), "t": spaces.Box(0, 9, (1,), np.float32)}),
        }
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.start = 0, (options or {"start": 0}).pop("start")
        return self._observation(), {}

    def step(self, action):
        self.t += 1
        return self._observation(), 1.0, self.t >= 3, False, {}

    def _observation(self):
        more = {"name": "me", "t": np.array([self.t], np.float32)}
        place = np.array([self.start + self.t], np.float32)
        return {"place": place, "mission": "go home", "more": more}


class Doubled(gymnasium.RewardWrapper):
    """Rewards times a factor."""

    def __init__(self, env, factor=2, *, offset=0):
        super().__init__(env)
        self.factor = factor
        self.offset = offset

    def reward(self, reward):
        return self.factor * reward + self.offset


def nothing(env):
    """A wrapper that forgot to return."""


def limited():
    """A callable with `gym.make` inside."""
    return gymnasium.make("UphillTestLimited-v0")


def limited_by_hand():
    return gymnasium.wrappers.TimeLimit(Counting(1000), 4)


def wrapped_old():
    """The old signatures below a wrapper of today's."""
    return gymnasium.wrappers.TimeLimit(OldGymnasium(), 4)


def register():
    make = gymnasium.register
    make("UphillTestCounting-v0", Counting, max_episode_steps=50)
    make("UphillTestLimited-v0", "python_envs:Counting", 3.5, max_episode_steps=7)
    make("UphillTestFaulty-v0", "python_envs:Faulty", max_episode_steps=50)
    make("UphillTestFatal-v0", "python_envs:Fatal")
    make("UphillTestOld-v0", "python_envs:OldGym", 9.0, max_episode_steps=6)
    make("UphillTestOldGymnasium-v0", "python_envs:OldGymnasium", max_episode_steps=6)


if "UphillTestCounting-v0" not in gymnasium.registry:
    register()
