"""Reports in a real browser: from the disk, with no network, for everyone."""

from pathlib import Path

import pytest
from pages import SCREENS, Open, check_access, wait_until
from playwright.sync_api import expect

from report_runs import copied, hostile, load
from uphill.views.report import write_report

pytestmark = pytest.mark.browser

PLAYING = "[...document.querySelectorAll('video')].filter((film) => !film.paused).length"
COUNT_PLAYS = """films => {
    window.plays = 0;
    films.forEach((film) => film.addEventListener("play", () => { window.plays += 1; }));
}"""


@pytest.fixture(scope="session")
def comparison(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("comparison") / "page.html"
    return write_report([load(path) for path in pair], out)


@pytest.mark.parametrize("screen", SCREENS)
def test_it_is_there_for_everyone(
    screen: str, report: Path, comparison: Path, open_page: Open
) -> None:
    for where in (report, comparison):
        page = open_page(where, **SCREENS[screen])
        expect(page.locator("h1")).to_be_visible()
        for part in page.locator("details").all():
            part.evaluate("part => { part.open = true; }")
        width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], "nobody should have to scroll sideways"
        check_access(page)


@pytest.mark.parametrize("screen", ["light", "phone"])
def test_labels_stand_beside_the_curve(
    screen: str, report: Path, comparison: Path, open_page: Open
) -> None:
    for where in (report, comparison):
        page = open_page(where, **SCREENS[screen])
        for chart in page.locator(".chart.large, .chart.small").all():
            left = chart.evaluate("chart => chart.getBoundingClientRect().left")
            ends = chart.evaluate(
                "chart => [...chart.querySelectorAll('text[dx=\"-8\"]')]"
                ".map((label) => label.getBoundingClientRect())"
                ".map((box) => [box.left, box.right])"
            )
            assert ends
            assert all(0 <= begin < end < left for begin, end in ends)


def test_tables_that_scroll_say_so(comparison: Path, open_page: Open) -> None:
    said = []
    for screen in ("light", "phone"):
        page = open_page(comparison, **SCREENS[screen])
        for table in page.locator(".wide").all():
            wider = table.evaluate("table => table.scrollWidth > table.clientWidth")
            note = table.locator("xpath=following-sibling::p[1]")
            expect(note).to_be_visible(visible=wider)
            said.append(wider)
    assert {True, False} <= set(said)


def test_the_curve_is_drawn_and_follows_the_colour_scheme(report: Path, open_page: Open) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        page = open_page(report, color_scheme=scheme)
        curve = page.locator(".chart.large .line.curve")
        assert curve.evaluate("line => line.getTotalLength()") > 500
        box = page.locator(".chart.large").bounding_box()
        assert box is not None
        assert box["height"] > 150
        colours.add(curve.evaluate("line => getComputedStyle(line).stroke"))
    assert len(colours) == 2


def test_the_timeline_scrubs_and_plays(report: Path, open_page: Open) -> None:
    page = open_page(report)
    slider, cards = page.locator("#timeline"), page.locator(".chapter")
    films = page.locator("video")
    assert films.count() == cards.count() == 3
    # It begins at the end: the trained policy.
    expect(cards.nth(2)).to_have_attribute("aria-current", "step")
    steps = page.evaluate("JSON.parse(document.querySelector('#story-data').textContent).chapters")
    early, late = steps[1]["steps"] // 2, (steps[1]["steps"] + steps[2]["steps"]) // 2
    films.evaluate_all(COUNT_PLAYS)
    slider.fill(str(early))
    expect(cards.nth(0)).to_have_attribute("aria-current", "step")
    expect(page.locator("#now")).to_contain_text("Untrained, before any learning.")
    wait_until(page, "window.plays === 1")
    slider.fill(str(late))
    expect(cards.nth(1)).to_have_attribute("aria-current", "step")
    expect(cards.nth(0)).not_to_have_attribute("aria-current", "step")
    # About half of the film has been seen at half of the way to the next milestone, and it goes on.
    share = films.nth(1).evaluate("film => film.currentTime / film.duration")
    assert 0.4 < share <= 1
    expect(cards.nth(1).locator(".so-far")).to_contain_text("so far")
    wait_until(page, "window.plays === 2")
    assert films.nth(0).evaluate("film => film.paused")
    assert films.evaluate_all("films => films.every((film) => film.muted && film.playsInline)")
    cards.nth(0).locator(".pick").click()
    expect(cards.nth(0)).to_have_attribute("aria-current", "step")
    wait_until(page, "window.plays === 3")


