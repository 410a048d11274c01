"""A real browser, and pages that note whatever goes wrong in them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import Open
from playwright.sync_api import Browser, Page, expect, sync_playwright

from report_runs import train_pair

expect.set_options(timeout=300_000)  # milliseconds: what never comes ends, what is slow does not
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return train_pair(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def report(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with films, made once."""
    import uphill

    return uphill.load(pair[0]).report(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "install Chromium: apt-get install chromium"
    # Playwright gives each launch an empty profile of its own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a page, in a fresh profile; at the end nothing may have gone wrong or been asked for."""
    troubles: list[str] = []
    contexts = []

    def open_page(where: Path | str, **settings: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(300_000)
        origin = where.as_uri() if isinstance(where, Path) else where.split("/", 3)[2]
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))

        def note(url: str) -> None:
            if not url.startswith("data:") and origin not in url:
                troubles.append(f"request: {url}")

        page.on("request", lambda request: note(request.url))
        page.goto(where.as_uri() if isinstance(where, Path) else where)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles
