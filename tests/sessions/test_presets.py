"""Presets: each fits its environment, and the first is the one to begin with."""

import pytest

from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.sessions.presets import PRESETS, preset
from uphill.training.trainer import Trainer

ALL = [(env, algo) for env, presets in PRESETS.items() for algo in presets()]


def test_every_compiled_world_has_presets() -> None:
    assert not set(WORLDS) - set(PRESETS)


@pytest.mark.parametrize("env", PRESETS)
def test_first_preset_is_the_default(env: str) -> None:
    assert preset(env) == preset(env, "ppo") == PRESETS[env]()["ppo"]
    assert next(iter(PRESETS[env]())) == "ppo"


@pytest.mark.parametrize(("env", "algo"), ALL)
def test_preset_is_called_what_it_is(env: str, algo: str) -> None:
    chosen = PRESETS[env]()[algo]
    assert (chosen.algo, chosen.algorithm.name) == (algo, algo)


@pytest.mark.parametrize(("env", "algo"), [pair for pair in ALL if pair[0] in WORLDS])
def test_preset_fits_its_environment(env: str, algo: str) -> None:
    """Spaces, sampling and distribution go together: a trainer with networks can be made."""
    chosen = PRESETS[env]()[algo]
    trainer = Trainer(choose(env, "auto", {}, False), chosen.algorithm, (0,), chosen.steps)
    assert trainer.start().num_updates == 0
