from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium
from tests.demo import Demo

__all__ = ["Demo"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module; each test opens its own context."""
    # Not for the whole run: while Playwright's own event loop runs, no other test could start one.
    with chromium() as running:
        yield running
