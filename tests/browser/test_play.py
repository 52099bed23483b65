"""The play page in a real browser, before the whole product."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from tests.browser.chromium import POINTED_AT, complaints
from tests.browser.conftest import Demo

pytestmark = pytest.mark.timeout(180)
RESULT = "#page[data-screen=win], #page[data-screen=nothing]"
DRAWS = "**/play/*/draws"
Phone = Callable[..., BrowserContext]


@pytest.fixture
def phone(browser: Browser) -> Iterator[Phone]:
    """Makes browsers that know nothing of each other."""
    opened: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        settings = {"viewport": {"width": 390, "height": 844}, "locale": "zh-TW", **options}
        opened.append(browser.new_context(**settings))
        return opened[-1]

    yield make
    for context in opened:
        context.close()


def ready(page: Page) -> None:
    expect(page.locator("#page")).to_have_attribute("data-screen", "ready", timeout=20_000)


def finished(page: Page) -> None:
    page.wait_for_selector(RESULT, timeout=40_000)


def committed(demo: Demo, player: dict[str, str]) -> list[dict[str, Any]]:
    """The draws that one more state of this player's page would know: read through a fresh link, not from the page."""
    link = urlsplit(demo.link(player))
    token = parse_qs(link.query)["t"][0]
    url = f"{demo.ready['url']}{link.path}/session"
    answer = httpx2.post(url, json={"t": token}, headers={"Origin": demo.ready["url"]})
    assert answer.is_success, answer.text
    latest = answer.json()["state"]["latest"]
    assert isinstance(latest, list)
    return latest


def test_a_tap_draws_and_the_wheel_stops_on_what_the_server_decided(running_demo: Demo, phone: Phone) -> None:
    """The wedge painted under the pointer, the words and the code are those of the server's answer."""
    page = phone().new_page()
    found = complaints(page)
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    with page.expect_response(DRAWS) as answer:
        page.click("#go")
    finished(page)
    draw = answer.value.json()["draws"][0]
    assert page.evaluate(POINTED_AT) == draw["prize"]["key"]
    if draw["coupon"]:
        expect(page.locator("#code-text")).to_have_text(draw["coupon"]["code"])
    won = draw["outcome"] == "win"
    expect(page.locator("#page")).to_have_attribute("data-screen", "win" if won else "nothing")
    expect(page.get_by_role("status")).to_contain_text("恭喜中獎" if won else "這次沒有中獎")
    assert found == []


def test_the_token_leaves_the_address_and_the_cookie_carries_on(running_demo: Demo, phone: Phone) -> None:
    """After the exchange the address holds no token, no script can read the cookie, and a reload still plays."""
    context = phone()
    page = context.new_page()
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    assert "t=" not in page.url
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert cookies["gamekit_play"]["httpOnly"]
    assert cookies["gamekit_play"]["sameSite"] == "Lax"
    page.evaluate("sessionStorage.clear()")
    page.reload()
    ready(page)


def test_a_link_opens_in_the_first_browser_only(running_demo: Demo, phone: Phone) -> None:
    """Another browser is told so and offered the way to a link of its own."""
    link = running_demo.link(running_demo.player())
    first = phone().new_page()
    first.goto(link)
    ready(first)
    second = phone(locale="en-US").new_page()
    second.goto(link)
    expect(second.locator("#page")).to_have_attribute("data-screen", "link_bound_elsewhere")
    expect(second.get_by_role("heading", name="This link is in use elsewhere")).to_be_visible()
    expect(second.locator("#go")).to_be_hidden()
    expect(second.locator("#note-small")).to_contain_text("in the chat")


def test_a_preview_binds_nothing(running_demo: Demo, phone: Phone) -> None:
    """Fetching the page, as chats do for their previews, leaves the link free for its player."""
    link = running_demo.link(running_demo.player())
    preview = phone(java_script_enabled=False).new_page()
    preview.goto(link)
    page = phone().new_page()
    page.goto(link)
    ready(page)


def test_lost_cookies_and_storage_of_the_tab_are_survived(running_demo: Demo, phone: Phone) -> None:
    """The same browser may exchange the same link again after its cookies are gone."""
    context = phone()
    page = context.new_page()
    link = running_demo.link(running_demo.player())
    page.goto(link)
    ready(page)
    context.clear_cookies()
    page.evaluate("sessionStorage.clear()")
    page.goto(link)
    ready(page)


def test_a_session_works_where_cookies_are_withheld(running_demo: Demo, phone: Phone) -> None:
    """In a frame that keeps no cookie the page still draws: the session is in its memory."""
    context = phone()
    page = context.new_page()
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    context.clear_cookies()
    page.click("#go")
    finished(page)


def test_a_lost_answer_is_asked_for_again_under_the_same_key(running_demo: Demo, phone: Phone) -> None:
    """Two answers get lost on the way; the third attempt shows the one draw that was made."""
    page = phone().new_page()
    player = running_demo.player()
    page.goto(running_demo.link(player))
    ready(page)
    keys: list[str | None] = []

    def lose(route: Route, request: Request) -> None:
        keys.append(request.headers.get("idempotency-key"))
        if len(keys) <= 2:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(DRAWS, lose)
    with page.expect_response(DRAWS, timeout=30_000) as answer:
        page.click("#go")
    finished(page)
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert answer.value.headers["idempotent-replayed"] == "true"
    assert [draw["proof"]["key"] for draw in committed(running_demo, player)] == [keys[0]]


