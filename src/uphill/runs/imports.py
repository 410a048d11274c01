"""User modules that a run names: which of them may be imported.

A run directory is data, and nothing in it may cause an import. Only the user may: by allowing it,
or by having trained with the module (or allowed it) before, from the current folder. This is
remembered in a private folder of the user, outside of any run: the name as it was given,
`module:Name`; the folder; and the files that an import of it runs first, each with its checksum.
For another name, from another folder, or with other contents, permission is needed again.
"""

import hashlib
import json
import os
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path

from uphill.errors import UphillError
from uphill.runs.files import write_atomically
from uphill.runs.place import current_folder


def may_import(name: str, is_allowed: bool, current: str | None = None) -> bool:
    """Whether the module of `module:Name` may be imported: the user allows it, or did before, from
    the folder `current` (by default the current one).

    Raises:
        UphillError: unless it is said by True or False: any text would do.
    """
    if not isinstance(is_allowed, bool):
        raise UphillError(f"allow_import is {is_allowed!r}: use True or False.")
    return is_allowed or _is_remembered(name, _folder(current))


def remember(name: str, current: str | None = None) -> None:
    """Remember that this user trained with `module:Name`, or allowed it. If that can't be stored,
    or there is no file to recognise, permission will be needed again."""
    current = _folder(current)
    record, path = _record(name, current), _path(name, current)
    if record is None or path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record, indent=1).encode(), is_durable=False)


def _is_remembered(name: str, current: str) -> bool:
    path = _path(name, current)
    try:
        if path is None or not (_is_private(path.parent) and _is_private(path)):
            return False
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return kept == _record(name, current)


def _record(name: str, current: str) -> dict | None:
    """What identifies the module; None if it has no file."""
    module, _, rest = name.partition(":")
    # Another colon would name another module; and what is local to a function can't be imported.
    is_whole = rest and ":" not in rest and "<locals>" not in rest and module != "__main__"
    files = _files_of(module, current) if is_whole else None
    return files and {"name": name, "folder": current, "files": files}


def _path(name: str, current: str) -> Path | None:
    """Where it is kept: a file for each name and folder."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME", ""))
        if not state.is_absolute():  # such as "", which says nothing
            state = Path.home() / ".local" / "state"
        key = hashlib.sha256(f"{name}\n{current}".encode()).hexdigest()
    except RuntimeError:  # no home
        return None
    return state / "uphill" / "imports" / f"{key[:32]}.json"


def _is_private(path: Path) -> bool:
    """Whether only this user could have written it."""
    found = path.stat()
    is_ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return is_ours and not found.st_mode & 0o022


def _folder(current: str | None) -> str:
    return current_folder() if current is None else current


def _files_of(module: str, current: str) -> dict[str, str] | None:
    """The files that an import runs first, those of the packages around it included, with their
    checksums. They are found without importing anything: to look for `a.b` as `importlib.util` does
    would import `a`. None where one of them is no file on the usual path."""
    files, names = {}, module.split(".")
    here = [] if {"", current} & set(sys.path) else [current]
    places: list[str] | None = [*sys.path, *here]
    for k in range(1, len(names) + 1):
        spec = PathFinder.find_spec(".".join(names[:k]), places)
        if spec is None or not spec.has_location or spec.origin is None:
            return None
        try:
            path = Path(spec.origin).resolve()
            files[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return None
        places = list(spec.submodule_search_locations or ())
    return files
