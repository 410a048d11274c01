"""From runs to HTML: a single self-contained page that makes no network request."""

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import uphill
from uphill.errors import UphillError
from uphill.runs.experiment import as_path
from uphill.runs.files import REPORT_FILE, make_folder, write_file
from uphill.runs.place import Place
from uphill.runs.saved import SavedRun
from uphill.runs.sensitivity import SavedSensitivity
from uphill.runs.sweeps import SavedSweep
from uphill.training.evaluate import tell
from uphill.views.report.comparison import comparison_of
from uphill.views.report.films import EmbeddedFilm, films_of
from uphill.views.report.sensitivity import view_of_sensitivity
from uphill.views.report.sweeps import view_of_sweep
from uphill.views.report.view import RunView, view_of
from uphill.words import glued, number

TEMPLATES = Path(__file__).parent
NO_FILMS = "The page was asked to come without films."


@dataclass(frozen=True)
class Live:
    """What a page of `uphill watch` has beyond one on a disk."""

    refresh: float = 0
    """seconds after which it reloads itself; 0 for never"""
    note: str = ""
    """why there are no films (yet)"""


@dataclass(frozen=True)
class Page:
    """HTML, and the Content-Security-Policy that it states itself; a server may send it, too."""

    html: str
    policy: str
    why_no_films: str = ""


def write_report(
    runs: SavedRun | Sequence[SavedRun],
    out: str | Path | None = None,
    films: bool = True,
    allow_import: bool = False,
) -> Path:
    """Write the report of a run, or the comparison of several; its path.

    By default that is `report.html` in the run directory, and `runs/report-TIME.html` for several.
    `allow_import` lets films import the module that a `module:ID` environment names.

    Raises:
        UphillError: if a run is damaged, or the page can't be written.
    """
    runs = [runs] if isinstance(runs, SavedRun) else list(runs)
    runs = list({run.path.resolve(): run for run in runs}.values())  # each once
    if not runs:
        raise UphillError("There is no run to report on: name at least one run directory.")
    for run in runs:
        run.check_final("A report")
    path = _where(runs, out)
    if len(runs) == 1:
        page = report_page(runs[0], films, allow_import=allow_import)
        if films and page.why_no_films:
            tell(page.why_no_films)
    else:
        page = comparison_page(runs)
    return _written(page, path)


def _written(page: Page, path: Path) -> Path:
    make_folder(path.parent)
    write_file(path, page.html.encode())
    return path


def _where(runs: Sequence[SavedRun], out: str | Path | None) -> Place:
    """The file to write."""
    if out:
        return _html(out)
    if len(runs) == 1:
        return runs[0].path / REPORT_FILE
    return Place.of(Path("runs", time.strftime("report-%Y%m%d-%H%M%S.html")))


def _html(out: str | Path) -> Place:
    path = as_path(out, "out", "the path of a file to write")
    if path.suffix.lower() not in (".html", ".htm"):  # it would replace whatever is there
        raise UphillError(f"out is {out}: give a file that ends in .html.")
    return path


def report_page(
    run: SavedRun, films: bool = True, live: Live | None = None, allow_import: bool = False
) -> Page:
    """The report of one run.

    Raises:
        UphillError: if the run is damaged.
    """
    view = view_of(run)
    made, why = {}, "" if films else NO_FILMS
    if films and view.chapters:
        made, why = films_of(run, allow_import)
    in_order = [made.get(chapter.update) for chapter in view.chapters]
    page = _render(
        "run.html",
        live,
        view=view,
        films=in_order if made else [],
        why_no_films=live.note if live and live.note else why,
        story=_story(view, in_order),
        episodes=(run.evaluation or {}).get("episodes", 0),
    )
    return replace(page, why_no_films=why)


def comparison_page(runs: Sequence[SavedRun], live: Live | None = None) -> Page:
    """The page that compares several runs.

    Raises:
        UphillError: if one of them is damaged.
    """
    return _render("comparison.html", live, **comparison_of(runs))


def study_page(
    study: SavedSweep | SavedSensitivity, live: Live | None = None, name: str | None = None
) -> Page:
    """The page of a sweep, or of a study of sensitivity; `name` is what a server knows a sweep by.

    Raises:
        UphillError: if a file of it was altered.
    """
    if isinstance(study, SavedSweep):
        return _render("sweep.html", live, **view_of_sweep(study, name))
    return _render("sensitivity.html", live, **view_of_sensitivity(study))


def write_study_report(study: SavedSweep | SavedSensitivity, out: str | Path | None = None) -> Path:
    """Write the page of a study, by default `report.html` in its folder; its path.

    Raises:
        UphillError: if a file of it was altered, or the page can't be written.
    """
    path = _html(out) if out else study.path / REPORT_FILE
    return _written(study_page(study), path)


def index_page(
    rows: Sequence[Any], folder: str, refresh: float, sweeps: Sequence[Any] = ()
) -> Page:
    """The list of runs, and of sweeps, that `uphill watch` shows."""
    return _render("index.html", Live(refresh), rows=rows, folder=folder, sweeps=sweeps)


def _story(view: RunView, films: Sequence[EmbeddedFilm | None]) -> dict[str, Any]:
    """What the page's script knows of the timeline."""
    total = max([1, *(chapter.steps for chapter in view.chapters), round(view.curve.x_range[1])])
    chapters = [
        {
            "title": chapter.title,
            "when": glued(chapter.when),
            "steps": chapter.steps,
            "film": None if film is None else {"fps": film.fps, "returns": film.returns},
        }
        for chapter, film in zip(view.chapters, films, strict=True)
    ]
    return {"total": total, "step": max(1, total // 200), "chapters": chapters}


def _render(template: str, live: Live | None, **content: Any) -> Page:
    refresh = live.refresh if live else 0
    style = (TEMPLATES / "report.css").read_text()
    script = (TEMPLATES / "report.js").read_text()
    if live:
        script += (TEMPLATES / "watch.js").read_text()
    policy = content_policy(style, script, live is not None)
    html = (
        _templates()
        .get_template(template)
        .render(
            style=Markup(style),
            script=Markup(script),
            policy=policy,
            version=uphill.__version__,
            refresh=refresh,
            back=live is not None,
            **content,
        )
    )
    return Page(html.encode(errors="replace").decode(), policy)  # a folder's name may be no text


def content_policy(style: str, script: str, is_live: bool) -> str:
    """What the page may do: this style and script, pictures and films out of itself, no request.

    A page of `uphill watch` may ask its own server, to renew itself and to compare runs.
    """
    own = "connect-src 'self'; form-action 'self'" if is_live else "form-action 'none'"
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        f"img-src data:; media-src data:; base-uri 'none'; {own}"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _whole(value: Any) -> Any:
    """What a template shows, without a line break between a number and its unit. JSON and markup
    stay as they are."""
    return glued(value) if type(value) is str else value


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("uphill.views.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_whole,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["number"] = number
    templates.filters["exact"] = escape  # what is to be copied keeps its spaces
    templates.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return templates
