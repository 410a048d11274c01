"""Every test runs with shapes and types checked, rank promotion refused, warnings as errors."""

import os
import sys
from pathlib import Path

# Before JAX starts: two devices, as training several seeds on two cores asks for.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "learning")]

from jaxtyping import install_import_hook

install_import_hook("uphill", "typechecker.typechecked")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the time to compile: for programs so small that compiling them is what they cost."""
    options = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    compile_fully = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda lowered: compile_fully(lowered, options)
    )
