"""What tests ask of any page."""

import time
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

Open = Callable[..., Page]
SCREENS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "dark phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}


def wait_until(page: Page, condition: str, seconds: float = 300.0) -> None:
    """Ask now and then from outside: the page's policy lets nothing be evaluated in it."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never: {condition}"
        page.wait_for_timeout(20)


def check_access(page: Page) -> None:
    """Nothing that axe calls serious or critical."""
    found = Axe().run(page).response["violations"]
    bad = [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] != "minor"]
    assert not bad
