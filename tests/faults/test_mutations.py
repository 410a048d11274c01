"""Random mutations of run directories, through all that reads one, in one process."""

import faulthandler
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mutations import BASES, NOT_OF_A_RUN, Mutated, mutate
from watched import Watched, watched

from altered_runs import EVIL, KEPT
from memory import MIB
from run_readers import READERS, evaluated_once, outcome

pytestmark = pytest.mark.faults

SHORT, LONG, PIECE = 300, 10_000, 500
HANGS = 60.0
"""Seconds that no call may take; what it may do is counted otherwise."""
MOST_MEMORY = 256 * MIB
MOST_READ = 16 * MIB
"""Bytes that a call reads: the files of a run a few times over, templates and the like."""
OF_ANOTHER_RUN = re.compile(
    r"There is no environment|is finished \(|already goes to|are not those that the run|"
    r"has another seed|needs --|allow_import|is of another|does not take|metrics\.csv"
)
"""Sentences about what a file asks for, where that can be read and is another run's: they name the
field and its value, as they would had its user asked for that."""
HARMLESS = {
    # What was asked for is what somebody else may have asked for: another run, as good as this one.
    "experiment.json": "",
    # What training remembered of its way, and nothing can tell.
    "checkpoint/latest.json": r"facts(\..*)?|format|\$type|",
    "checkpoint/best.json": r"facts(\..*)?|format|\$type|",
    "milestones.json": "",
    "metrics.csv": "",
    "evaluation.json": "",
    "curve.png": "",
    "report.html": "",
}
"""Files, and the fields of them, that may say something else and be believed; tensors never."""


def may_differ(mutated: Mutated) -> bool:
    fields = HARMLESS.get(mutated.file)
    return fields is not None and (not fields or re.fullmatch(fields, mutated.field) is not None)


def check(number: int, mutated: Mutated, name: str, found: tuple[Any, str], expected: Any) -> str:
    """What it came to, in a word."""
    result, sentence = found
    where = (number, mutated, name, sentence)
    if sentence:
        assert "\n" not in sentence, where
        assert len(sentence) < 1200, where
        is_named = Path(mutated.file).name in sentence or OF_ANOTHER_RUN.search(sentence)
        assert is_named or mutated.file == "experiment.json", where
        return "refused"
    if result == expected:
        return "the same"
    assert may_differ(mutated), where
    return "another run"


def check_work(number: int, mutated: Mutated, name: str, run: Path, did: Watched) -> None:
    where = (number, mutated, name, did)
    assert did.memory < MOST_MEMORY, where
    assert did.read < MOST_READ, where
    assert not did.started, where
    assert not [x for x in did.written if not Path(x).is_relative_to(run)], where
    assert EVIL not in sys.modules, where


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, with one that stays as it is."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(KEPT / "a2c", folder / "other")
    return folder


@pytest.fixture(scope="module")
def expected(runs: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """What each reader comes to with a run that nobody altered, by base."""
    with evaluated_once():
        found = {}
        for base in BASES:
            for _ in range(2):  # what is imported and compiled once is not the reader's
                shutil.copytree(KEPT / base, runs / "run", ignore=NOT_OF_A_RUN)
                found[base] = {
                    name: outcome(read, runs / "run")[0] for name, read in READERS.items()
                }
                shutil.rmtree(runs / "run")
        yield found


def go_through(
    numbers: Iterable[int], runs: Path, expected: dict[str, dict[str, Any]]
) -> Counter[str]:
    """What came of the mutations of these numbers."""
    came_to: Counter[str] = Counter()
    run = runs / "run"
    for number in numbers:
        mutated = mutate(number, run)
        for name, reader in READERS.items():
            faulthandler.dump_traceback_later(HANGS, exit=True)
            try:
                with watched() as did:
                    found = outcome(reader, run)
            except Exception as error:
                raise AssertionError((number, mutated, name)) from error
            finally:
                faulthandler.cancel_dump_traceback_later()
            check_work(number, mutated, name, run, did)
            came_to[check(number, mutated, name, found, expected[mutated.base].get(name))] += 1
        shutil.rmtree(run)
    return came_to


def test_mutated_runs(runs: Path, expected: dict[str, dict[str, Any]]) -> None:
    came_to = go_through(range(SHORT), runs, expected)
    assert came_to["refused"] > SHORT
    assert came_to["the same"] > SHORT


@pytest.mark.faults_long
@pytest.mark.parametrize("first", range(SHORT, LONG, PIECE))
def test_more_mutated_runs(first: int, runs: Path, expected: dict[str, dict[str, Any]]) -> None:
    came_to = go_through(range(first, min(first + PIECE, LONG)), runs, expected)
    print(dict(came_to))
    assert came_to["refused"] > PIECE
