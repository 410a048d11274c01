"""Programs that an earlier process traced are the same, and only read where nothing changed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_runs import contents_of, small_ppo, small_trpo
from uphill.envs.make import choose
from uphill.learning import update
from uphill.parts import Adam, Algorithm, Steps
from uphill.training import inside, programs, traces
from uphill.training.trainer import Trainer

Given = tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(traces, "_folder", lambda: tmp_path)
    traces.forget()
    return tmp_path


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Algorithm], dict[str, Given]]:
    """What training with an algorithm would have traced."""

    def of(algorithm: Algorithm) -> dict[str, Given]:
        found: dict[str, Given] = {}

        def asked(*given: Any) -> None:
            found[given[0].__name__] = given

        with monkeypatch.context() as patch:
            patch.setattr(programs, "traced", asked)
            trainer = Trainer(choose("CartPole-v1"), algorithm, (0,), 100, measure_every=1)
            trainer.advance(trainer.start(), 1)
        return found

    return of


def result(trace: traces.Trace, arguments: tuple[Any, ...]) -> Any:
    return trace.on_trees(jax.jit(trace.exported.call))(*arguments)


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [small_ppo, small_trpo])
def test_what_was_kept_computes_the_same_bits(make: Any, given: Any, folder: Path) -> None:
    for name, (built, about, arguments) in given(make()).items():
        first = traces.traced(built, about, arguments)
        assert first is not None, name
        files = {*folder.iterdir()}
        traces.forget()
        again = traces.traced(built, about, arguments)
        assert again is not None
        assert again.exported is not first.exported
        assert {*folder.iterdir()} == files  # it was read
        function = jax.jit(built(*about))
        expected = jax.eval_shape(function, *arguments)
        assert jax.tree.structure(again.out_info) == jax.tree.structure(expected)
        for found, shape in zip(*map(jax.tree.leaves, (again.out_info, expected)), strict=True):
            assert (found.shape, found.dtype) == (shape.shape, shape.dtype)
        if name == "_chunks":
            for trace in (first, again):
                assert_same(result(trace, arguments), function(*arguments))


def key_of(given: Any, algorithm: Algorithm) -> str:
    return traces._key(*given(algorithm)["_chunks"])


def test_floats_share_a_program_and_what_is_fixed_does_not(given: Any) -> None:
    here = key_of(given, small_ppo())
    assert key_of(given, small_ppo(optimizer=Adam(learning_rate="linear:3e-3:0"))) == here
    others = [
        small_ppo(optimizer=Adam(learning_rate=3e-3)),
        small_ppo(sampling=Steps(num_envs=4, num_steps=9)),
        small_ppo(num_epochs=3),
        small_ppo(normalize_rewards=True),
    ]
    assert len({here, *(key_of(given, other) for other in others)}) == 5


def test_a_program_of_changed_code_or_settings_is_another_one(
    given: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    asked = given(small_ppo())["_chunks"]
    here = traces._key(*asked)
    for module, name, value in (
        (inside, "CAPACITY", 7),
        (inside, "collect_and_learn", lambda *_: None),
        (update, "update", lambda *_: None),
        (Adam, "__call__", lambda *_: None),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value, raising=False)
            assert traces._key(*asked) != here, name
    with jax.default_matmul_precision("highest"):
        assert traces._key(*asked) != here
    monkeypatch.setattr(traces, "version", lambda _: "9.9")
    assert traces._key(*asked) != here


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "zeros", "short"])
def test_a_damaged_file_is_written_anew(damage: bytes | None, given: Any, folder: Path) -> None:
    built, about, arguments = given(small_ppo())["_measures"]
    assert traces.traced(built, about, arguments)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if damage is None else damage)
    assert traces._read(file, arguments) is None
    traces.forget()
    assert traces.traced(built, about, arguments)
    assert traces._read(file, arguments) is not None
    assert [*folder.iterdir()] == [file]


def test_what_another_process_could_not_know_is_not_kept(given: Any, folder: Path) -> None:
    built, about, arguments = given(small_ppo())["_measures"]
    assert traces.traced(lambda *_: built(*about), (), arguments) is None
    assert traces.traced(built, (*about[:-1], lambda x, _: x), arguments) is None
    assert traces.traced(built, about, (*arguments[:-1], object())) is None

    def calls_python(x: Any) -> Any:
        jax.debug.callback(print, x)
        return x

    assert traces._made(calls_python, (np.ones(3),), folder / "it") is None
    assert [*folder.iterdir()] == []


def test_where_nothing_can_be_written_training_goes_on(given: Any, tmp_path: Path) -> None:
    built, about, arguments = given(small_ppo())["_measures"]
    assert traces._made(built(*about), arguments, tmp_path / "missing" / "trace")


def test_the_second_training_reads_what_the_first_one_traced(tmp_path: Path) -> None:
    """And comes to the same run."""
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "JAX_NUM_CPU_DEVICES": "1"}
    runs = tmp_path / "one", tmp_path / "two"
    found = []
    for run in runs:
        words = ["train", "CartPole-v1", "--steps", "3000", "--episodes", "4", "--quiet"]
        program = [sys.executable, "-m", "uphill.cli", *words, "--out", str(run)]
        subprocess.run(program, env=env, check=True, stdout=subprocess.DEVNULL)
        found.append({path.name for path in tmp_path.glob("uphill/*/uphill-trace-*")})
    assert len(found[0]) == 3  # updates, diagnostics, evaluation
    assert found[0] == found[1]
    first, second = map(contents_of, runs)
    del first["experiment.json"], second["experiment.json"], first["curve.png"], second["curve.png"]
    assert first == second
