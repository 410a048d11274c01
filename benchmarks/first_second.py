"""The user's waiting time: whole commands of this checkout and of another one, alternating.

`python -m benchmarks first OTHER`, with the folder of another checkout (such as a worktree of an
earlier commit). Both run with this environment's packages.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "train CartPole-v1": ("train", "CartPole-v1"),
    "the same settings": (
        *("train", "CartPole-v1", "--algo", "ppo", "--steps", "100000"),
        *("--num-epochs", "20", "--num-minibatches", "1"),
        *("--optimizer.learning-rate", "linear:1e-3:0"),
    ),
    "a custom environment": ("train", "own_env:Own", "--steps", "2000"),
}
"""The commands; each runs with an empty compile cache, then with the cache that it has filled."""

OWN = """
import gymnasium
import numpy as np


class Own(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict(
        {
            "place": gymnasium.spaces.Box(-1, 1, (4,)),
            "kind": gymnasium.spaces.Discrete(3),
        }
    )
    action_space = gymnasium.spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        return self._seen(), float(action[0] == 1), False, self.steps >= 20, {}

    def _seen(self):
        place = self.np_random.uniform(-1, 1, 4).astype(np.float32)
        return {"place": place, "kind": int(self.np_random.integers(3))}


gymnasium.register("Own", Own, max_episode_steps=20)
"""


def first(other: str, rounds: str = "5") -> None:
    """Seconds from the start of a process to its evaluated policy, cold and warm, as ratios."""
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "own_env.py").write_text(OWN)
        for title, words in COMMANDS.items():
            rounds_of = [_round(here, Path(other), words, Path(folder)) for _ in range(int(rounds))]
            for state in ("cold", "warm"):
                took = statistics.median(one[state][0] for one in rounds_of)
                ratios = [one[state][0] / one[state][1] for one in rounds_of]
                print(
                    f"{title}, {state}: {took:.1f} s, ratio "
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                    flush=True,
                )


def _round(
    ours: Path, theirs: Path, words: tuple[str, ...], folder: Path
) -> dict[str, tuple[float, float]]:
    """Seconds of both, first with empty compile caches, then with the filled ones."""
    with tempfile.TemporaryDirectory(dir=folder) as caches:
        return {
            state: (
                _seconds(ours, words, Path(caches, "ours"), folder),
                _seconds(theirs, words, Path(caches, "theirs"), folder),
            )
            for state in ("cold", "warm")
        }


def _seconds(checkout: Path, words: tuple[str, ...], cache: Path, folder: Path) -> float:
    """Wall time of one command, in its own folder."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        path = os.pathsep.join([str(checkout / "src"), str(folder)])
        environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": path}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        command = [sys.executable, "-m", "uphill.cli", *words, "--quiet", "--out", f"{out}/run"]
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=folder)
        return time.perf_counter() - started
