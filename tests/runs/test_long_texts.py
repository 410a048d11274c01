"""Whatever text of a run's files is ten thousand letters long: what is said of it is one short
sentence, or the run is read all the same."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from run_readers import READERS, outcome

KEPT = Path(__file__).parents[1] / "data/runs"
FILES = {
    "experiment.json": ("load", "settings"),
    "checkpoint/latest.json": ("load", "resume"),
    "checkpoint/best.json": ("best",),
    "milestones.json": ("kept",),
    "evaluation.json": ("load",),
}
"""And who reads them."""


def places_of_texts(value: Any, place: tuple = ()) -> Iterator[tuple]:
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, x in pairs:
            yield from places_of_texts(x, (*place, key))


@pytest.mark.parametrize("file", FILES)
def test_what_is_said_of_a_long_text_is_short(file: str, tmp_path: Path) -> None:
    kept = json.loads((KEPT / "ppo" / file).read_text())
    refused = 0
    for place in places_of_texts(kept):
        run = tmp_path / "run"
        shutil.copytree(KEPT / "ppo", run)
        document = json.loads(json.dumps(kept))
        within = document
        for key in place[:-1]:
            within = within[key]
        within[place[-1]] = "x" * 10_000
        (run / file).write_text(json.dumps(document))
        for name in FILES[file]:
            _, sentence = outcome(READERS[name], run)
            assert len(sentence) < 1200, (place, name, sentence[:200])
            assert "\n" not in sentence
            refused += bool(sentence)
        shutil.rmtree(run)
    assert refused or file == "evaluation.json"
