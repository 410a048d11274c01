"""Random mutations of the files of a run directory: of their bytes, of what they say, and of what
they are. The number of a mutation says all of it."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from altered_runs import BOUNDED, DISCRETE, EVIL, HALF, KEPT, MILESTONES, nested

BASES = (DISCRETE, BOUNDED, MILESTONES)
NOT_OF_A_RUN = shutil.ignore_patterns("resumed.csv")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**64, 10**40, 0.5, -0.0, 1e308, -1.7e308),
    *(5e-324, float("nan"), float("inf"), "", "x", "x" * 10_000, HALF, "\x00", "\n", "\x1b[2J"),
    *("../../x", "/etc/passwd", "<script>alert(1)</script>", f"{EVIL}:Part", "os:system", [], {}),
    *([[]], [1, 2, 3], {"$type": "Popen"}, {"$type": f"{EVIL}:Part"}, nested(100), [0] * 1000),
)
CELLS = ("", "nan", "inf", "-1", "1e400", "0x10", '"', "1,2", "many", "1_0", "٣", "9" * 400, "0")


@dataclass(frozen=True)
class Mutated:
    """A run directory that was mutated: in which file, at which fields (none where it is not told
    so finely), and how."""

    base: str
    file: str
    field: str
    how: str


def copy(base: str, run: Path) -> None:
    """A run directory that is as it was written."""
    shutil.copytree(KEPT / base, run, ignore=NOT_OF_A_RUN)
    (run / "curve.png").write_bytes(b"\x89PNG, which nothing reads")


def mutate(number: int, run: Path) -> Mutated:
    """Make a run directory, with the mutation of this number."""
    draw = random.Random(number)
    base = draw.choice(BASES)
    copy(base, run)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    path = draw.choice(files)
    kinds: list[Callable[[random.Random, Path], tuple[str, str]]] = [of_bytes, of_bytes, of_file]
    kinds += {".json": [of_json] * 5, ".csv": [of_table] * 3}.get(path.suffix, [])
    field, how = draw.choice(kinds)(draw, path)
    return Mutated(base, path.relative_to(run).as_posix(), field, how)


def of_bytes(draw: random.Random, path: Path) -> tuple[str, str]:
    content = bytearray(path.read_bytes())
    a, b = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    b = min(b, a + draw.choice((1, 8, 10**6)))
    how = draw.choice(("flip", "cut", "repeat", "insert", "end", "zero", "append"))
    match how:
        case "flip":
            k = draw.randrange(len(content))
            content[k] ^= 1 << draw.randrange(8)
        case "cut":
            del content[a:b]
        case "repeat":
            content[a:a] = content[a:b]
        case "insert":
            content[a:a] = draw.randbytes(draw.randrange(1, 64))
        case "end":
            del content[a:]
        case "zero":
            content[a:b] = bytes(b - a)
        case "append":
            content += draw.randbytes(draw.randrange(1, 64))
    path.write_bytes(content)
    return "", how


def of_file(draw: random.Random, path: Path) -> tuple[str, str]:
    how = draw.choice(("gone", "pipe", "device", "folder", "another", "link", "circle"))
    path.unlink()
    match how:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "another":
            other = draw.choice(sorted(x for x in KEPT.rglob("*") if x.is_file()))
            shutil.copy(other, path)
        case "link":
            path.symlink_to("/nothing/there")
        case "circle":
            path.symlink_to(path)
    return "", how


def of_json(draw: random.Random, path: Path) -> tuple[str, str]:
    document = json.loads(path.read_text())
    owner, key, field = draw.choice(list(_places(document)))
    how = draw.choice(("value", "value", "value", "gone", "name", "number"))
    if how == "gone":
        del owner[key]
    elif how == "name" and isinstance(owner, dict):
        owner[draw.choice(("x", "", "$type", HALF))] = owner.pop(key)
    elif how == "number" and isinstance(owner[key], int | float):
        owner[key] = owner[key] * draw.choice((-1, 2, 0.5, 10**6)) + draw.choice((0, 1))
    else:
        owner[key] = draw.choice(VALUES)
    path.write_text(json.dumps(document, indent=1))
    return field, how


def _places(value: Any, field: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Every place of a document: its owner, its key there, and the way to it."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, dict | list) else ():
        place = f"{field}.{key}".lstrip(".")
        yield value, key, place
        if isinstance(value[key], dict | list):
            yield from _places(value[key], place)


def of_table(draw: random.Random, path: Path) -> tuple[str, str]:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    k = draw.randrange(len(rows))
    how = draw.choice(("cell", "cell", "cell", "gone", "twice", "order", "column"))
    match how:
        case "cell":
            rows[k][draw.randrange(len(rows[k]))] = draw.choice(CELLS)
        case "gone":
            del rows[k]
        case "twice":
            rows.insert(k, rows[k])
        case "order":
            draw.shuffle(rows)
        case "column":
            c = draw.randrange(len(rows[0]))
            rows = [row[:c] + row[c + 1 :] for row in rows]
    path.write_text("".join(f"{','.join(row)}\n" for row in rows))
    return "", how
