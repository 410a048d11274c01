"""A zoo: environments that are each wrong in one way, and one that is not."""

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Healthy(gymnasium.Env):
    """Walk on a line to a place that is seen. Its subclasses are wrong in one way each."""

    observation_space: gymnasium.Space = spaces.Box(-5, 5, (2,), np.float32)
    action_space: gymnasium.Space = spaces.Discrete(3)
    time_limit: int | None = 20

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.goal, self.place = self.random().uniform(-1, 1, 2)
        self.t = 0
        return self.observation(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.t += 1
        self.move(action)
        self.place = float(np.clip(self.place, -2, 2))
        return self.observation(), self.reward(action), self.is_there(), False, {}

    def random(self) -> Any:
        return self.np_random

    def move(self, action: Any) -> None:
        self.place += 0.1 * (int(action) - 1)

    def reward(self, action: Any) -> Any:
        return -abs(self.place - self.goal)

    def is_there(self) -> bool:
        return bool(abs(self.place - self.goal) < 0.05)

    def observation(self) -> Any:
        return np.array([self.place, self.goal], np.float32)


class RaisesInReset(Healthy):
    def observation(self) -> Any:
        raise OSError("the track is flooded")


class RaisesInStep(Healthy):
    def move(self, action: Any) -> None:
        if self.t == 3:
            raise OSError("the engine broke")


class RaisesAtAnExtreme(Healthy):
    """Only full throttle breaks it, which random play never gives."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def move(self, action: Any) -> None:
        if action[0] == 1:
            raise ZeroDivisionError
        self.place += 0.1 * action[0]


class Hangs(Healthy):
    def move(self, action: Any) -> None:
        try:
            time.sleep(3600)
        except Exception:  # as simulators' drivers do
            self.place = 0.0


class HangsComputing(Healthy):
    def move(self, action: Any) -> None:
        while True:
            pass


class Prints(Healthy):
    def move(self, action: Any) -> None:
        print("moving by", action)
        super().move(action)


class Exits(Healthy):
    def move(self, action: Any) -> None:
        raise SystemExit("no simulator")


class ThreeValues(Healthy):
    def step(self, action: Any) -> Any:
        return super().step(action)[:3]


class WrongShape(Healthy):
    def observation(self) -> Any:
        return super().observation()[:1]


class WrongStructure(Healthy):
    observation_space = spaces.Dict({"place": spaces.Box(-5, 5, (1,), np.float32)})

    def observation(self) -> Any:
        return {"position": np.zeros(1, np.float32)}


class WrongType(Healthy):
    def observation(self) -> Any:
        return super().observation().astype(np.float64)


class WrongKind(Healthy):
    """Fractions, where its space says whole numbers: training refuses them."""

    observation_space = spaces.Box(-5, 5, (2,), np.int64)


class NaNObservation(Healthy):
    def observation(self) -> Any:
        return super().observation() * (np.float32("nan") if self.t == 7 else 1)


class InfiniteReward(Healthy):
    def reward(self, action: Any) -> Any:
        return float("-inf") if self.t == 7 else super().reward(action)


class TextReward(Healthy):
    def reward(self, action: Any) -> Any:
        return "much"


class TwoEnds(Healthy):
    def is_there(self) -> Any:
        return np.array(2 * [super().is_there()])


class TextEnd(Healthy):
    def is_there(self) -> Any:
        return "no"


class CannotClose(Healthy):
    def close(self) -> None:
        raise OSError("the socket is closed")


class OutsideItsSpace(Healthy):
    observation_space = spaces.Box(-0.5, 0.5, (2,), np.float32)


class BoundlessActions(Healthy):
    action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def move(self, action: Any) -> None:
        self.place += 0.1 * float(np.clip(action[0], -1, 1))


class TextActions(Healthy):
    action_space = spaces.Dict({"say": spaces.Text(3)})

    def move(self, action: Any) -> None:
        super().move(len(action["say"]) % 3)


class Speaks(Healthy):
    observation_space = spaces.Text(5)

    def observation(self) -> Any:
        return "left"


class NoLicence(Healthy):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class NoSpaces(gymnasium.Env):
    """Not of the zoo: it can't even be made."""


class ForgetsItsGenerator(Healthy):
    """Repeats itself, but does not tell Gymnasium's own generator of the seed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        if seed is not None:
            self.own = np.random.default_rng(seed)
        self.goal, self.place = self.own.uniform(-1, 1, 2)
        self.t = 0
        return self.observation(), {}


class OldSignatures(Healthy):
    def reset(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().reset()[0]

    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class Endless(Healthy):
    time_limit = None

    def is_there(self) -> bool:
        return False


class NoTimeLimit(Healthy):
    time_limit = None


class TimeLimitAsTermination(Healthy):
    time_limit = None

    def is_there(self) -> bool:
        return self.t == 15


class BothFlags(Healthy):
    time_limit = None

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        observation, reward, _, _, info = super().step(action)
        return observation, reward, self.t == 15, self.t == 15, info


class UnseededReset(Healthy):
    def random(self) -> Any:
        return np.random.default_rng()


class UnseededStep(Healthy):
    def move(self, action: Any) -> None:
        super().move(action)
        self.place += np.random.default_rng().normal(0, 0.01)


class SeesNothing(Healthy):
    def observation(self) -> Any:
        return np.zeros(2, np.float32)


class DeadSensor(Healthy):
    observation_space = spaces.Dict(
        {"near": spaces.Box(-5, 5, (2,), np.float32), "far": spaces.Box(-5, 5, (3,), np.float32)}
    )

    def observation(self) -> Any:
        far = np.array([self.place**2, 3.5, self.goal**2], np.float32)
        return {"near": super().observation(), "far": far}


class DuplicateSensor(Healthy):
    observation_space = spaces.Box(-500, 500, (3,), np.float32)

    def observation(self) -> Any:
        in_other_units = np.float32(1 - 4 * self.place)
        return np.append(super().observation(), in_other_units)


class HugeObservation(Healthy):
    observation_space = spaces.Box(-1e9, 1e9, (2,), np.float32)

    def observation(self) -> Any:
        return 1e6 * super().observation()


class UnequalObservation(Healthy):
    observation_space = spaces.Box(-50, 50, (2,), np.float32)

    def observation(self) -> Any:
        return super().observation() * np.array([30, 1e-3], np.float32)


class Deaf(Healthy):
    """Random, and repeatable, whatever the action."""

    def move(self, action: Any) -> None:
        self.place += self.np_random.normal(0, 0.1)


class TwoActionsAlike(Healthy):
    def move(self, action: Any) -> None:
        super().move(min(action, 1))


class DeadThrottle(Healthy):
    action_space = spaces.Box(-1, 1, (3,), np.float32)

    def move(self, action: Any) -> None:
        self.place += 0.1 * action[0] - 0.05 * action[2]


class DeadSwitch(Healthy):
    action_space = spaces.MultiDiscrete([3, 2])

    def move(self, action: Any) -> None:
        super().move(action[0])


class NoReward(Healthy):
    def reward(self, action: Any) -> Any:
        return 0.0


class NothingToGain(Healthy):
    """A reward for every step, and the same number of steps whatever is done."""

    def reward(self, action: Any) -> Any:
        return 1.0

    def is_there(self) -> bool:
        return False


class AlwaysTheSameSum(Healthy):
    """Rewards that follow the clock, in episodes of one length."""

    def reward(self, action: Any) -> Any:
        return float(self.t)

    def is_there(self) -> bool:
        return False


class FarGoal(Healthy):
    """Always to the right gets there; at random nobody does."""

    time_limit = 60

    def move(self, action: Any) -> None:
        self.place += 0.05 * (int(action) - 1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.place, self.goal = -1.5 + 0.01 * self.goal, 1.0
        return self.observation(), {}

    def observation(self) -> Any:
        return np.array([self.place, self.place**2], np.float32)

    def reward(self, action: Any) -> Any:
        return float(self.is_there())


class HugeReward(Healthy):
    def reward(self, action: Any) -> Any:
        return 1e4 * super().reward(action)


class TinyReward(Healthy):
    def reward(self, action: Any) -> Any:
        return 1e-6 * super().reward(action)


class Lottery(Healthy):
    """The reward is drawn, whatever is done."""

    def reward(self, action: Any) -> Any:
        return self.np_random.normal()

    def is_there(self) -> bool:
        return False


class AlwaysRight(Healthy):
    """The reward is for one action, wherever it is taken."""

    def reward(self, action: Any) -> Any:
        return float(action == 2)

    def is_there(self) -> bool:
        return False


class WritesOver(Healthy):
    """The same array at every step."""

    state = np.zeros(2, np.float32)

    def observation(self) -> Any:
        self.state[:] = super().observation()
        return self.state


class HiddenGoal(Healthy):
    """A goal that only the reward knows."""

    observation_space = spaces.Box(-5, 5, (1,), np.float32)

    def observation(self) -> Any:
        return np.array([self.place], np.float32)

    def is_there(self) -> bool:
        return False


class HiddenCell(Healthy):
    """A cell of a grid that is only found by going there."""

    observation_space = spaces.Box(-9, 9, (1,), np.int64)
    time_limit = 40

    def observation(self) -> Any:
        return np.array([round(10 * self.place)], np.int64).clip(-9, 9)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.place, self.goal = 0.0, round(5 * self.goal) / 10
        return self.observation(), {}

    def reward(self, action: Any) -> Any:
        return float(round(10 * self.place) == round(10 * self.goal))

    def is_there(self) -> bool:
        return False


class RareReward(Healthy):
    """In two of a hundred random episodes there is something to be had."""

    num_episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        RareReward.num_episodes += 1
        return super().reset(seed=seed)

    def reward(self, action: Any) -> Any:
        return float(RareReward.num_episodes % 30 == 7 and self.t == 20)

    def is_there(self) -> bool:
        return False


class Cells(Healthy):
    """A grid of categories, in bytes that say nothing of that."""

    observation_space = spaces.Dict(
        grid=spaces.Box(0, 255, (7, 7, 3), np.uint8), goal=spaces.Box(-5, 5, (1,), np.float32)
    )

    def observation(self) -> Any:
        grid = np.zeros((7, 7, 3), np.uint8)
        grid[3, round(self.place) + 3, 0] = 8
        grid[(round(2 * self.place) + 3) % 7, 0, 1] = 2
        return {"grid": grid, "goal": np.array([self.goal], np.float32)}


def register() -> None:
    """Register the zoo as `Zoo/CLASS-v0`."""
    for kind in (Healthy, *Healthy.__subclasses__()):
        gymnasium.register(f"Zoo/{kind.__name__}-v0", kind, max_episode_steps=kind.time_limit)


if "Zoo/Healthy-v0" not in gymnasium.registry:
    register()
