"""Folders as bytes, to be sent between machines; a packed folder is always consistent."""

import io
import json
import time
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from uphill.errors import UphillError
from uphill.runs.lock import LOCK_FILE

_TRIES = 20


def packed(folder: Path, among: Collection[str] | None = None) -> bytes:
    """All files of a folder, or of those folders in it that are `among` these. A training may be
    writing in it: then it is packed again, until each checkpoint is there with its tensors.

    Raises:
        UphillError: if that does not come about.
    """
    for _ in range(_TRIES):
        try:
            found = {name: (folder / name).read_bytes() for name in _names(folder, among)}
        except FileNotFoundError:
            found = None
        if found is not None and _is_whole(found):
            return _as_zip(found)
        time.sleep(0.05)
    raise UphillError(f"{folder} can't be packed: its checkpoint does not name files that it has.")


def _names(folder: Path, among: Collection[str] | None) -> list[str]:
    """Its files, in the order in which they are to be read: a checkpoint may be older than what it
    goes by (the best learners, metrics.csv), as after a crash, and never newer."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    names = [x for x in names if among is None or x.split("/")[0] in among]
    kept = [x for x in names if not x.endswith(".tmp") and Path(x).name != LOCK_FILE]

    def place(name: str) -> tuple[int, bool]:
        base = Path(name).name
        order = ("latest", "best")
        which = next((k for k, x in enumerate(order) if base.startswith(x)), len(order))
        return which, not base.endswith(".json")

    return sorted(kept, key=place)


def _is_whole(found: dict[str, bytes]) -> bool:
    for name, content in found.items():
        if Path(name).name in ("latest.json", "best.json"):
            tensors = json.loads(content)["tensors"]
            if str(Path(name).with_name(tensors)) not in found:
                return False
    return True


def _as_zip(found: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, file in found.items():
            archive.writestr(name, file)
    return content.getvalue()


def unpack_parcel(parcel: bytes, folder: Path) -> None:
    """Write what was packed into a folder."""
    with zipfile.ZipFile(io.BytesIO(parcel)) as archive:
        archive.extractall(folder)


def names_in(parcel: bytes) -> Iterator[str]:
    """What was packed, by name."""
    with zipfile.ZipFile(io.BytesIO(parcel)) as archive:
        yield from archive.namelist()
