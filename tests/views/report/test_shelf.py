"""Which runs are found, and which pages are made anew."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from report_runs import copied
from uphill.errors import UphillError
from uphill.views.report import shelf as home
from uphill.views.report.page import Live, Page
from uphill.views.report.shelf import Shelf, find_runs


def test_runs_are_found_in_folders_too_and_never_outside(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    secret = copied(pair[0], tmp_path / "secret")
    for name in ("one", "study/two", "a/b/three", "too/deep/to/find"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copied(pair[0], root / name)
    linked = copied(pair[0], root / "linked")
    (linked / "metrics.csv").unlink()
    (linked / "metrics.csv").symlink_to(secret / "metrics.csv")
    deep = copied(pair[0], root / "linked_within")
    (deep / "checkpoint").rename(deep / "kept")
    (deep / "checkpoint").symlink_to(deep / "kept")
    (root / "link").symlink_to(secret)
    assert set(find_runs(root)) == {"one", "study/two", "a/b/three", "linked_within"}
    assert set(find_runs(root / "one")) == {"one"}
    assert find_runs(tmp_path / "nowhere") == {}
    shelf = Shelf(root)
    page = shelf.index().html.replace("\u00a0", " ")
    assert f"{linked}/metrics.csv is a link that leads out of {root}" in page
    assert "/report?run=linked_within" in page
    assert '/report?run=linked"' not in page
    assert shelf.report("linked") is None


def test_one_run_that_cannot_be_shown_leaves_the_others(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(pair[0], tmp_path / "whole")
    for name in ("column", "step", "circle"):
        copied(pair[0], tmp_path / name)
    metrics = (tmp_path / "column" / "metrics.csv").read_text()
    renamed = metrics.replace("rollout/episode_return", "return", 1)
    (tmp_path / "column" / "metrics.csv").write_text(renamed)
    header, first, *rest = metrics.splitlines()
    cells = first.split(",")
    cells[header.split(",").index("steps")] = "inf"
    text = "\n".join([header, ",".join(cells), *rest, ""])
    (tmp_path / "step" / "metrics.csv").write_text(text)
    (tmp_path / "circle" / "a").symlink_to(tmp_path / "circle" / "b")
    (tmp_path / "circle" / "b").symlink_to(tmp_path / "circle" / "a")
    copied(pair[0], tmp_path / os.fsdecode(b"caf\xe9"))
    shelf = Shelf(tmp_path)
    page = shelf.index().html
    for sentence in ("no column rollout/episode_return", "line 2 has inf as steps"):
        assert sentence in page.replace("\u00a0", " ")
    for name in ("whole", "circle", "caf%5Cxe9"):
        assert f'"/report?run={name}"' in page
    films_at_once(monkeypatch)
    assert shelf.report("caf\\xe9") is not None
    with pytest.raises(UphillError, match="no column rollout/episode_return"):
        shelf.report("column")
    page.encode()
    # What is no mistake of anyone's is told, too.
    monkeypatch.setattr(home, "overview_of", lambda _: [][1])
    assert "be shown: IndexError: list index out of range." in Shelf(tmp_path).index().html
    shelf.close()


def films_at_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pages without any film, which are counted."""
    made: list[str] = []
    real = home.report_page

    def page_of(run: Any, films: bool = True, live: Live | None = None, *_: bool) -> Page:
        made.append("films" if films else "page")
        return real(run, False, live)

    monkeypatch.setattr(home, "report_page", page_of)
    return made


def test_pages_are_made_anew_only_when_something_changed(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = films_at_once(monkeypatch)
    run = copied(pair[0], tmp_path / "run", "evaluation.json", steps=10**6)
    shelf = Shelf(tmp_path)
    first = shelf.report("run")
    assert first is not None
    assert "Still training" in first.html
    assert "when training is over" in first.html
    assert shelf.report("run") is first
    with (run / "metrics.csv").open("a") as file:
        file.write((run / "metrics.csv").read_text().splitlines()[-1] + "\n")
    assert shelf.report("run") is not first
    assert made == ["page", "page"]
    shelf.close()


def test_films_are_made_once_training_is_over(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = films_at_once(monkeypatch)
    copied(pair[0], tmp_path / "run")
    shelf = Shelf(tmp_path)
    before = shelf.report("run")
    assert before is not None
    assert 'data-refresh="3"' in before.html
    assert "will appear here" in before.html
    while 'data-refresh="3"' in (shelf.report("run") or before).html:
        time.sleep(0.02)
    assert sorted(made) == ["films", "page"]
    assert shelf.report("run") is shelf.report("run")
    shelf.close()


def test_films_that_can_not_be_made_are_explained(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = home.report_page

    def breaks(run: Any, films: bool = True, live: Live | None = None, *_: bool) -> Page:
        if films:
            raise ZeroDivisionError
        return real(run, False, live)

    monkeypatch.setattr(home, "report_page", breaks)
    copied(pair[0], tmp_path / "run")
    shelf = Shelf(tmp_path)
    shelf.report("run")
    shelf._maker.shutdown()  # once the films are made
    page = shelf.report("run")
    assert page is not None
    assert "could not be made: the environment raised ZeroDivisionError" in page.html


def test_the_list_tells_damaged_runs_and_none(pair: tuple[Path, Path], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert "There is no run here yet" in shelf.index().html
    copied(pair[0], tmp_path / "good run & more")
    bad = copied(pair[0], tmp_path / "bad")
    (bad / "experiment.json").write_text("{}")
    page = shelf.index().html
    assert 'href="/report?run=good%20run%20%26%20more"' in page
    assert "good run &amp; more" in page
    assert "experiment.json is damaged" in page
    assert page.count('href="/report') == 1
    assert shelf.index().html == page
    with pytest.raises(UphillError, match="is damaged"):
        shelf.report("bad")
    assert shelf.report("nothing") is None
