"""Custom code is known by the checksums of its files, and what has changed is told."""

import functools
import importlib
import json
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import gymnasium
import optax
import pytest

import uphill
from small_runs import small_ppo
from uphill.envs.alterations import Alterations
from uphill.envs.make import choose
from uphill.envs.wrappers import wrappings_of
from uphill.runs.own_code import code_of

CODE = """
import equinox as eqx
import gymnasium
import optax

from uphill.parts import ClippedRatio

class Mine(ClippedRatio):
    pass

class Wrap(gymnasium.Wrapper):
    pass

def network(num_features, key):
    return eqx.nn.Linear(num_features, 4, key=key)

def halved():
    def update(gradient, state, params=None):
        return optax.tree.scale(0.5, gradient), state
    return optax.GradientTransformation(lambda params: (), update)

def env(**options):
    return gymnasium.make("CartPole-v1", **options)

class Maker:
    @classmethod
    def made(cls, **options):
        return env(**options)

    def __call__(self, **options):
        return env(**options)

"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "mine_here.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("mine_here")


def test_each_kind_of_custom_code_is_known_by_its_file(mine: Any) -> None:
    checksum = {"mine_here": sha256(Path(mine.__file__).read_bytes()).hexdigest()[:12]}
    ours, ppo = choose("CartPole-v1"), uphill.ppo()
    assert code_of(ours, ppo, None) == {}
    surrogate = mine.Mine(**vars(ppo.surrogate))
    assert code_of(ours, replace(ppo, surrogate=surrogate), None) == checksum
    assert code_of(ours, replace(ppo, optimizer=mine.halved()), None) == checksum
    assert code_of(ours, ppo, mine.network) == checksum
    assert code_of(ours, ppo, functools.partial(mine.network)) == checksum
    for env in (mine.env, functools.partial(mine.env, a=1), mine.Maker.made, mine.Maker()):
        assert code_of(choose(env), ppo, None) == checksum
    for wrapper in (mine.Wrap, "mine_here:Wrap"):
        around = Alterations(wrappers=wrappings_of(wrapper))
        wrapped = choose("CartPole-v1", alterations=around)
        assert code_of(wrapped, ppo, None) == checksum


def test_a_registered_environment_is_known_by_what_makes_it(mine: Any) -> None:
    checksum = {"mine_here": sha256(Path(mine.__file__).read_bytes()).hexdigest()[:12]}
    sys.modules.pop("mine_here")  # a string is imported when the first one is made
    for entry_point in (mine.env, "mine_here:env"):
        gymnasium.register("Mine-v0", entry_point)
        assert code_of(choose("Mine-v0"), uphill.ppo(), None) == checksum
        del gymnasium.registry["Mine-v0"]


def test_what_was_written_counts_and_not_what_was_put_around_it(
    mine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "around_here.py").write_text("""
import functools

def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments, **options):
        return function(*arguments, **options)
    return wrapper
""")
    around = importlib.import_module("around_here")
    sys.modules.pop("around_here")
    known = code_of(choose(mine.env), uphill.ppo(), None)
    assert code_of(choose(around.logged(mine.env)), uphill.ppo(), None) == known
    halved = mine.halved()
    bound = optax.GradientTransformation(halved.init, functools.partial(halved.update))
    assert code_of(choose("CartPole-v1"), replace(uphill.ppo(), optimizer=bound), None) == known


@pytest.mark.parametrize("thing", [[64, 64], 3, str.upper, len])
def test_what_has_no_file_is_left_to_whoever_checks_it(thing: Any) -> None:
    assert code_of(choose("CartPole-v1"), uphill.ppo(), thing) == {}


def test_code_that_cannot_be_read_has_no_checksum(tmp_path: Path) -> None:
    def env(**options: Any) -> None: ...

    for name in ("/proc/1/root/x", "x" * 300, str(tmp_path), "<stdin>"):
        sent = FunctionType(env.__code__.replace(co_filename=name), {"__name__": "sent_here"})
        assert code_of(choose(sent), uphill.ppo(), None) == {}


def test_what_is_installed_is_known_by_its_version(mine: Any) -> None:
    around = Alterations(wrappers=wrappings_of(gymnasium.wrappers.FlattenObservation))
    wrapped = choose("CartPole-v1", alterations=around)
    optimizer = optax.chain(optax.clip(1.0), optax.sgd(0.1))
    assert code_of(wrapped, replace(uphill.ppo(), optimizer=optimizer), None) == {}


def test_a_script_has_the_name_by_which_it_could_be_imported(
    mine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = code_of(choose(mine.env), uphill.ppo(), mine.network)
    script = ModuleType("__main__")
    script.__dict__.update(vars(mine) | {"__name__": "__main__"})
    monkeypatch.setitem(sys.modules, "__main__", script)
    for own in (mine.env, mine.network, mine.Mine, mine.Wrap):
        monkeypatch.setattr(own, "__module__", "__main__")
    around = Alterations(wrappers=wrappings_of(mine.Wrap))
    assert code_of(choose("CartPole-v1", alterations=around), uphill.ppo(), None) == known
    surrogate = mine.Mine(**vars(uphill.ppo().surrogate))
    algorithm = replace(uphill.ppo(), surrogate=surrogate)
    assert code_of(choose(mine.env), algorithm, None) == known
    # A worker of a cluster is another script, and has only been sent the class.
    worker = ModuleType("__main__")
    worker.__file__ = __file__
    monkeypatch.setitem(sys.modules, "__main__", worker)
    assert code_of(choose("CartPole-v1"), algorithm, None) == {}


def test_code_that_has_changed_is_told(
    mine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    algorithm, out = small_ppo(), tmp_path / "run"
    algorithm = replace(algorithm, surrogate=mine.Mine(**vars(algorithm.surrogate)))
    uphill.train("CartPole-v1", algorithm, steps=64, episodes=2, out=out, quiet=True)
    before = json.loads((out / "experiment.json").read_text())["versions"]["mine_here"]
    capsys.readouterr()
    uphill.resume(out, parts=[mine.Mine], steps=128)
    assert "other code" not in capsys.readouterr().err
    Path(mine.__file__).write_text(CODE + "# mended\n")
    uphill.resume(out, parts=[mine.Mine], steps=192)
    now = sha256((CODE + "# mended\n").encode()).hexdigest()[:12]
    said = capsys.readouterr().err
    assert f"It was begun with other code: now it is mine_here {now} in place of {before}." in said


def test_a_sweep_that_goes_on_with_other_code_says_so(
    mine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    algorithm = small_ppo()
    algorithm = replace(algorithm, surrogate=mine.Mine(**vars(algorithm.surrogate)))

    def sweep() -> str:
        uphill.sweep(
            "CartPole-v1", algorithm, grid={"estimator.gamma": [0.9]}, steps=64, episodes=2,
            out=tmp_path / "sweep",
        )  # fmt: skip
        return capsys.readouterr().err

    assert "with other versions" not in sweep()
    assert "with other versions" not in sweep()
    Path(mine.__file__).write_text(CODE + "# mended\n")
    assert "What is there was begun with other versions: now it is mine_here " in sweep()
