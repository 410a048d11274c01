"""Every test runs with shapes and types checked, rank promotion refused, warnings as errors."""

import inspect
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before JAX starts: two devices, as training several seeds on two cores asks for. And a compiler
# that takes half the time for programs of half the speed, since most run once. What is promised bit
# for bit is tested with the users' own (`make test`).
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1",
)
# What tests train with is no concern of the user's who runs them.
state = tempfile.TemporaryDirectory(prefix="uphill-state-", ignore_cleanup_errors=True)
os.environ["XDG_STATE_HOME"] = state.name
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "learning")]

import typechecker

typechecker.install()

import gymnasium
import hypothesis
import jax
import pytest

import memory
from uphill.training import programs

jax.config.update("jax_numpy_rank_promotion", "raise")

# The same examples wherever they run, however long that takes.
hypothesis.settings.register_profile(
    "uphill", max_examples=10, deadline=None, derandomize=True, database=None
)
hypothesis.settings.load_profile("uphill")

# No modules to look for doctests in: all have the same name, which only one module can have.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]


@pytest.fixture(autouse=True)
def _of_the_patched_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is traced of patched functions serves no other test, nor what was traced before."""
    test = request.function  # None for a page's code
    is_patched = test is not None and "monkeypatch" in inspect.signature(test).parameters
    if is_patched:
        programs.forget()
    yield
    if is_patched:
        programs.forget()


@pytest.fixture(autouse=True)
def _its_modules_leave_with_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Modules that a test wrote and imported leave with it, and what they registered."""
    modules, environments = set(sys.modules), set(gymnasium.registry)
    yield
    written = str(tmp_path_factory.getbasetemp())
    own = [
        name
        for name in set(sys.modules) - modules
        if str(getattr(sys.modules[name], "__file__", "")).startswith(written)
    ]
    for name in own:
        del sys.modules[name]
    for name in set(gymnasium.registry) - environments if own else ():
        del gymnasium.registry[name]


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user has allowed nothing yet."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(memory)
