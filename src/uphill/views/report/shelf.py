"""The runs of a folder and the pages about them, cached as long as nothing changes."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from uphill.errors import UphillError
from uphill.runs.files import (
    EVALUATION_FILE,
    EXPERIMENT_FILE,
    METRICS_FILE,
    MILESTONES_FILE,
    SENSITIVITY_FILE,
    SWEEP_FILE,
    manifest_file,
)
from uphill.runs.saved import SavedRun
from uphill.runs.sensitivity import SavedSensitivity, is_sensitivity
from uphill.runs.sweeps import SavedSweep
from uphill.views.report.page import (
    Live,
    Page,
    comparison_page,
    index_page,
    report_page,
    study_page,
)
from uphill.views.report.verdict import is_evaluated_last
from uphill.views.report.view import Overview, overview_of
from uphill.words import count, listed

REFRESH = 3
"""Seconds after which pages renew themselves."""
DEPTH = 3
"""Folders below the one that is watched in which runs are looked for."""
KEPT = 8
"""Pages with films that are kept, and comparisons."""
_MAKING = "The films are being made, and will appear here by themselves."
_LATER = "The films are made when training is over."


@dataclass(frozen=True)
class ListedSweep:
    """A sweep in the list."""

    name: str
    link: str
    """to its page; none where it can't be read"""
    about: str


@dataclass(frozen=True)
class ListedRun:
    """A run in the list."""

    name: str
    link: str
    """to its report; none where it can't be read"""
    seen: Overview


class Shelf:
    """The runs of a folder, and the pages about them that were made already.

    Pages are made one at a time; films by a thread, since they take long.
    """

    def __init__(self, root: Path, allow_import: bool = False) -> None:
        self.root, self._allow_import = root, allow_import
        self._lock = Lock()
        self._rows: dict[str, tuple[Any, ListedRun]] = {}
        self._pages: dict[str, tuple[Any, Page]] = {}
        self._comparisons: dict[str, tuple[Any, Page]] = {}
        self._films: dict[str, tuple[Any, Future[Page]]] = {}
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="films")

    def index(self) -> Page:
        """The list of runs, the latest first."""
        with self._lock:
            runs = dict(_found(self.root, EXPERIMENT_FILE))
            newest = sorted(runs, key=lambda name: -_newest(runs[name]))
            rows = [self._row(name, runs[name]) for name in newest]
            found = {**find_studies(self.root), **find_sweeps(self.root)}
            sweeps = [_listed(name, path) for name, path in found.items()]
            return index_page(rows, str(self.root.resolve()), REFRESH, sweeps)

    def report(self, name: str) -> Page | None:
        """The report of a run of that name, or None if there is none.

        Raises:
            UphillError: if the run is damaged.
        """
        with self._lock:
            run = find_runs(self.root).get(name)
            if run is None:
                return None
            return self._page(name, run)

    def comparison(self, names: Sequence[str]) -> Page | None:
        """The comparison of several runs, or None if one of the names is that of none.

        Raises:
            UphillError: if a run is damaged.
        """
        with self._lock:
            found = find_runs(self.root)
            if not names or not found.keys() >= set(names):
                return None
            runs = [found[name] for name in dict.fromkeys(names)]
            state, key = tuple(map(_stamp, runs)), "\n".join(names)
            known = self._comparisons.get(key)
            if known is not None and known[0] == state:
                return known[1]
            is_over = all((run / EVALUATION_FILE).exists() for run in runs)
            live = Live() if is_over else Live(REFRESH)
            page = comparison_page([SavedRun(run) for run in runs], live)
            self._comparisons[key] = (state, page)
            for old in list(self._comparisons)[:-KEPT]:
                del self._comparisons[old]
            return page

    def sweep(self, name: str) -> Page | None:
        """The page of a sweep, or of a study of sensitivity, of that name; None if there is none.

        Raises:
            UphillError: if a file of it was altered.
        """
        with self._lock:
            if study := find_studies(self.root).get(name):
                return study_page(SavedSensitivity(study), Live(REFRESH))
            path = find_sweeps(self.root).get(name)
            if path is None:
                return None
            depth = len(path.relative_to(self.root).parts)
            place = None if depth >= DEPTH else name if depth else ""  # as deep, no run is found
            return study_page(SavedSweep(path), Live(REFRESH), place)

    def close(self) -> None:
        self._maker.shutdown(wait=False, cancel_futures=True)

    def _row(self, name: str, run: Path) -> ListedRun:
        if (link := _link_out(self.root.resolve(), run)) is not None:
            return _damaged(name, f"{link} is a link that leads out of {self.root}: remove it.")
        state = _stamp(run)
        if name in self._rows and self._rows[name][0] == state:
            return self._rows[name][1]
        try:
            seen = overview_of(SavedRun(run))
            row = ListedRun(name, f"/report?run={quote(name, safe='')}", seen)
        except UphillError as error:
            row = _damaged(name, str(error))
            if _is_of_the_moment(error):
                return row
        except Exception as error:  # whatever one run has, the others are listed
            row = _damaged(name, f"{run} can't be shown: {type(error).__name__}: {error}.")
        self._rows[name] = (state, row)
        return row

    def _page(self, name: str, run: Path) -> Page:
        state, is_finished = _stamp(run), (run / EVALUATION_FILE).exists()
        films = self._films_for(name, run, state) if is_finished else None
        if films is not None and films.done():
            return _result(films, run)
        known = self._pages.get(name)
        if known is not None and known[0] == state:
            return known[1]
        note = _MAKING if is_finished else _LATER
        page = report_page(SavedRun(run), films=False, live=Live(REFRESH, note))
        self._pages[name] = (state, page)
        return page

    def _films_for(self, name: str, run: Path, state: Any) -> Future[Page]:
        """The page with films: begun, if that was not done since the run changed."""
        known = self._films.get(name)
        if known is not None and known[0] == state:
            return known[1]
        saved = SavedRun(run, allow_import=self._allow_import)
        made = self._maker.submit(report_page, saved, True, Live(), self._allow_import)
        self._films[name] = (state, made)
        for old in list(self._films)[:-KEPT]:
            self._films.pop(old)[1].cancel()
        return made


