"""Environments of `python -m benchmarks.defaults` that no library has: two with observations of
several parts, one with an image. Plain Gymnasium code, as users write it.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Errand(gymnasium.Env):
    """Walk to a goal in the plane with two actions of three choices each. In a third of the
    episodes the two are swapped, in a third they are reversed, and the observation says which."""

    observation_space = spaces.Dict(
        place=spaces.Box(-5, 5, (2,), np.float32),
        goal=spaces.Box(-5, 5, (2,), np.float32),
        kind=spaces.Discrete(3),
    )
    action_space = spaces.MultiDiscrete([3, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.uniform(-4, 4, (2, 2))
        self.kind = int(self.np_random.integers(3))
        return self.seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        push = (np.asarray(action) - 1) * 0.5
        push = (push, push[::-1], -push)[self.kind]
        self.place = np.clip(self.place + push, -5, 5)
        distance = float(np.abs(self.place - self.goal).sum())
        arrived = distance < 0.6
        return self.seen(), 10.0 if arrived else -0.1 * distance, arrived, False, {}

    def seen(self) -> dict[str, Any]:
        place, goal = self.place.astype(np.float32), self.goal.astype(np.float32)
        return {"place": place, "goal": goal, "kind": self.kind}


class Oven(gymnasium.Env):
    """Hold a drifting temperature at a target, by heating and cooling. Observations and rewards are
    hundreds of degrees, not normalised, as in a real oven."""

    observation_space = spaces.Dict(
        temperature=spaces.Box(0, 1000, (1,), np.float32),
        target=spaces.Box(0, 1000, (1,), np.float32),
        last=spaces.Box(-1, 1, (2,), np.float32),
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.temperature = self.np_random.uniform(200, 800)
        self.target = self.np_random.uniform(300, 700)
        self.drift, self.last = 0.0, np.zeros(2, np.float32)
        return self.seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        heat, cold = np.clip(action, -1, 1)
        self.last = np.array([heat, cold], np.float32)
        self.drift = 0.8 * self.drift + 15 * (heat - 0.5 * cold) + self.np_random.normal(0, 3)
        self.temperature = float(np.clip(self.temperature + self.drift, 0, 1000))
        cost = abs(self.temperature - self.target) + 20 * (heat**2 + cold**2)
        return self.seen(), -float(cost), False, False, {}

    def seen(self) -> dict[str, Any]:
        temperature = np.array([self.temperature], np.float32)
        target = np.array([self.target], np.float32)
        return {"temperature": temperature, "target": target, "last": self.last}


class Bricks(gymnasium.Env):
    """A ball, a paddle and three rows of bricks on 10 × 10 cells, as an image of four planes of
    bytes: paddle, ball, the ball's previous cell, bricks. The reward is 1 for each brick; a missed
    ball ends the episode."""

    observation_space = spaces.Box(0, 255, (10, 10, 4), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        left = bool(self.np_random.integers(2))
        self.ball, self.move = np.array([3, 0 if left else 9]), np.array([1, 1 if left else -1])
        self.was, self.paddle = self.ball.copy(), 4
        self.bricks = np.zeros((10, 10), bool)
        self.bricks[1:4] = True
        return self.seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.paddle = int(np.clip(self.paddle + (int(action) - 1), 0, 9))
        self.was = self.ball.copy()
        to = self.ball + self.move
        if not 0 <= to[1] <= 9:
            self.move[1] *= -1
            to[1] = np.clip(to[1], 0, 9)
        reward, lost = 0.0, False
        if to[0] < 0:
            self.move[0], to[0] = 1, 0
        elif self.bricks[to[0], to[1]]:
            reward, self.bricks[to[0], to[1]] = 1.0, False
            self.move[0] *= -1
            to[0] = self.ball[0]
        elif to[0] == 9:
            if not self.bricks.any():
                self.bricks[1:4] = True
            lost = to[1] != self.paddle and self.ball[1] != self.paddle
            if not lost:
                self.move[0], to[0] = -1, self.ball[0]
        self.ball = to
        return self.seen(), reward, lost, False, {}

    def seen(self) -> np.ndarray:
        image = np.zeros((10, 10, 4), np.uint8)
        image[9, self.paddle, 0] = 255
        image[(*self.ball, 1)] = image[(*self.was, 2)] = 255
        image[..., 3] = 255 * self.bricks
        return image


gymnasium.register("Errand-v0", f"{__name__}:Errand", max_episode_steps=60)
gymnasium.register("Oven-v0", f"{__name__}:Oven", max_episode_steps=100)
gymnasium.register("Bricks-v0", f"{__name__}:Bricks", max_episode_steps=1000)
