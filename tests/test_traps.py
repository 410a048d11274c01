"""Every trap of policy gradients that we know of has a test that names its number."""

import re
from pathlib import Path

NUM_TRAPS = 30


def test_every_trap_has_a_test_that_names_it():
    tests = Path(__file__).parent.rglob("test_*.py")
    named = {
        int(number)
        for path in tests
        for number in re.findall(r"^def test_trap_(\d+)_", path.read_text("utf-8"), re.MULTILINE)
    }
    assert named == set(range(1, NUM_TRAPS + 1))