def test_the_keyboard_is_enough(report: Path, open_page: Open) -> None:
    page = open_page(report)
    slider, cards, play = page.locator("#timeline"), page.locator(".chapter"), page.locator("#play")
    slider.focus()
    before = float(slider.input_value())
    page.keyboard.press("ArrowLeft")
    assert float(slider.input_value()) < before
    assert "steps: " in (slider.get_attribute("aria-valuetext") or "")
    page.keyboard.press("Home")
    expect(cards.nth(0)).to_have_attribute("aria-current", "step")
    page.keyboard.press("PageUp")
    expect(cards.nth(1)).to_have_attribute("aria-current", "step")
    page.keyboard.press("PageDown")
    expect(cards.nth(0)).to_have_attribute("aria-current", "step")
    # The last stop is short of the end here, and leads there all the same.
    slider.evaluate("slider => { slider.step = 0.7 * slider.max; }")
    page.keyboard.press("End")
    expect(cards.nth(2)).to_have_attribute("aria-current", "step")
    slider.evaluate("slider => { slider.step = 1; }")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(play).to_have_text("Pause")
    page.keyboard.press("Space")
    expect(play).to_have_text("Play the story")
    assert page.evaluate(PLAYING) == 0
    page.keyboard.press("Tab")
    expect(play).to_be_focused()


def test_the_story_is_played_in_order(report: Path, open_page: Open) -> None:
    page = open_page(report)
    page.locator("video").evaluate_all("films => films.forEach((f) => { f.playbackRate = 8; })")
    page.evaluate(
        """() => {
            window.seen = [];
            const cards = [...document.querySelectorAll('.chapter')];
            new MutationObserver(() => {
                const k = cards.findIndex((card) => card.hasAttribute('aria-current'));
                if (k >= 0 && window.seen.at(-1) !== k) window.seen.push(k);
            }).observe(document.querySelector('.chapters'), { attributes: true, subtree: true });
        }"""
    )
    page.locator("#play").click()
    expect(page.locator("#play")).to_have_text("Pause")
    wait_until(page, "window.seen.length === 3")
    assert page.evaluate("window.seen") == [0, 1, 2]
    expect(page.locator("#play")).to_have_text("Play the story")


def test_all_films_play_at_once(report: Path, open_page: Open) -> None:
    page = open_page(report)
    page.locator("#together").click()
    wait_until(page, f"{PLAYING} === 3")


def test_who_prefers_less_motion_gets_pictures(report: Path, open_page: Open) -> None:
    page = open_page(report, reduced_motion="reduce")
    page.locator("#timeline").fill("0")
    expect(page.locator(".chapter").nth(0)).to_have_attribute("aria-current", "step")
    page.locator("#next").click()
    expect(page.locator(".chapter").nth(1)).to_have_attribute("aria-current", "step")
    page.wait_for_timeout(300)
    assert page.evaluate(PLAYING) == 0


def test_without_films_the_timeline_is_there(
    pair: tuple[Path, Path], tmp_path: Path, open_page: Open
) -> None:
    path = load(copied(pair[0], tmp_path / "run")).report(films=False)
    page = open_page(path)
    assert page.locator("video").count() == 0
    page.locator("#timeline").fill("0")
    expect(page.locator(".chapter").nth(0)).to_have_attribute("aria-current", "step")


def test_a_comparison_shows_both_runs(comparison: Path, open_page: Open) -> None:
    page = open_page(comparison)
    expect(page.locator("h1")).to_have_text("2 runs compared")
    for name in ("ppo · first", "ppo · second"):
        expect(page.locator(".legend").first).to_contain_text(name)
        expect(page.locator("table").first).to_contain_text(name)
    lines = page.locator(".chart.large").first.locator(".line.curve")
    assert lines.count() == 2
    looks = lines.evaluate_all(
        "lines => lines.map((line) => getComputedStyle(line).stroke"
        " + getComputedStyle(line).strokeDasharray)"
    )
    assert looks[0] != looks[1]
    expect(page.get_by_role("heading", name="Performance profile")).to_be_visible()
    expect(page.locator("body")).to_contain_text("First one higher")


def test_hostile_names_stay_text(pair: tuple[Path, Path], tmp_path: Path, open_page: Open) -> None:
    run = hostile(pair[0], tmp_path / "<b>run")
    pages = [load(run).report(tmp_path / "one.html")]
    pages.append(write_report([load(run), load(pair[1])], tmp_path / "two.html"))
    for path in pages:
        page = open_page(path)
        assert "<img src=x onerror=alert(1)>" in page.title()
        assert page.locator("img").count() == 0
        assert page.locator("b").count() == 0
        assert "<img src=x onerror=alert(1)>" in page.locator("body").inner_text()
