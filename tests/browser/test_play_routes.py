"""What the page's routes refuse: asked by a program that is no page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.browser.conftest import Demo

DRAW = {"version": 1, "count": 1}


@pytest.fixture
def web(running_demo: Demo) -> Iterator[httpx2.Client]:
    """A client that says it is our page."""
    with httpx2.Client(base_url=running_demo.ready["url"], headers={"Origin": running_demo.ready["url"]}) as client:
        yield client


def sign_in(web: httpx2.Client, demo: Demo) -> str:
    """Exchange a new player's link; the path of the campaign's page."""
    link = urlsplit(demo.link(demo.player()))
    answer = web.post(f"{link.path}/session", json={"t": parse_qs(link.query)["t"][0]})
    assert answer.status_code == 200, answer.text
    return link.path


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, str(answer.json()["code"])


def test_other_sites_cannot_draw_for_a_player(running_demo: Demo, web: httpx2.Client) -> None:
    """A request with the player's cookie but from elsewhere, or from nowhere, is refused."""
    path = sign_in(web, running_demo)
    for origin in ("https://evil.example", "null"):
        headers = {"Origin": origin, "Idempotency-Key": "forged"}
        assert problem(web.post(f"{path}/draws", json=DRAW, headers=headers)) == (403, "forbidden")
    del web.headers["Origin"]
    assert problem(web.post(f"{path}/draws", json=DRAW, headers={"Idempotency-Key": "forged"})) == (403, "forbidden")


def test_without_a_session_nothing_is_told(running_demo: Demo, web: httpx2.Client) -> None:
    """No state and no draw for somebody we do not know, nor for a made-up session."""
    path = f"/play/{running_demo.slug}"
    for headers in ({}, {"Authorization": "Bearer abc"}, {"Cookie": "gamekit_play=abc"}):
        assert problem(web.get(f"{path}/state", headers=headers)) == (401, "session_needed")
        answer = web.post(f"{path}/draws", json=DRAW, headers={"Idempotency-Key": "k", **headers})
        assert problem(answer) == (401, "session_needed")


def test_a_session_is_good_for_its_own_campaign_only(running_demo: Demo, web: httpx2.Client) -> None:
    """The bearer of one campaign opens no other."""
    link = urlsplit(running_demo.link(running_demo.player()))
    token = parse_qs(link.query)["t"][0]
    bearer = web.post(f"{link.path}/session", json={"t": token}).json()["session"]
    answer = web.get("/play/another/state", headers={"Authorization": f"Bearer {bearer}"})
    assert problem(answer) == (401, "session_needed")
    assert problem(web.post("/play/another/session", json={"t": token})) == (400, "link_invalid")


@pytest.mark.parametrize(
    ("body", "key", "field"),
    [
        (DRAW, None, "Idempotency-Key"),
        (DRAW, "k" * 201, "Idempotency-Key"),
        ({"version": 1, "count": 2}, "k", "count"),
        ({"version": 1, "count": 0}, "k", "count"),
        ({"version": -1}, "k", "version"),
        ({"version": 1, "prize": "latte"}, "k", "prize"),
        ({"version": 1, "player": {"id": "1"}}, "k", "player"),
    ],
)
def test_a_draw_that_asks_for_more_is_refused(
    running_demo: Demo, web: httpx2.Client, body: dict[str, Any], key: str | None, field: str
) -> None:
    """A key is needed; a prize or a player from the browser is not even read."""
    path = sign_in(web, running_demo)
    answer = web.post(f"{path}/draws", json=body, headers={"Idempotency-Key": key} if key else {})
    assert problem(answer) == (422, "invalid_input")
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert web.get(f"{path}/state").json()["latest"] == []


def test_an_unknown_campaign_is_a_page_and_not_a_fault(web: httpx2.Client) -> None:
    """A wrong address says so, in the reader's language and under the same policy."""
    answer = web.get("/play/no-such-campaign", headers={"Accept-Language": "zh-TW"})
    assert answer.status_code == 404
    assert "找不到這個活動" in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_theme_is_kept_and_unknown_ones_are_not_found(running_demo: Demo, web: httpx2.Client) -> None:
    """A published version's colours never change; other versions have none."""
    answer = web.get(f"/theme/{running_demo.slug}/1.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text.startswith(":root{--b1:#")
    for path in (f"/theme/{running_demo.slug}/999999.css", "/theme/no-such-campaign/1.css", "/theme/x/-1.css"):
        assert problem(web.get(path))[0] == 404


def test_absurd_requests_are_answered_calmly(running_demo: Demo, web: httpx2.Client) -> None:
    """Huge numbers, long tokens and bodies that are no JSON get a problem, never a fault of ours."""
    path = f"/play/{running_demo.slug}"
    post = f"{path}/session"
    assert problem(web.post(post, json={"t": "A" * 5000}))[0] == 422
    assert problem(web.post(post, content=b"\xff\xfe", headers={"Content-Type": "application/json"}))[0] == 400
    assert problem(web.post(post, content=b"t=1"))[0] == 415
    assert web.get(path, params={"t": "x" * 6000}).status_code == 200
    assert problem(web.get(f"/theme/{running_demo.slug}/{'9' * 40}.css"))[0] == 404
    assert problem(web.get(f"/theme/{running_demo.slug}/{'9' * 5000}.css"))[0] == 404
    assert web.get("/play/%00").status_code == 404
    signed = sign_in(web, running_demo)
    draw = {"version": 10**30, "count": 1}
    assert problem(web.post(f"{signed}/draws", json=draw, headers={"Idempotency-Key": "k"}))[0] == 422
    assert web.get(f"{signed}/state", params={"version": "9" * 30}).status_code == 200
