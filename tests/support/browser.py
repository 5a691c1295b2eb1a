"""A headless Chromium that looks at a page, and axe-core that judges it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.support.programs import program

SERIOUS = {"serious", "critical"}


def axe() -> Path:
    """The script of axe-core, as it comes with the package that binds it to Playwright."""
    return Path(str(files("axe_playwright_python").joinpath("axe.min.js")))


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser of the system."""
    path = program("chromium", "chromium-browser", package="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def shown(browser: Any, path: Path, *, width: int, scheme: str) -> Iterator[Any]:
    """Open a file in a window of a width, light or dark; nothing but files may be fetched."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    try:
        view = context.new_page()
        view.asked = []
        view.complained = []
        view.on("request", lambda request: view.asked.append(request.url))
        view.on("console", lambda message: view.complained.append(message.text))
        view.on("pageerror", lambda error: view.complained.append(str(error)))
        view.goto(path.as_uri())
        yield view
    finally:
        context.close()


def faults(view: Any) -> list[str]:
    """What axe-core finds that is serious or worse."""
    view.add_script_tag(path=str(axe()))
    found = view.evaluate("axe.run()")
    return [
        f"{each['impact']}: {each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
    ]
