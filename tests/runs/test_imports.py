"""Which modules may be imported for a run: those that this user allowed or trained with."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import uphill
from small_runs import small_ppo, train_small
from uphill.errors import UphillError
from uphill.runs import imports
from uphill.runs.imports import may_import, remember

ENVIRONMENT = """
import gymnasium
if "{name}-v0" not in gymnasium.registry:
    gymnasium.register(
        "{name}-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=20
    )
"""


def write_module(folder: Path, module: str, content: str = "x = 1\n") -> Path:
    path = folder.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_what_was_allowed_is_remembered_by_name_file_and_contents(here: Path) -> None:
    path = write_module(here, "mine")
    assert not may_import("mine:Env-v0", False)
    assert may_import("mine:Env-v0", True)
    remember("mine:Env-v0")
    assert may_import("mine:Env-v0", False)
    assert "mine" not in sys.modules  # to look does not import
    assert not may_import("mine:Other-v0", False)
    assert not may_import("mine:Env-v0:x", False)
    path.write_text("x = 2\n")
    assert not may_import("mine:Env-v0", False)
    path.write_text("x = 1\n")
    assert may_import("mine:Env-v0", False)


def test_another_file_of_that_name_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(here, "mine")
    remember("mine:Env-v0")
    before = write_module(here / "before", "mine")  # with the same contents
    monkeypatch.setattr(sys, "path", [str(before.parent), *sys.path])
    assert not may_import("mine:Env-v0", False)


def test_from_another_folder_it_is_asked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module imports in its turn may be found in the current folder."""
    write_module(here, "mine")
    remember("mine:Env-v0")
    other = here / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert not may_import("mine:Env-v0", False)
    monkeypatch.chdir(here)
    assert may_import("mine:Env-v0", False)


def test_packages_around_it_are_part_of_it_and_are_not_imported_to_look(here: Path) -> None:
    write_module(here, "house.__init__", "raise SystemExit('imported')\n")
    write_module(here, "house.room")
    remember("house.room:Env-v0")
    assert may_import("house.room:Env-v0", False)
    write_module(here, "house.__init__", "x = 1\n")
    assert not may_import("house.room:Env-v0", False)


@pytest.mark.parametrize(
    "name", ["sys:path", "no_such_module:x", "__main__:Own", "mine:f.<locals>.Own", "mine", "mine:"]
)
def test_what_has_no_file_to_know_again_is_never_remembered(name: str, here: Path) -> None:
    write_module(here, "mine")
    write_module(here, "__main__")
    remember(name)
    assert not may_import(name, False)


def test_a_memory_that_others_could_have_written_says_nothing(here: Path, state_home: Path) -> None:
    write_module(here, "mine")
    remember("mine:Env-v0")
    (kept,) = (state_home / "uphill" / "imports").iterdir()
    assert kept.stat().st_mode & 0o777 in (0o600, 0o644)
    kept.chmod(0o666)
    assert not may_import("mine:Env-v0", False)
    kept.chmod(0o600)
    kept.parent.chmod(0o777)
    assert not may_import("mine:Env-v0", False)
    kept.parent.chmod(0o700)
    assert may_import("mine:Env-v0", False)
    kept.write_text("[" * 100_000)
    assert not may_import("mine:Env-v0", False)


@pytest.mark.parametrize("state", ["", "state", "./state"])
def test_a_state_folder_that_depends_on_the_current_one_is_not_used(
    state: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", str(here / "home"))
    write_module(here, "mine")
    remember("mine:Env-v0")
    assert (here / "home/.local/state/uphill/imports").exists()
    assert not (here / "state").exists()


def test_where_nothing_can_be_kept_training_goes_on(here: Path, state_home: Path) -> None:
    write_module(here, "mine")
    (state_home / "uphill").write_text("a file")
    remember("mine:Env-v0")
    assert not may_import("mine:Env-v0", False)


# --- as a user meets it ---------------------------------------------------------------------------


def test_who_trained_is_not_asked_by_the_next_command(
    here: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(here, "trained_with", ENVIRONMENT.format(name="Mine"))
    write_module(here, "another_one", ENVIRONMENT.format(name="Other"))
    run = train_small(here / "run", small_ppo(), env="trained_with:Mine-v0", steps=64)
    assert uphill.evaluate(run.path, 2)["episodes"] == 2
    # Nothing in a run directory grants an import: this one names another of the user's files, with
    # its right checksum, and has all that the memory has.
    copy = here / "copy"
    shutil.copytree(run.path, copy)
    document = json.loads((copy / "experiment.json").read_text())
    document["env"] = "another_one:Other-v0"
    (copy / "experiment.json").write_text(json.dumps(document))
    record = imports._record("another_one:Other-v0", str(here))
    checksum = hashlib.sha256((here / "another_one.py").read_bytes()).hexdigest()
    assert record is not None
    assert list(record["files"].values()) == [checksum]
    known = imports._path("another_one:Other-v0", str(here))
    assert known is not None
    for folder in (copy, copy / "uphill" / "imports", here / "uphill" / "imports"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / known.name).write_text(json.dumps(record))
    monkeypatch.chdir(here)
    with pytest.raises(UphillError, match="'another_one': add allow_import=True"):
        uphill.evaluate(copy, 2)
    assert "another_one" not in sys.modules
    # Allowed once, it is known.
    assert uphill.load(copy, allow_import=True).evaluate(2)["episodes"] == 2
    assert uphill.evaluate(copy, 2)["episodes"] == 2
    assert len(os.listdir(state_home / "uphill" / "imports")) == 2
