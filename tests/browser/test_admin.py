"""The admin pages in a real browser."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect

from gamekit.storage.migrate import upgrade
from gamekit.storage.sql import open_database
from gamekit.testing.servers import ValkeyServer
from tests.admin import EMAIL, PASSWORD, add_users, office
from tests.api import SLUG, campaign
from tests.browser.chromium import complaints

pytestmark = pytest.mark.timeout(180)
LAPTOP, SMALL = {"width": 1440, "height": 900}, {"width": 1024, "height": 768}
LONG = "A prize with a rather long name, as they are written by people who want everything said"
Laptop = Callable[..., BrowserContext]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer) -> Iterator[str]:
    """The admin pages over a campaign with twenty prizes and some draws, served to browsers."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ready, done = threading.Event(), threading.Event()
    valkey_server.command("FLUSHALL")

    async def serve(folder: Path) -> None:
        sql_url = f"sqlite+aiosqlite:///{folder / 'gamekit.db'}"
        engine = open_database(sql_url)
        await upgrade(engine)
        await engine.dispose()
        async with office(sql_url, valkey_server.url, folder, public_url=address) as place:
            await add_users(place)
            prizes = campaign()["prizes"]
            gift = {"kind": "gift", "weight": 10**10 + 1, "stock": 10**9}
            prizes[1:1] = [
                {**gift, "key": f"gift-{n}", "name": {"en": LONG, "zh-Hant": "獎項" * n}} for n in range(1, 19)
            ]
            await place.api.save(campaign(chances={}, prizes=prizes))
            for number in range(12):
                await place.draw(SLUG, f"player-{number}", f"key-{number}")
            server = uvicorn.Server(uvicorn.Config(place.app, log_level="warning", lifespan="off"))
            serving = asyncio.create_task(server.serve([listening]))
            ready.set()
            await asyncio.to_thread(done.wait)
            server.should_exit = True
            await serving

    thread = threading.Thread(target=asyncio.run, args=[serve(tmp_path_factory.mktemp("admin"))])
    thread.start()
    assert ready.wait(60)
    yield address
    done.set()
    thread.join(30)
    listening.close()


@pytest.fixture
def laptop(browser: Browser) -> Iterator[Laptop]:
    """Makes browsers that know nothing of each other."""
    opened: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        opened.append(browser.new_context(**{"viewport": LAPTOP, "locale": "en", **options}))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for context in opened:
        context.close()


def sign_in(page: Page, url: str, email: str = EMAIL) -> None:
    page.goto(f"{url}/admin/campaigns")
    page.fill("#email", email)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/campaigns")


def test_the_keyboard_is_enough(url: str, laptop: Laptop) -> None:
    """From signing in, with a mistake, to a campaign and out again without a pointer; focus is always seen."""
    page = laptop().new_page()
    found = complaints(page)
    page.goto(f"{url}/admin")
    expect(page.locator("#email")).to_be_focused()
    page.keyboard.type(EMAIL)
    page.keyboard.press("Tab")
    page.keyboard.type("not my password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong. Check both and try again.")
    expect(page.locator("#email")).to_have_value(EMAIL)
    expect(page.locator("#password")).to_be_focused()
    expect(page.locator("#password")).to_have_accessible_description(
        "E-mail or password is wrong. Check both and try again."
    )
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("document.activeElement.textContent") == "Summer wheel":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Summer wheel")
    leave = page.get_by_role("button", name="Sign out")
    leave.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(f"{url}/admin/campaigns/{SLUG}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert found == []


def test_pages_work_without_javascript(url: str, laptop: Laptop) -> None:
    """Nothing on them is made by a script."""
    page = laptop(java_script_enabled=False).new_page()
    sign_in(page, url)
    page.click("text=Summer wheel")
    expect(page.get_by_role("heading", level=1)).to_have_text("Summer wheel")
    page.click("text=繁體中文")
    expect(page.get_by_role("heading", level=1)).to_have_text("夏日輪盤")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("locale", "email"), [("en", EMAIL), ("zh-TW", "support@example.com")])
def test_pages_fit_the_window(url: str, laptop: Laptop, scheme: str, locale: str, email: str) -> None:
    """In both languages, light and dark, on both sizes: nothing sticks out, no table is cut, no policy is broken."""
    page = laptop(locale=locale, color_scheme=scheme).new_page()
    found = complaints(page)
    page.goto(f"{url}/admin")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(29, 27, 24)"
    assert dark is (scheme == "dark")
    sign_in(page, url, email)
    for size in (LAPTOP, SMALL):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for path in ("/admin/campaigns", f"/admin/campaigns/{SLUG}", "/admin/nowhere"):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            cut = "[...document.querySelectorAll('.wide')].filter(box => box.scrollWidth > box.clientWidth).length"
            assert page.evaluate(cut) == 0
    assert found == []


def test_tables_name_their_rows_and_columns(url: str, laptop: Laptop) -> None:
    """A screen reader finds each table by its heading, and each number by its prize and its column."""
    page = laptop().new_page()
    sign_in(page, url)
    page.goto(f"{url}/admin/campaigns/{SLUG}")
    odds = page.get_by_role("table", name="Odds and stock")
    columns = ["Prize", "Weight", "Odds", "1 in N", "Stock", "Issued", "Left"]
    expect(odds.get_by_role("columnheader")).to_have_text(columns)
    expect(odds.get_by_role("rowheader")).to_have_count(21)
    draws = page.get_by_role("table", name="Latest draws")
    expect(draws.get_by_role("row")).to_have_count(13)
