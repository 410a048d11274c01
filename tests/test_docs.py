"""The documentation says what the code does."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import defaults, mujoco, mujoco_page, presets
from worlds import Target

import uphill
from small_runs import small_ppo, small_trpo, train_small
from uphill.envs.worlds import WORLDS
from uphill.runs.checkpoint import Standing
from uphill.runs.experiment import Experiment

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def test_every_column_of_metrics_csv_is_explained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORLDS, "Target-v0", Target())
    columns: set[str] = set()
    for name, algorithm, keywords in (
        ("ppo", small_ppo(target_kl=0.1), {"eval_every": 32}),
        ("trpo", small_trpo(), {"env": "Target-v0"}),
    ):
        run = train_small(tmp_path / name, algorithm, steps=64, episodes=1, **keywords)
        columns |= set((run.path / "metrics.csv").read_text().splitlines()[0].split(","))
    table = (ROOT / "docs/metrics.md").read_text().split("# milestones.json")[0]
    assert sorted(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)) == sorted(columns)


def test_the_world_of_your_own_trains(tmp_path: Path) -> None:
    page = (ROOT / "docs/worlds.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    tiny = f"steps=100, episodes=2, quiet=True, out={str(tmp_path / 'run')!r}"
    assert "steps=50_000" in code
    code = code.replace(".evaluate()", ".evaluate(2)")
    names: dict[str, Any] = {"__name__": __name__, "small_ppo": small_ppo}
    exec(code.replace("steps=50_000", tiny).replace("uphill.ppo()", "small_ppo()"), names)
    assert names["run"].experiment.backend == "compiled"


def test_the_loop_of_your_own_runs(tmp_path: Path) -> None:
    """The page's blocks, one after the other: `on_point`, the loop, what a policy answers."""
    page = (ROOT / "docs/your_own_loop.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    tiny = f"seeds=2, steps=64, episodes=2, quiet=True, out={str(tmp_path / 'run')!r}"
    changes = {
        "seeds=2": tiny,
        "100_000": "64",
        "200_000": "128",
        "episodes=100": "episodes=2",
        "uphill.ppo()": "small_ppo()",
        "runs/mine": str(tmp_path / "mine"),
    }
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {"small_ppo": small_ppo, "uphill": uphill, "balance": lambda _: 1.0}
    exec(code, names)
    assert "own/balance" in (tmp_path / "run" / "metrics.csv").read_text()
    assert names["evaluation"]["episodes"] == 2
    assert names["run"].policy_of(0).value(names["observations"]).shape == (5,)
    longer = uphill.load(tmp_path / "mine-longer").summary()
    assert min(longer["steps"]) >= 128 > max(names["run"].summary()["steps"])


def test_the_design_draws_every_source_file_where_it_is() -> None:
    house = (ROOT / "docs/design.md").read_text()
    drawn = drawn_paths(house[house.index("    src/uphill/\n") :])
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "src/uphill").rglob("*.py")
        if path.name != "__init__.py"
    }
    assert [path for path in drawn if not (ROOT / path).exists()] == []
    assert sorted(files - set(drawn)) == []
    assert len(drawn) == len(set(drawn))


def drawn_paths(text: str) -> list[str]:
    """The files and folders of a tree drawn by indentation: its lines up to the first blank one.

    >>> drawn_paths("    src/\\n      a/       a room\\n        b.py     a file\\n\\nText.")
    ['src/', 'src/a/', 'src/a/b.py']
    """
    paths: list[str] = []
    above: list[tuple[int, str]] = []
    for line in text.split("\n\n")[0].splitlines():
        name, indent = line.split()[0], len(line) - len(line.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        path = "".join(folder for _, folder in above) + name
        paths.append(path)
        if name.endswith("/"):
            above.append((indent, name))
    return paths


def test_the_page_of_the_defaults_is_what_was_measured() -> None:
    """`python -m benchmarks.defaults --write` writes it anew."""
    assert defaults.PAGE.read_text() == defaults.written(defaults.KEPT.rows())


def test_the_page_of_the_presets_is_what_was_measured() -> None:
    """`python -m benchmarks.presets --write` writes it anew."""
    assert presets.PAGE.read_text() == presets.page(presets.KEPT.rows())


def test_the_table_of_mujoco_is_what_was_measured() -> None:
    """`python -m benchmarks.mujoco --write` writes it anew."""
    shown = (ROOT / "docs/mujoco.md").read_text()
    assert shown == mujoco_page.page(mujoco.rows(), mujoco.kept())


def test_the_readme_shows_ppo_as_it_is() -> None:
    source = (ROOT / "src/uphill/parts/algorithms.py").read_text()
    shown = re.search(
        r"    parts: dict.*?\n    return", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert shown is not None
    assert shown.group() in source.split("def ppo")[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_changelog_knows_the_version() -> None:
    assert uphill.__version__ in (ROOT / "CHANGELOG.md").read_text()


WITHOUT_JAX = """
import sys

assert "jax" not in sys.modules
print(json.dumps([probabilities(np.array(x)).tolist() for x in json.loads(sys.argv[1])]))
print(len(rows), rows[-1]["steps"])
"""


def test_a_run_is_read_without_jax_as_its_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs/run_directory.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    lines = [line for line in code.splitlines() if line and "import" not in line]
    assert len(lines) <= 20
    run = train_small(tmp_path / "run", steps=64, episodes=1)
    observations = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    code = code.replace("runs/CartPole-v1", str(run.path)) + WITHOUT_JAX
    words = [sys.executable, "-c", code, json.dumps(observations.tolist())]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = [run.policy.distribution(x).probabilities for x in observations]
    np.testing.assert_allclose(json.loads(found[0]), expected, rtol=1e-4)
    lines = (run.path / "metrics.csv").read_text().splitlines()
    assert found[1] == f"{len(lines) - 1} {lines[-1].split(',')[2]}"
    for path in run.path.rglob("*.*"):
        name = re.sub(r"-[0-9a-f]{16}", "-HASH", path.relative_to(run.path).as_posix())
        name = re.sub(r"milestones/\d-[a-z_]+", "milestones/INDEX-NAME", name)
        assert name in page, name


def test_every_field_of_a_run_is_explained() -> None:
    page = (ROOT / "docs/run_directory.md").read_text()
    names = {field.name for kind in (Experiment, Standing) for field in fields(kind)}
    assert names <= set(re.findall(r"`(\w+)`", page))
