"""Open a page in Chromium, use it as a reader would, and list what is wrong with it.

Chromium is the one of the system: nothing is downloaded. Playwright drives it.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

CHECKS = (Path(__file__).parent / "browser.js").read_text(encoding="utf-8")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
HOW_TO_INSTALL = "no Chromium found; apt-get install chromium, or python -m playwright install chromium"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}


def find_chromium(playwright):
    """Return the path of a Chromium: of the system, or of playwright; None if there is none."""
    own = playwright.chromium.executable_path
    return next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)


def watch(page):
    """Return a list that fills with what the page complains about, and with all that it asks of another host."""
    found = []

    def console(message):
        if message.type == "error":
            found.append(f"console: {message.text}")

    def request(asked):
        if urlsplit(asked.url).scheme not in ("file", "data", "blob"):
            found.append(f"asks another host: {asked.url}")

    page.on("console", console)
    page.on("request", request)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("requestfailed", lambda asked: found.append(f"request failed: {asked.url}"))
    return found


def load(page, url):
    """Open the page at phone width in light colours and wait until its mathematics is drawn."""
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")
    page.goto(url)
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    page.evaluate(CHECKS)
    page.evaluate("window.MathJax?.startup?.promise")


def check(page, *names):
    """Run the checks of browser.js of these names."""
    return [complaint for name in names for complaint in page.evaluate(f"pageChecks.{name}()")]


def problems(page, url):
    """Return all that is wrong with the page: on a phone, on a wide screen, in light and in dark colours."""
    found = watch(page)
    load(page, url)
    found += check(page, "mathematics", "images", "anchors", "answers")
    for screen in (PHONE, DESKTOP):
        page.set_viewport_size(screen)
        found += [f"{screen['width']} pixels wide: {text}" for text in check(page, "overflow", "textSize")]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {text}" for text in check(page, "contrast")]
    return found
