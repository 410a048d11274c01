"""The parts that docs/a_part_of_your_own.md shows, as a module `my_parts`."""

import importlib
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/a_part_of_your_own.md"


def blocks() -> list[str]:
    """The Python of the page."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def write_my_parts(folder: Path) -> Path:
    """The file that the page describes."""
    path = folder / "my_parts.py"
    path.write_text("\n\n".join(block for block in blocks() if "class " in block))
    return path


def my_parts(folder: Path, monkeypatch: Any) -> Any:
    """That file as a module, to be imported from the folder that is now the current one."""
    write_my_parts(folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module("my_parts")
