"""All the altered run directories of `altered_runs.py`, through all that reads one."""

from pathlib import Path

import pytest

from altered_runs import CORPUS, refused_everywhere
from run_readers import READERS, evaluated_once

pytestmark = pytest.mark.faults

FIRST = ("watch", "load", "resume", "report")
"""Between them they read every file."""


def test_corpus_is_large() -> None:
    assert len(CORPUS) >= 150


@pytest.mark.parametrize("name", CORPUS)
def test_altered_run_is_refused(name: str, tmp_path: Path) -> None:
    refused_everywhere(CORPUS[name], tmp_path, FIRST, is_brief=True)


@pytest.mark.faults_long
@pytest.mark.parametrize("name", CORPUS)
def test_altered_run_is_refused_by_all(name: str, tmp_path: Path) -> None:
    with evaluated_once():
        refused_everywhere(CORPUS[name], tmp_path, READERS)
