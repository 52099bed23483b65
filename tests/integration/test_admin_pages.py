from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from admin.session import COOKIE
from gamekit.accounts.repository import users
from gamekit.accounts.service import TRIES_PER_USER
from gamekit.storage.sql import writing
from tests.admin import EMAIL, PASSWORD, URL, Office, add_users, office, send, sign_in
from tests.api import SLUG, campaign

LIST = "/admin/campaigns"
PAGE = f"{LIST}/{SLUG}"
PRIZES: list[dict[str, Any]] = [
    {
        "key": "latte",
        "kind": "coupon",
        "weight": 99_997,
        "stock": 2,
        "codes": {"shared": "LATTE2"},
        "name": {"zh-Hant": "拿鐵 <買一送一>", "en": "Latte, two for one"},
    },
    {"key": "thermos", "kind": "gift", "weight": 3, "stock": 40, "name": {"zh-Hant": "保溫瓶", "en": "Thermos"}},
    {
        "key": "thanks",
        "kind": "nothing",
        "fallback": True,
        "weight": 0,
        "name": {"zh-Hant": "銘謝惠顧", "en": "Thank you"},
    },
]


@pytest.fixture
async def place(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(sqlite_url, redis_url, tmp_path) as standing:
        await add_users(standing)
        yield standing


@pytest.fixture
async def browser(place: Office) -> AsyncIterator[httpx2.AsyncClient]:
    async with place.browser() as client:
        yield client


def rows(page: httpx2.Response, table: int = 0) -> list[list[str]]:
    """The text of the cells of a table's body."""
    body = re.findall(r"<tbody>(.*?)</tbody>", page.text, re.DOTALL)[table]
    found = []
    for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        found.append([re.sub(r"<[^>]+>", " ", cell).split() for cell in cells])
    return [[" ".join(cell) for cell in row] for row in found]


async def test_nobody_sees_a_page_without_signing_in(browser: httpx2.AsyncClient) -> None:
    """Every address asks to sign in first and remembers where one wanted to go, whether it exists or not."""
    for path in ("/admin", "/admin/", LIST, PAGE, f"{LIST}/none", "/admin/anything/else", f"{PAGE}?x=1&y=2"):
        answer = await browser.get(path)
        assert answer.status_code == 303
        where = httpx2.URL(answer.headers["location"])
        assert where.path == "/admin/sign-in"
        assert where.params["next"] == path
        assert answer.headers["cache-control"] == "no-store"


async def test_signing_in_leads_to_where_one_wanted_to_go(place: Office, browser: httpx2.AsyncClient) -> None:
    """The page asked for first is the page one gets."""
    await place.api.save(campaign())
    asked = await browser.get(PAGE)
    page = await browser.get(asked.headers["location"])
    assert page.status_code == 200
    answer = await send(browser, page, "/admin/sign-in", email=f" {EMAIL.upper()} ", password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert (await browser.get(PAGE)).status_code == 200
    again = await browser.get("/admin/sign-in?next=/admin")
    assert (again.status_code, again.headers["location"]) == (303, "/admin")
    assert (await browser.get("/admin")).headers["location"] == LIST
    assert (await browser.get("/admin/")).headers["location"] == LIST


@pytest.mark.parametrize("goal", ["https://evil.example/", "//evil.example", "/\\evil.example", "/play/summer-wheel"])
async def test_signing_in_never_leads_elsewhere(browser: httpx2.AsyncClient, goal: str) -> None:
    """Neither the address nor a changed form sends anybody away from the admin pages."""
    page = await browser.get("/admin/sign-in", params={"next": goal})
    assert goal not in page.text
    answer = await send(browser, page, "/admin/sign-in", email=EMAIL, password=PASSWORD, next=goal)
    assert (answer.status_code, answer.headers["location"]) == (303, LIST)
    away = await browser.get("/admin/language/en", params={"next": goal})
    assert away.headers["location"] == LIST


async def test_a_wrong_password_keeps_what_was_typed(browser: httpx2.AsyncClient) -> None:
    """The address stays, escaped, the password does not, and nobody learns which of the two was wrong."""
    asked = await browser.get(PAGE)
    page = await browser.get(asked.headers["location"])
    typed = '"><script>alert(1)</script>@example.com'
    known = await send(browser, page, "/admin/sign-in", email=EMAIL, password="not it at all")
    unknown = await send(browser, known, "/admin/sign-in", email=typed, password="not it at all")
    for answer in (known, unknown):
        assert answer.status_code == 403
        assert "E-mail or password is wrong" in answer.text
        assert "not it at all" not in answer.text
        assert f'name="next" value="{PAGE}"' in answer.text
    assert f'value="{EMAIL}"' in known.text
    assert "<script" not in unknown.text
    assert "&lt;script&gt;" in unknown.text
    assert (await send(browser, unknown, "/admin/sign-in", email=EMAIL, password=PASSWORD)).status_code == 303


async def test_empty_fields_are_named(browser: httpx2.AsyncClient) -> None:
    """Each empty field has its own sentence, and no try is used up."""
    page = await browser.get("/admin/sign-in")
    for _ in range(TRIES_PER_USER + 1):
        answer = await send(browser, page, "/admin/sign-in", email=EMAIL, password="")
        assert answer.status_code == 422
    assert "Type your password." in answer.text
    assert "Type your e-mail" not in answer.text
    assert f'value="{EMAIL}"' in answer.text
    both = await send(browser, page, "/admin/sign-in", email=" ", password="")
    assert "Type your e-mail" in both.text
    assert "Type your password." in both.text


async def test_too_many_tries_say_how_long_to_wait(browser: httpx2.AsyncClient) -> None:
    """After ten tries the eleventh is not looked at, and the page says when to come back."""
    page = await browser.get("/admin/sign-in")
    for _ in range(TRIES_PER_USER):
        page = await send(browser, page, "/admin/sign-in", email=EMAIL, password="wrong")
    answer = await send(browser, page, "/admin/sign-in", email=EMAIL, password=PASSWORD)
    assert answer.status_code == 429
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= 15 * 60
    assert f"try again in {-(-wait // 60)} min." in answer.text
    assert f'value="{EMAIL}"' in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
async def test_a_form_of_another_site_is_refused(browser: httpx2.AsyncClient, origin: str | None) -> None:
    """Signing in and out from elsewhere, or from nowhere, does nothing and says so on a page."""
    page = await browser.get("/admin/sign-in")
    answer = await send(browser, page, "/admin/sign-in", origin=origin, email=EMAIL, password=PASSWORD)
    assert answer.status_code == 403
    assert "This request was not carried out" in answer.text
    await sign_in(browser)
    inside = await browser.get(LIST)
    refused = await send(browser, inside, "/admin/sign-out", origin=origin)
    assert refused.status_code == 403
    assert (await browser.get(LIST)).status_code == 200


async def test_a_form_needs_the_token_of_its_session(place: Office, browser: httpx2.AsyncClient) -> None:
    """A token of another session, or a form without its cookie, is refused; the address that was typed stays."""
    page = await browser.get("/admin/sign-in")
    async with place.browser() as other:
        for client in (browser, other):
            strange = await (client.get("/admin/sign-in") if client is other else browser.get("/admin/sign-in"))
            answer = await send(client, strange, "/admin/sign-in", email=EMAIL, password=PASSWORD, token="0" * 48)
            assert answer.status_code == 403
            assert "open for too long" in answer.text
            assert f'value="{EMAIL}"' in answer.text
        other.cookies.clear()
        lost = await send(other, page, "/admin/sign-in", email=EMAIL, password=PASSWORD)
        assert lost.status_code == 403
        # The page that says so works: its cookie came with it.
        assert (await send(other, lost, "/admin/sign-in", email=EMAIL, password=PASSWORD)).status_code == 303
    await sign_in(browser)
    inside = await browser.get(LIST)
    assert (await send(browser, inside, "/admin/sign-out", token="0" * 48)).status_code == 403
    assert (await browser.get(LIST)).status_code == 200


async def test_signing_out_ends_the_session(browser: httpx2.AsyncClient) -> None:
    """The cookie is gone, the pages ask to sign in again, and signing out twice is no error."""
    await sign_in(browser)
    inside = await browser.get(LIST)
    answer = await send(browser, inside, "/admin/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in")
    assert COOKIE not in browser.cookies
    assert (await browser.get(LIST)).status_code == 303
    assert (await send(browser, inside, "/admin/sign-out")).status_code == 303
    assert (await browser.get("/admin/sign-out")).status_code == 303


async def test_signing_in_starts_a_session_of_its_own(browser: httpx2.AsyncClient) -> None:
    """The cookie and the token of before signing in are not those of after: nobody can plant a session."""
    page = await browser.get("/admin/sign-in")
    before = browser.cookies[COOKIE]
    await send(browser, page, "/admin/sign-in", email=EMAIL, password=PASSWORD)
    inside = await browser.get(LIST)
    assert browser.cookies[COOKIE] != before
    (old,) = re.findall(r'name="token" value="(\w+)"', page.text)
    (new,) = re.findall(r'name="token" value="(\w+)"', inside.text)
    assert old != new


async def test_a_change_of_the_user_ends_the_session(place: Office, browser: httpx2.AsyncClient) -> None:
    """With a new password, or without its user, a session is over; a new role counts at once."""
    sql = place.gamekit.records.sql
    await sign_in(browser)
    async with writing(sql) as connection:
        await connection.execute(update(users).where(users.c.email == EMAIL).values(role="till"))
    assert (await browser.get(LIST)).status_code == 403
    async with writing(sql) as connection:
        await connection.execute(update(users).where(users.c.email == EMAIL).values(password_hash="$argon2id$new"))
    assert (await browser.get(LIST)).status_code == 303
    await sign_in(browser, "support@example.com")
    assert (await browser.get(LIST)).status_code == 200
    async with writing(sql) as connection:
        await connection.execute(users.delete().where(users.c.email == "support@example.com"))
    assert (await browser.get(LIST)).status_code == 303


@pytest.mark.parametrize(("role", "sees"), [("marketer", True), ("support", True), ("till", False)])
async def test_the_till_has_nothing_here(place: Office, browser: httpx2.AsyncClient, role: str, sees: bool) -> None:
    """Marketers and support see campaigns; the till is told that there is nothing yet, at every address, and may leave."""
    await place.api.save(campaign())
    await sign_in(browser, f"{role}@example.com")
    for path in (LIST, PAGE, f"{LIST}/none", "/admin/else"):
        page = await browser.get(path)
        assert ("Nothing here for you yet" in page.text) is not sees
        assert ("Summer wheel" in page.text) is (sees and path in (LIST, PAGE))
        assert page.status_code == ((200 if path in (LIST, PAGE) else 404) if sees else 403)
    assert (await send(browser, page, "/admin/sign-out")).status_code == 303


async def test_the_list_shows_each_campaign(place: Office, browser: httpx2.AsyncClient) -> None:
    """Name, slug, state, dates in the campaign's own zone with its name, and the odds version; newest first."""
    await sign_in(browser)
    assert "No campaigns yet" in (await browser.get(LIST)).text
    opening = {"starts_at": "2020-12-01T10:00:00+08:00", "ends_at": "2099-12-31T23:59:59+08:00"}
    await place.api.save(campaign("winter", timezone="America/New_York", **opening))
    await place.api.save(campaign("draft", name={"zh-Hant": "草稿", "en": "A draft"}), publish=False)
    await place.api.save(campaign("stopped", timezone="UTC"))
    await place.api.ask("POST", "campaigns/stopped/pause")
    listed = rows(await browser.get(LIST))
    assert listed[1:] == [
        ["A draft draft", "Draft", "From publication – no end Taiwan Time (Asia/Taipei)", "–"],
        [
            "Summer wheel winter",
            "Live",
            "30 Nov 2020 21:00 – 31 Dec 2099 10:59:59 Eastern Time (America/New_York)",
            "1",
        ],
    ]
    assert listed[0] == ["Summer wheel stopped", "Paused", "From publication – no end UTC", "1"]


async def test_a_campaign_shows_its_odds_and_draws(place: Office, browser: httpx2.AsyncClient) -> None:
    """Odds exactly, stock and what is left of it, the proof's parts, and the latest draws with why they went so."""
    await sign_in(browser)
    await place.api.save(campaign(chances={}, prizes=PRIZES))
    page = await browser.get(PAGE)
    assert "Nobody has drawn yet." in page.text
    drawn = [(await place.draw(SLUG, f"player-{number}", f"key-{number}")).draws[0] for number in range(3)]
    page = await browser.get(PAGE)
    assert rows(page) == [
        ["Latte, two for one Coupon latte", "99,997", "99.997 %", "1 in 1", "2", "2", "0"],
        ["Thermos Gift thermos", "3", "0.003 %", "1 in 33,333.3", "40", "0", "40"],
        ["Thank you Nothing Fallback thanks", "0", "0 %", "Never", "No limit", "1", "No limit"],
    ]
    summary = await place.gamekit.records.campaigns.get(SLUG)
    assert summary.odds_hash is not None
    assert summary.commitment in page.text
    assert summary.odds_hash in page.text
    assert "Public once the campaign has ended" in page.text
    lines = rows(page, 1)
    assert [line[1:5] for line in lines] == [
        ["No win", "Thank you", "–", "Picked Latte, two for one, which is sold out"],
        ["Win", "Latte, two for one", "2", ""],
        ["Win", "Latte, two for one", "1", ""],
    ]
    for line, draw in zip(lines, reversed(drawn), strict=True):
        assert line[5] == f"{draw['proof']['player']} {draw['id']}"
    assert "LATTE2" not in page.text
    assert not any(f"player-{number}" in page.text for number in range(3))


async def test_draws_of_an_earlier_version_keep_its_names(place: Office, browser: httpx2.AsyncClient) -> None:
    """A prize that is gone by now is still named where it was drawn."""
    await sign_in(browser)
    await place.api.save(campaign(chances={}, prizes=PRIZES))
    await place.draw(SLUG, "one", "before")
    await place.api.save(campaign(chances={}, prizes=[PRIZES[1], PRIZES[2]]), publish=False)
    page = await browser.get(PAGE)
    assert [row[0] for row in rows(page)] == ["Thermos Gift thermos", "Thank you Nothing Fallback thanks"]
    await place.draw(SLUG, "one", "after")
    assert [line[2] for line in rows(await browser.get(PAGE), 1)] == ["Thermos", "Latte, two for one"]


async def test_the_latest_fifty_draws_are_shown(place: Office, browser: httpx2.AsyncClient) -> None:
    """Newest first, and no more than fifty."""
    await sign_in(browser)
    await place.api.save(campaign(chances={}, prizes=PRIZES[1:]))
    ids = [(await place.draw(SLUG, "one", f"key-{number}")).draws[0]["id"] for number in range(53)]
    lines = rows(await browser.get(PAGE), 1)
    assert [line[5].split()[1] for line in lines] == ids[:2:-1]


async def test_the_seed_is_shown_once_the_campaign_has_ended(place: Office, browser: httpx2.AsyncClient) -> None:
    """Not before, and then as it was committed to."""
    await sign_in(browser)
    await place.api.save(campaign())
    await place.api.ask("POST", f"campaigns/{SLUG}/end")
    summary = await place.gamekit.records.campaigns.get(SLUG)
    assert summary.seed is not None
    page = await browser.get(PAGE)
    assert summary.seed in page.text
    assert "Ended" in page.text


async def test_what_does_not_exist_is_a_page_too(browser: httpx2.AsyncClient) -> None:
    """An unknown campaign or address is a 404 for people, with a way back."""
    await sign_in(browser)
    for path in (f"{LIST}/none", f"{LIST}/Ünknown", "/admin/nowhere", f"{PAGE}/deeper"):
        page = await browser.get(path)
        assert page.status_code == 404
        assert "There is nothing at this address" in page.text
        assert f'href="{LIST}"' in page.text


async def test_pages_speak_the_readers_language(place: Office) -> None:
    """The browser's language at first, the chosen one from then on, also on the page of before signing in."""
    await place.api.save(campaign(prizes=PRIZES))
    async with place.browser("zh-TW,zh;q=0.9") as browser:
        page = await browser.get("/admin/sign-in", params={"next": PAGE})
        assert '<html lang="zh-Hant">' in page.text
        assert page.headers["content-language"] == "zh-Hant"
        await send(browser, page, "/admin/sign-in", email=EMAIL, password=PASSWORD)
        page = await browser.get(PAGE)
        assert "夏日輪盤" in page.text
        assert "拿鐵 &lt;買一送一&gt;" in page.text
        (link,) = re.findall(r'<a href="([^"]+)" hreflang="en"', page.text)
        answer = await browser.get(link.replace("&amp;", "&"))
        assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
        page = await browser.get(PAGE)
        assert '<html lang="en">' in page.text
        assert "Summer wheel" in page.text
        await browser.get("/admin/language/klingon")
        assert '<html lang="en">' in (await browser.get(LIST)).text
    async with place.browser("fr") as browser:
        assert '<html lang="zh-Hant">' in (await browser.get("/admin/sign-in")).text


async def test_pages_are_kept_by_nobody_and_run_nothing(browser: httpx2.AsyncClient) -> None:
    """Strict headers on every page, no inline style or script, and a style sheet that is there."""
    await sign_in(browser)
    for path in ("/admin/sign-in", LIST, f"{LIST}/none"):
        page = await browser.get(path)
        if page.status_code == 303:
            browser.cookies.clear()
            page = await browser.get(path)
            await sign_in(browser)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=", page.text)
        (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page.text)
        assert (await browser.get(sheet)).headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"token=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 100, "application/x-www-form-urlencoded", 400),
        (b"email=" + b"a" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(
    browser: httpx2.AsyncClient, content: bytes, media_type: str, status: int
) -> None:
    """No browser sends these; they get the API's error shape and no 500."""
    headers = {"Origin": URL, "Content-Type": media_type}
    answer = await browser.post("/admin/sign-in", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
