"""What saving costs: the time that training waits for checkpoints, at the default interval."""

import tempfile
import time
from pathlib import Path
from typing import Any

import uphill
from benchmarks.compositions import plain_ppo
from uphill.policies.policy import PolicySettings
from uphill.sessions.keeping import Keeper

SECONDS = 60
TRAININGS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {},
    "CartPole-v1, 8 seeds": {"seeds": 8},
    "Pendulum-v1, 8 seeds, layers of 256": {
        "seeds": 8,
        "algorithm": plain_ppo(policy=PolicySettings(hidden=(256, 256))),
    },
}


def checkpointing() -> None:
    """PPO for a minute, a checkpoint every ten seconds: the share of time that saving takes."""
    for name, keywords in TRAININGS.items():
        saves, whole = _seconds_of(name.partition(",")[0], keywords)
        share = sum(saves) / whole
        print(
            f"{name}: {len(saves)} checkpoints in {whole:.0f} s took {sum(saves):.3f} s "
            f"({share:.2%}), the longest {max(saves):.3f} s"
        )


def _seconds_of(env: str, keywords: dict[str, Any]) -> tuple[list[float], float]:
    """Seconds for each checkpoint, and for the whole training."""
    saves, save = [], Keeper.save

    def timed(*arguments: Any, **others: Any) -> None:
        started = time.perf_counter()
        save(*arguments, **others)
        saves.append(time.perf_counter() - started)

    started = time.perf_counter()

    def is_over(*_: Any) -> bool | None:
        return time.perf_counter() - started > SECONDS or None

    Keeper.save = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            uphill.train(
                env,
                steps=10**8,
                out=Path(folder) / "run",
                quiet=True,
                on_point=is_over,
                **keywords,
            )
    finally:
        Keeper.save = save
    return saves, time.perf_counter() - started