def _damaged(name: str, why: str) -> ListedRun:
    return ListedRun(name, "", Overview("", why, "unreadable", "bad", None, None))


def _is_of_the_moment(error: BaseException | None) -> bool:
    """Whether the system refused something, and may not the next time: too many open files, say."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error is not None


def _result(made: Future[Page], run: Path) -> Page:
    """The page with films; one without where making them failed."""
    error = made.exception()
    if error is None:
        return made.result()
    if isinstance(error, UphillError):
        raise error
    note = f"The films could not be made: the environment raised {type(error).__name__}."
    return report_page(SavedRun(run), films=False, live=Live(note=note))


def _listed(name: str, path: Path) -> ListedSweep:
    try:
        about = _about(path)
    except UphillError as error:
        return ListedSweep(name, "", str(error))
    return ListedSweep(name, f"/sweep?name={quote(name, safe='')}", about)


def _about(path: Path) -> str:
    if is_sensitivity(path):
        study = SavedSensitivity(path)
        return f"sensitivity of {listed(study.algos)} in {count(len(study.envs), 'environment')}"
    sweep = SavedSweep(path)
    return f"{sweep.env} · {sweep.algo} · {count(len(sweep.runs), 'setting')}"


def find_runs(root: Path) -> dict[str, Path]:
    """Run directories in `root`, by their paths from there; those that lead out of it by a link
    are left out."""
    return _inside(root, EXPERIMENT_FILE)


def find_sweeps(root: Path) -> dict[str, Path]:
    """Folders of sweeps in `root`, by their paths from there, in the same way."""
    return _inside(root, SWEEP_FILE)


def find_studies(root: Path) -> dict[str, Path]:
    """Folders of studies of sensitivity in `root`, by their paths from there, in the same way."""
    return _inside(root, SENSITIVITY_FILE)


def _inside(root: Path, file: str) -> dict[str, Path]:
    home = root.resolve()
    return {name: path for name, path in _found(root, file) if _link_out(home, path) is None}


def _found(root: Path, file: str) -> Iterator[tuple[str, Path]]:
    """Folders that hold such a file; no other is looked for in them."""
    for folder, inner, files in os.walk(root):
        inside = Path(folder).relative_to(os.fspath(root))
        path, depth, is_one = root / inside, len(inside.parts), file in files
        if is_one:
            yield _as_text(inside.as_posix() if depth else root.resolve().name), path
        if is_one or depth >= DEPTH:
            inner.clear()


def _link_out(home: Path, run: Path) -> Path | None:
    """A link of a run through which a report would read outside of the watched folder."""
    paths = (Path(a, name) for a, inner, files in os.walk(run) for name in (*inner, *files))
    # Not `Path.resolve`, which raises where links lead in a circle.
    outside = (
        path
        for path in paths
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home)
    )
    return next(outside, None)


def _as_text(name: str) -> str:
    """A name that can be shown and asked for, also where its bytes are no text."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _stamp(run: Path) -> tuple[Any, ...]:
    """What changes when a page about the run would: its files; and, before it is finished, their
    age for as long as that tells training from an interruption."""
    files = [run / name for name in (EXPERIMENT_FILE, METRICS_FILE, EVALUATION_FILE)]
    files += [run / MILESTONES_FILE, manifest_file(run, "latest")]
    stats = [_stat(path) for path in files]
    newest = max((s.st_mtime for s in stats if s), default=0.0)
    age = 0 if is_evaluated_last(run) else min(time.time() - newest, 600) // 30
    return (age, *((s.st_mtime_ns, s.st_size) if s else None for s in stats))


def _stat(path: Path) -> os.stat_result | None:
    """None where there is no such file, or not any more."""
    try:
        return path.stat()
    except OSError:
        return None


def _newest(run: Path) -> float:
    """When something was last written."""
    times = (changed[0] for changed in _stamp(run)[1:] if changed is not None)
    return max(times, default=0)
