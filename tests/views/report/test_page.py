"""The page: whole in itself, allowed nothing, and everything in it that came from a run is text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report_runs import copied, hostile, load
from small_runs import contents_of
from uphill.cli import main
from uphill.errors import UphillError
from uphill.views.report import write_report
from uphill.views.report.page import Live, comparison_page, index_page, report_page

ROOT = Path(__file__).parents[3]
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Read(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(html)
        assert not self.open, f"{self.open} are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def pages(pair: tuple[Path, Path]) -> dict[str, str]:
    runs = [load(path) for path in pair]
    return {
        "report": report_page(runs[0], films=False).html,
        "live": report_page(runs[0], films=False, live=Live(3, "later")).html,
        "comparison": comparison_page(runs).html,
        "index": index_page([], "runs", 3).html,
    }


def test_pages_are_well_formed_and_ask_nothing_of_any_network(pair: tuple[Path, Path]) -> None:
    for name, html in pages(pair).items():
        page = Read(html)
        for link in page.attributes("src") + page.attributes("href"):
            assert link.startswith("data:") or (name == "live" and link == "/")
        assert not page.attributes("style"), "the policy forbids them"
        assert not [key for _, each in page.tags for key in each if key.startswith("on")]
        ids = page.attributes("id")
        assert len(ids) == len(set(ids))
        style = "".join(page.texts["style"])
        assert "url(" not in style
        assert "@import" not in style


def test_the_policy_allows_this_style_and_this_script_alone(pair: tuple[Path, Path]) -> None:
    for name, html in pages(pair).items():
        page = Read(html)
        (policy,) = (
            attributes["content"] or ""
            for tag, attributes in page.tags
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
        assert len(scripts) == 1
        for kind, text in (("style", "".join(page.texts["style"])), ("script", scripts[0])):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert ("connect-src 'self'" in policy) == (name in ("live", "index"))


def test_no_number_is_parted_from_its_unit(pair: tuple[Path, Path]) -> None:
    for html in pages(pair).values():
        shown = re.sub(r"<(style|script|code)\b.*?</\1>|<[^>]*>", "", html, flags=re.DOTALL)
        assert not re.findall(r".*\d (?:steps|episodes|seeds|min|s|h|ms|µs|%)(?!\w).*", shown)


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_a_hostile_name_stays_text(kind: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    run = hostile(pair[0], tmp_path / "<b>run</b>")
    runs = [load(run), load(copied(run, tmp_path / "second"))]
    page = report_page(runs[0]) if kind == "report" else comparison_page(runs)
    read = Read(page.html)
    tags = [tag for tag, _ in read.tags]
    assert "img" not in tags
    assert "b" not in tags
    assert tags.count("script") == (2 if kind == "report" else 1)
    (title,) = ["".join(read.texts["title"][:1])]
    assert "<script>document.title = 'owned'</script>" in title
    assert "{{ 7 * 7 }}" in page.html  # what a run says is no template either
    assert "49" not in "".join(read.texts["td"])


def test_the_script_is_told_the_story_as_json(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "</script><script>alert(1)</script>"
    monkeypatch.setattr("uphill.views.report.view.title", lambda *_: name)
    page = report_page(load(pair[0]), films=False)
    assert "<script>alert" not in page.html
    (text,) = re.findall(r'id="story-data">(.*?)</script>', page.html)
    story = json.loads(text)
    titles = [chapter["title"] for chapter in story["chapters"]]
    assert titles == [name, name, "the trained policy"]
    assert story["chapters"][-1]["steps"] <= story["total"]
    assert "\u00a0steps, " in story["chapters"][-1]["when"]


def test_it_is_written_where_it_is_said(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(pair[0], tmp_path / "run")
    run = load(path)
    assert run.report(films=False) == path / "report.html"
    assert run.report(tmp_path / "a folder" / "page.html", films=False).exists()
    monkeypatch.chdir(tmp_path)
    written = write_report([run, load(pair[1])])
    assert re.fullmatch(r"runs/report-\d{8}-\d{6}\.html", written.as_posix())
    assert written.exists()
    with pytest.raises(UphillError, match="no run to report on"):
        write_report([])
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UphillError, match="could not be written"):
        write_report(run, tmp_path / "folder.html", films=False)
    for name in ("experiment.json", "metrics.csv", "checkpoint/latest.json", "page"):
        before = contents_of(path)
        with pytest.raises(UphillError, match=r"^out is .*: give a file that ends in \.html\.$"):
            write_report(run, path / name, films=False)
        assert contents_of(path) == before


def test_films_are_in_the_page_and_it_stays_small(pair: tuple[Path, Path], tmp_path: Path) -> None:
    path = copied(pair[0], tmp_path / "run")
    html = load(path).report().read_text()
    page = Read(html)
    films = [attributes for tag, attributes in page.tags if tag == "video"]
    assert len(films) == 3
    for film in films:
        assert {"muted", "playsinline", "aria-label"} <= set(film)
        assert (film["src"] or "").startswith("data:video/mp4;base64,")
    assert len(html) < 20e6
    without = load(path).report(films=False).read_text()
    assert "<video" not in without
    assert "asked to come without films" in without


def test_everything_that_repeats_a_run_is_there(pair: tuple[Path, Path]) -> None:
    run = load(pair[0])
    read = Read(report_page(run, films=False).html)
    shown = " ".join(" ".join(read.texts[tag]) for tag in ("td", "code", "th"))
    experiment = run.experiment
    for text in (experiment.command, experiment.platform, experiment.versions["jax"], "0, 1"):
        assert text in shown
    assert "algorithm.optimizer.learning_rate" in shown


def test_the_pages_parts_are_in_the_package() -> None:
    folder = ROOT / "src/uphill/views/report"
    names = {path.name for path in folder.rglob("*") if path.suffix in (".html", ".svg")}
    assert names == {"page.html", "run.html", "comparison.html", "sweep.html", "index.html"} | {
        *("sensitivity.html", "parts.html", "chart.svg")
    }
    ignored = (ROOT / ".gitignore").read_text()
    assert "*.html" not in ignored
    assert "*.js" not in ignored


def test_the_command_line_says_where_the_page_is(
    pair: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(pair[0]), "--out", str(out), "--no-films", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result == {"report": str(out), "bytes": out.stat().st_size, "runs": [str(pair[0])]}
    assert main(["report", *map(str, pair), "--out", str(out)]) == 0
    assert f"{out}  (0.1 MB; open it in any browser)" in capfd.readouterr().out
