"""The notebooks of `examples/`: their scripts run, and what is rendered is what the scripts say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
LARGEST = 400 * 1024  # bytes of a notebook with all that it shows

# The constants at the top of each script, for a run that only shows that it runs.
SMALL = {
    "car_race": {"UPDATES": 5, "SEEDS": 2},
    "own_part": {"STEPS": 4000, "SEEDS": 2},
    "policy_gradient_theorem": {"STEPS": 500, "SEEDS": 2, "SWING_UP_STEPS": 500},
    "reinforce_from_scratch": {"UPDATES": 2, "SEEDS": 2},
    "step_by_step": {"STEPS": 500, "SEEDS": 2},
    "vanilla_policy_gradient": {"STEPS": 500, "SEEDS": 2},
}
QUICK = {"car_race", "reinforce_from_scratch"}
"""Scripts that are run every time; the others with what takes minutes."""
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


@pytest.mark.parametrize(
    "script",
    [pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow) for path in SCRIPTS],
    ids=lambda path: path.stem,
)
def test_the_script_runs_and_ends_with_a_film(script: Path, tmp_path: Path) -> None:
    done = run_small(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert list(tmp_path.glob(f"{script.stem}-*.png"))
    with Image.open(tmp_path / f"{script.stem}-film.gif") as film:
        assert getattr(film, "n_frames", 1) > 5


def run_small(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script on a small budget, in a process of its own that mostly compiles."""
    text = script.read_text()
    for name, value in SMALL[script.stem].items():
        text, count = re.subn(rf"^{name} = [\d_]+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    (folder / script.name).write_text(text)
    variables = {"XLA_FLAGS": QUICK_TO_COMPILE, "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@every_script
def test_the_notebook_has_the_cells_of_its_script(script: Path) -> None:
    shown = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook_of(script)["cells"]]
    assert shown == cells_of(script)


@every_script
def test_the_notebook_is_small_and_shows_curves_and_a_film(script: Path) -> None:
    code = [cell for cell in notebook_of(script)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert "error" not in {output["output_type"] for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}
    shown = script.with_suffix(".ipynb").read_text()
    assert "data:image/png;base64," in shown
    assert "data:image/gif;base64," in shown
    assert len(shown) <= LARGEST


def notebook_of(script: Path) -> dict[str, Any]:
    """The rendered notebook; `make notebooks` writes it."""
    return json.loads(script.with_suffix(".ipynb").read_text())


def cells_of(script: Path) -> list[tuple[str, str]]:
    """The cells of a percent script: their kind, and their text without the comment signs."""
    kinds_and_texts = re.split(r"^# %%(| \[markdown\])\n", script.read_text(), flags=re.MULTILINE)
    cells = []
    for kind, text in zip(kinds_and_texts[1::2], kinds_and_texts[2::2], strict=True):
        text = text.strip("\n")
        if kind:
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        cells.append(("markdown" if kind else "code", text))
    return cells
