"""The system's Chromium, driven by playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
POINTED_AT = """() => {
  const pointer = document.querySelector(".wheel__pointer").getBoundingClientRect();
  const x = pointer.left + pointer.width / 2;
  return document.elementFromPoint(x, pointer.bottom + 2)?.closest("[data-prize]")?.dataset.prize ?? null;
}"""
"""The prize of the wedge that is painted just below the pointer's tip: asked of the page, not of the game."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path is not None, "Chromium is needed: install the package `chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


def complaints(page: Page) -> list[str]:
    """What the page's console complains of from now on: script errors and policy violations, not HTTP statuses."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            found.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found
