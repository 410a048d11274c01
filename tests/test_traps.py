"""Every trap of policy gradients that docs/traps.md lists has tests that carry its number."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROW = r"^\| (\d+) \|.*\| `(\w+)` \|$"


def test_the_traps_that_are_listed_are_those_that_are_tested() -> None:
    page = (TESTS.parent / "docs/traps.md").read_text()
    listed = {int(number): test for number, test in re.findall(ROW, page, re.MULTILINE)}
    sources = (path.read_text() for path in TESTS.rglob("test_*.py"))
    tests = {x for text in sources for x in re.findall(r"^def (test_trap_\w+)", text, re.MULTILINE)}
    assert list(listed) == list(range(1, len(listed) + 1))
    assert {int(test.split("_")[2]) for test in tests} == listed.keys()
    for number, test in listed.items():
        assert test in tests
        assert test.startswith(f"test_trap_{number:02}_")
