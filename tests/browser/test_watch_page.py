"""`uphill watch` in a real browser: the page grows with its run, and stays where it is."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import SCREENS, Open, check_access
from playwright.sync_api import expect

from report_runs import copied
from uphill.views.report import shelf
from uphill.views.watch import Server, make_server

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(shelf, "REFRESH", 0.2)
    with make_server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_page_of_a_run_grows_with_it(
    server: Server, pair: tuple[Path, Path], tmp_path: Path, open_page: Open
) -> None:
    run = copied(pair[0], tmp_path / "run", "evaluation.json", steps=10_000)
    whole = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(whole[: len(whole) // 2 | 1]))
    manifest = json.loads((run / "checkpoint" / "latest.json").read_text())
    manifest["facts"]["num_transitions"] = [100, 100]
    (run / "checkpoint" / "latest.json").write_text(json.dumps(manifest))
    page = open_page(f"http://127.0.0.1:{server.server_port}/")
    expect(page.locator(".state")).to_have_text("training")
    page.get_by_role("link", name="run").click()
    lead = page.locator(".lead")
    before = lead.inner_text()
    page.locator("details").last.evaluate("part => { part.open = true; }")
    page.evaluate("window.scrollTo(0, 700); window.stays = true;")
    # Training goes on …
    (run / "metrics.csv").write_text("".join(whole))
    expect(lead).not_to_have_text(before)
    assert page.evaluate("window.scrollY") == 700
    assert page.evaluate("window.stays"), "the page was renewed, not loaded again"
    assert page.locator("details").last.evaluate("part => part.open")
    # … and ends: the evaluation appears, then the films, and their timeline works.
    (run / "evaluation.json").write_text((pair[0] / "evaluation.json").read_text())
    expect(page.locator("h1")).to_contain_text("olved")
    page.locator("video").first.wait_for(timeout=300_000)
    assert page.evaluate("window.scrollY") == 700
    page.locator("#timeline").fill("0")
    expect(page.locator(".chapter").first).to_have_attribute("aria-current", "step")
    assert page.evaluate("document.querySelector('main').dataset.refresh") is None


def test_runs_are_found_sorted_ticked_and_compared(
    server: Server, pair: tuple[Path, Path], tmp_path: Path, open_page: Open
) -> None:
    copied(pair[0], tmp_path / "beta")
    copied(pair[1], tmp_path / "alpha")
    other = copied(pair[1], tmp_path / "gamma 10 s", "evaluation.json", env="Pendulum-v1")
    (other / "metrics.csv").unlink()  # it has no return yet
    page = open_page(f"http://127.0.0.1:{server.server_port}/")
    names, button = page.locator(".runs tbody tr:visible th a"), page.locator("#compare")
    expect(button).to_be_disabled()
    for order, expected in {
        "name": ["alpha", "beta", "gamma 10 s"],
        "env": ["CartPole-v1", "Pendulum-v1"],
        "return": ["beta", "alpha", "gamma 10 s"],
    }.items():
        page.locator("#sort").select_option(order)
        found = names.all_inner_texts()
        if order != "env":
            assert found == expected
        else:
            assert found[-1] == "gamma 10 s"
    page.locator("#filter").fill("cartpole ALPHA")
    expect(names).to_have_count(1)
    page.locator("#filter").fill("nothing at all")
    expect(page.locator("#none")).to_be_visible()
    page.locator("#filter").fill("")
    page.get_by_label("Compare alpha").check()
    expect(page.locator("#chosen")).to_have_text("Tick one more run to compare them.")
    page.get_by_label("Compare gamma 10 s").check()
    # What was chosen stays when the page renews itself.
    copied(pair[0], tmp_path / "delta")
    expect(names).to_have_count(4)
    expect(page.get_by_label("Compare gamma 10 s")).to_be_checked()
    expect(page.locator("#sort")).to_have_value("return")
    check_access(page)
    expect(button).to_have_text("Compare 2 runs")
    button.click()
    expect(page.locator("h1")).to_have_text("2 runs compared")
    for name in ("alpha", "gamma 10 s"):
        expect(page.locator("body")).to_contain_text(name)
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_label("Compare alpha")).to_be_checked()
    expect(button).to_have_text("Compare 2 runs")


def test_a_run_with_one_point_has_a_mark(
    server: Server, pair: tuple[Path, Path], tmp_path: Path, open_page: Open
) -> None:
    run = copied(pair[0], tmp_path / "run")
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    known = next(k for k, line in enumerate(lines[1:], 1) if line.split(",")[5])
    (run / "metrics.csv").write_text(lines[0] + lines[known])
    page = open_page(f"http://127.0.0.1:{server.server_port}/")
    mark = page.locator(".spark .mark")
    expect(mark).to_have_count(1)
    assert mark.evaluate("mark => getComputedStyle(mark).strokeLinecap") == "round"


def test_new_runs_appear_in_the_list(
    server: Server, pair: tuple[Path, Path], tmp_path: Path, open_page: Open
) -> None:
    page = open_page(f"http://localhost:{server.server_port}/")
    expect(page.locator("body")).to_contain_text("There is no run here yet")
    copied(pair[0], tmp_path / "run <b>one")
    expect(page.get_by_role("link")).to_have_text("run <b>one")
    for screen in SCREENS.values():
        other = open_page(f"http://localhost:{server.server_port}/", **screen)
        expect(other.locator(".spark .line")).to_be_visible()
        width = other.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1]
        check_access(other)