def test_closing_in_the_middle_and_coming_back_shows_that_draw_once(running_demo: Demo, phone: Phone) -> None:
    """The unfinished draw is found by player, shown on return, and not shown again after that."""
    context = phone()
    player = running_demo.player()
    link = running_demo.link(player)
    page = context.new_page()
    page.goto(link)
    ready(page)
    with page.expect_response(DRAWS):
        page.click("#go")
    page.close()
    [draw] = committed(running_demo, player)
    again = context.new_page()
    sent: list[str] = []
    again.on("request", lambda request: sent.append(request.url) if request.url.endswith("/draws") else None)
    again.goto(link)
    finished(again)
    assert again.evaluate(POINTED_AT) == draw["prize"]["key"]
    expect(again.locator("#note-title")).to_have_text("上次的結果")
    assert sent == []
    again.reload()
    expect(again.locator("#page")).to_have_attribute("data-screen", "ready" if _may_go_on(again) else "no_chances_left")


def test_reloading_before_the_answer_finishes_the_same_request(running_demo: Demo, phone: Phone) -> None:
    """A key whose request never left is used after the reload, once."""
    context = phone()
    page = context.new_page()
    player = running_demo.player()
    page.goto(running_demo.link(player))
    ready(page)
    page.route(DRAWS, lambda route: route.abort())
    page.click("#go")
    page.wait_for_timeout(400)
    page.unroute(DRAWS)
    with page.expect_request(DRAWS, timeout=20_000) as request:
        page.reload()
    finished(page)
    assert [draw["proof"]["key"] for draw in committed(running_demo, player)] == [
        request.value.headers["idempotency-key"]
    ]


def test_a_double_tap_draws_once(running_demo: Demo, phone: Phone) -> None:
    """The second tap, and one on the wheel, change nothing."""
    page = phone().new_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/draws") else None)
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    page.evaluate("document.getElementById('go').click(); document.getElementById('go').click()")
    page.locator("#stage").click()
    finished(page)
    assert len(sent) == 1


def test_keyboard_alone_and_without_motion(running_demo: Demo, phone: Phone) -> None:
    """Tab and Enter play; with reduced motion the result is there without the wheel having turned."""
    page = phone(reduced_motion="reduce", locale="en-US").new_page()
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "go":
            break
    with page.expect_response(DRAWS) as answer:
        page.keyboard.press("Enter")
    page.wait_for_selector(RESULT, timeout=3_000)
    assert page.evaluate(POINTED_AT) == answer.value.json()["draws"][0]["prize"]["key"]
    assert page.evaluate("document.activeElement.id") == "go"
    assert page.evaluate("document.getAnimations().filter((one) => one.playState === 'running').length") == 0


def test_offline_it_says_so_and_goes_on_by_itself(running_demo: Demo, phone: Phone) -> None:
    """Without a network the wheel comes to rest without a result; back online the draw is made and shown."""
    context = phone()
    page = context.new_page()
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    context.set_offline(True)
    page.click("#go")
    expect(page.locator("#page")).to_have_attribute("data-screen", "offline", timeout=20_000)
    assert page.locator(".is-landed").count() == 0
    context.set_offline(False)
    finished(page)
    assert page.locator(".is-landed").count() == 1


def test_a_busy_server_is_waited_for(running_demo: Demo, phone: Phone) -> None:
    """503 on loading is told as busy, and a tap on "try again" asks at once."""
    page = phone(locale="en-US").new_page()
    problem = json.dumps({"code": "unavailable", "status": 503})
    page.route(
        "**/play/*/session*", lambda route: route.fulfill(status=503, body=problem, headers={"Retry-After": "30"})
    )
    page.goto(running_demo.link(running_demo.player()))
    expect(page.get_by_role("heading", name="Very busy right now")).to_be_visible()
    page.unroute("**/play/*/session*")
    page.click("#go")
    ready(page)


def test_without_a_link_the_page_says_where_to_get_one(running_demo: Demo, phone: Phone) -> None:
    """The bare address, and a link that was cut off, send the reader to the chat."""
    for end in ("", "?t=abc"):
        page = phone(locale="en-US").new_page()
        page.goto(f"{running_demo.ready['url']}/play/{running_demo.slug}{end}")
        expect(page.get_by_role("heading", name="Please open this from the chat")).to_be_visible()


def test_the_first_view_takes_few_requests_and_little(running_demo: Demo, phone: Phone) -> None:
    """At most 8 requests, 20 KB of HTML and 25 KB of scripts on the wire."""
    page = phone().new_page()
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda request: sizes.update({request.url: request.sizes()["responseBodySize"]}))
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    page.wait_for_timeout(300)
    assert len(sizes) <= 8, list(sizes)
    assert sum(size for url, size in sizes.items() if url.endswith(".js")) <= 25_000
    assert sum(size for url, size in sizes.items() if url.endswith(".css")) <= 10_000
    assert sum(size for url, size in sizes.items() if "/play/" in url and "?t=" in url) <= 20_000


@pytest.mark.parametrize("size", [(390, 844), (320, 480), (320, 400)])
@pytest.mark.parametrize("locale", ["zh-TW", "en-US"])
def test_nothing_runs_out_of_the_screen(running_demo: Demo, phone: Phone, size: tuple[int, int], locale: str) -> None:
    """At full, three-quarter and half height the page needs no scrolling and the button can be tapped."""
    page = phone(viewport={"width": size[0], "height": size[1]}, locale=locale).new_page()
    page.goto(running_demo.link(running_demo.player()))
    ready(page)
    room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert room[0] <= size[0]
    assert room[1] <= size[1]
    box = page.locator("#go").bounding_box()
    assert box is not None
    assert box["height"] >= 44


def _may_go_on(page: Page) -> bool:
    page.wait_for_selector("#page[data-screen=ready], #page[data-screen=no_chances_left]")
    return page.locator("#page").get_attribute("data-screen") == "ready"
