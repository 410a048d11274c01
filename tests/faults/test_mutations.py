"""Random mutations of run directories, through all that reads one, in one process."""

import faulthandler
import random
import re
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from essence import differences, essence
from mutations import BASES, Mutated, copy, mutate
from watched import Watched, watched

from altered_runs import EVIL
from memory import MIB
from run_readers import READERS, evaluated_once, outcome

pytestmark = pytest.mark.faults

SHORT, LONG, PIECE = 300, 10_000, 500
READERS_EACH = 1
"""How many read each of them in the short form; in the long form all do."""
HANGS = 60.0
"""Seconds that no call may take; what it may do is counted otherwise."""
MOST_MEMORY = 256 * MIB
MOST_READ = 16 * MIB
"""Bytes that a call reads: the files of a run a few times over, templates and the like."""
OF_ANOTHER_RUN = re.compile(
    r"There is no environment|is finished \(|already goes to|are not those that the run|"
    r"the policy was trained on|has another seed|needs --|allow_import|is of another|"
    r"does not take|metrics\.csv"
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
}
"""Files, and the fields of them, that may say something else and be believed; tensors never."""


def may_differ(mutated: Mutated) -> bool:
    fields = HARMLESS.get(mutated.file)
    return fields is not None and (not fields or re.fullmatch(fields, mutated.field) is not None)


def check(mutated: Mutated, name: str, found: tuple[Any, str], expected: tuple[Any, str]) -> str:
    """What it came to, in a word."""
    result, sentence = found
    if found == expected:
        return "the same"
    if sentence:
        assert "\n" not in sentence
        assert len(sentence) < 1200
        is_named = Path(mutated.file).name in sentence or OF_ANOTHER_RUN.search(sentence)
        assert is_named or mutated.file == "experiment.json"
        return "refused"
    is_listed = name == "watch" and Path(mutated.file).name in str(result)
    assert may_differ(mutated) or is_listed
    return "refused" if is_listed else "another run"


def check_work(run: Path, did: Watched) -> None:
    assert did.memory < MOST_MEMORY
    assert did.read < MOST_READ
    assert not did.started
    ours = (run, jax.config.jax_compilation_cache_dir or run)
    assert all(any(Path(x).is_relative_to(home) for home in ours) for x in did.written)
    assert EVIL not in sys.modules


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of runs, with one that stays as it is."""
    folder = tmp_path_factory.mktemp("runs")
    copy("a2c", folder / "other")
    before = essence(folder / "other")
    yield folder
    assert not differences(folder / "other", before)


@pytest.fixture(scope="module")
def expected(runs: Path) -> Iterator[dict[str, dict[str, tuple[Any, str]]]]:
    """What each reader comes to with a run that nobody altered, by base."""
    with evaluated_once():
        found = {}
        for base in BASES:
            copy(base, runs / "run")
            found[base] = {name: outcome(read, runs / "run") for name, read in READERS.items()}
            shutil.rmtree(runs / "run")
        yield found


def go_through(
    numbers: Iterable[int],
    runs: Path,
    expected: dict[str, dict[str, tuple[Any, str]]],
    each: int = len(READERS),
) -> Counter[str]:
    """What came of the mutations of these numbers, each read by so many readers."""
    came_to: Counter[str] = Counter()
    wrong: list[tuple[Any, ...]] = []
    run = runs / "run"
    for number in numbers:
        mutated = mutate(number, run)
        chosen = random.Random(number).sample(list(READERS), each)
        for name in sorted(chosen, key=list(READERS).index):
            faulthandler.dump_traceback_later(HANGS, exit=True)
            found, did = None, Watched()
            try:
                with watched() as did:
                    found = outcome(READERS[name], run)
                check_work(run, did)
                came_to[check(mutated, name, found, expected[mutated.base][name])] += 1
            except Exception:  # told once all of them are read: one may hide others
                wrong.append((number, mutated, name, found and found[1], did))
                traceback.print_exc()
            finally:
                faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(run)
    assert not wrong
    return came_to


def test_mutated_runs(runs: Path, expected: dict[str, dict[str, tuple[Any, str]]]) -> None:
    came_to = go_through(range(SHORT), runs, expected, READERS_EACH)
    print(dict(came_to))
    assert came_to["refused"] > SHORT / 5
    assert came_to["the same"] > SHORT / 3


@pytest.mark.faults_long
@pytest.mark.parametrize("first", range(0, LONG, PIECE))
def test_more_mutated_runs(
    first: int, runs: Path, expected: dict[str, dict[str, tuple[Any, str]]]
) -> None:
    came_to = go_through(range(first, first + PIECE), runs, expected)
    print(dict(came_to))
    assert came_to["refused"] > PIECE
