from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gamekit.bots.messenger.signature import is_signed
from tests.chat import PAGE, PSID, emulated, served

AUTH = {"Authorization": f"Bearer {PAGE.access_token}"}
SEND = f"/v26.0/{PAGE.page_id}/messages"


class Hook:
    """A product that only notes its webhooks, and answers with the statuses it was given, then with 200."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.statuses: list[int] = []

    async def receive(self, request: Request) -> Response:
        self.calls.append((await request.body(), request.headers["x-hub-signature-256"].encode()))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)

    @property
    def updates(self) -> list[dict[str, Any]]:
        return [json.loads(body)["entry"][0]["messaging"][0] for body, _ in self.calls]


@pytest.fixture
async def hook() -> Hook:
    return Hook()


@pytest.fixture
async def platform(hook: Hook) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=[Route("/hook", hook.receive, methods=["POST"])])
    async with served(app) as url, emulated(f"{url}/hook", strict=True) as client:
        yield client


async def does(platform: httpx2.AsyncClient, act: str, **more: object) -> dict[str, Any]:
    answer = await platform.post("/_user", json={"channel": "messenger", "user": PSID, "does": act, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def say(
    platform: httpx2.AsyncClient, message: object, *, psid: str = PSID, headers: object = None
) -> httpx2.Response:
    body = {"recipient": {"id": psid}, "messaging_type": "RESPONSE", "message": message}
    return await platform.post(SEND, json=body, headers=headers or AUTH)  # type: ignore[arg-type]


def card(title: str = "Play", **button: str) -> dict[str, Any]:
    buttons = [{"type": "web_url", "title": title, "url": "http://127.0.0.1/play"} | button]
    return {"attachment": {"type": "template", "payload": {"template_type": "button", "text": "x", "buttons": buttons}}}


async def test_webhooks_are_written_and_signed_as_metas(platform: httpx2.AsyncClient, hook: Hook) -> None:
    """Text beyond ASCII goes out escaped in lower case, and the signature is over exactly those bytes."""
    assert (await does(platform, "text", text="抽獎/Ä"))["status"] == 200
    ((body, signature),) = hook.calls
    assert b"\\u62bd\\u734e\\/\\u00c4" in body
    assert is_signed(body, PAGE.app_secret, signature)


async def test_each_act_has_its_event(platform: httpx2.AsyncClient, hook: Hook) -> None:
    """What a person does arrives in the shape Messenger documents for it."""
    await does(platform, "ref", ref="summer")
    await does(platform, "ref", ref="summer")
    await does(platform, "get_started")
    await does(platform, "tap", payload="play:x")
    await does(platform, "photo")
    new, old, started, tapped, photo = hook.updates
    referral = {"ref": "summer", "source": "SHORTLINK", "type": "OPEN_THREAD"}
    assert new["postback"]["referral"] == old["referral"] == referral
    assert new["postback"]["payload"] == started["postback"]["payload"] == "GET_STARTED"
    assert tapped["postback"]["payload"] == "play:x"
    assert photo["message"]["attachments"][0]["type"] == "image"
    await does(platform, "comment", text="抽獎")
    value = json.loads(hook.calls[-1][0])["entry"][0]["changes"][0]["value"]
    assert (value["item"], value["verb"], value["from"]["id"]) == ("comment", "add", PSID)


async def test_a_tap_finds_the_button_in_the_thread(platform: httpx2.AsyncClient, hook: Hook) -> None:
    """A button that opens a page tells its address; one that sends back makes a postback."""
    await does(platform, "text", text="hi")
    await say(platform, card("Play"))
    message = card()
    message["attachment"]["payload"]["buttons"] = [{"type": "postback", "title": "Again", "payload": "play:x"}]
    await say(platform, message)
    assert (await does(platform, "tap", title="Play"))["opens"] == "http://127.0.0.1/play"
    await does(platform, "tap", title="Again")
    assert hook.updates[-1]["postback"]["payload"] == "play:x"


async def test_webhooks_are_repeated_and_reordered_as_scripted(platform: httpx2.AsyncClient, hook: Hook) -> None:
    """Failures are retried with the same bytes, copies are sent, and held webhooks arrive the other way round."""
    hook.statuses = [500, 503]
    assert (await does(platform, "text", text="a"))["webhooks"] == [
        {"status": 200, "attempts": 3, "statuses": [500, 503, 200]}
    ]
    assert len({body for body, _ in hook.calls}) == 1
    hook.calls.clear()
    await platform.post("/_script", json={"webhooks": {"copies": 3, "hold": 2}})
    assert (await does(platform, "text", text="b"))["held"] == 1
    await does(platform, "text", text="c")
    assert [update["message"]["text"] for update in hook.updates] == ["c", "c", "c", "b", "b", "b"]


@pytest.mark.parametrize(
    ("setup", "status", "code", "subcode"),
    [
        ({}, 400, 100, 2018001),
        ({"people": [{"user": PSID, "window": "closed"}]}, 403, 10, 2018278),
        ({"people": [{"user": PSID, "window": "open", "standing": "blocked"}]}, 400, 551, 1545041),
        ({"token": "refused"}, 400, 190, None),
    ],
)
async def test_refusals_have_graphs_shape(
    platform: httpx2.AsyncClient, setup: dict[str, Any], status: int, code: int, subcode: int | None
) -> None:
    """An unknown person, a closed window, a block and a bad token are refused as the Graph API does."""
    await platform.post("/_script", json=setup)
    refused = await say(platform, {"text": "hello"})
    assert refused.status_code == status
    error = refused.json()["error"]
    assert (error["code"], error.get("error_subcode"), error["type"]) == (code, subcode, "OAuthException")
    assert error["message"]
    assert error["fbtrace_id"]
    assert (await platform.get("/_sent")).json() == []


async def test_a_comment_opens_no_window_and_a_message_does(platform: httpx2.AsyncClient) -> None:
    """After a comment alone the person cannot be written to; after a message they can."""
    await does(platform, "comment", text="hi")
    assert (await say(platform, {"text": "x"})).status_code == 400
    await does(platform, "text", text="hi")
    assert (await say(platform, {"text": "x"})).status_code == 200
    assert (await say(platform, {"text": "x"}, headers={"Authorization": "Bearer wrong"})).json()["error"][
        "code"
    ] == 190
    assert (await say(platform, card("A title of twenty-one"))).json()["error"]["code"] == 100
    await platform.delete("/_sent")
    assert (await platform.get("/_sent")).json() == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/_script", {"fial": []}, "fial"),
        ("/_script", {"fail": [{"kind": "fax"}]}, "fail[0].kind"),
        ("/_script", {"fail": [{"times": 0}]}, "fail[0].times"),
        ("/_script", {"fail": [{"mode": "explode"}]}, "fail[0].mode"),
        ("/_script", {"people": [{"user": "1", "channel": "fax"}]}, "people[0].channel"),
        ("/_user", {"user": PSID, "does": "dance"}, "does"),
        ("/_user", {"user": PSID, "does": "text"}, "text"),
        ("/_user", {"user": PSID, "does": "ref"}, "ref"),
        ("/_user", {"user": PSID, "does": "tap"}, "title"),
        ("/_user", {"user": PSID, "does": "follow"}, "does"),
        ("/_user", {"user": "a b", "does": "text", "text": "x"}, "user"),
        ("/_user", {"user": PSID, "does": "text", "text": "x", "channel": "fax"}, "channel"),
    ],
)
async def test_wrong_controls_are_told_what_is_right(
    platform: httpx2.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    """A mistake in a script or an act names its field, and changes nothing."""
    answer = await platform.post(path, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await platform.get("/_script")).json()["fail"] == []


async def test_strange_graph_calls_are_refused_in_its_shape(platform: httpx2.AsyncClient) -> None:
    """Whatever is sent to the Graph API that it does not take, the answer has its error shape."""
    calls = [
        platform.post(SEND, content=b"\xff", headers=AUTH),
        platform.post(SEND, content=b"[]", headers=AUTH),
        platform.post(SEND, json={"messaging_type": "MESSAGE_TAG"}, headers=AUTH),
        platform.post("/v26.0/1/messages", json={}, headers=AUTH),
        platform.post("/x/me/messages", json={}, headers=AUTH),
        platform.post("/v26.0/77/label", params={"user": PSID}, headers=AUTH),
        platform.post("/v26.0/me/custom_labels", json={}, headers=AUTH),
    ]
    for answer in await asyncio.gather(*calls):
        assert answer.status_code == 400
        assert answer.json()["error"]["fbtrace_id"]


async def test_the_simulator_shows_the_thread_and_takes_words(platform: httpx2.AsyncClient, hook: Hook) -> None:
    """The page shows both sides, escaped, with buttons that open or send back, and its form writes as the person."""
    page = await platform.get("/", params={"user": PSID})
    assert "simulation" in page.text
    assert "No messages yet" in page.text
    form = {"channel": "messenger", "user": PSID, "does": "text", "text": "<b>抽獎</b>"}
    said = await platform.post("/say", data=form, follow_redirects=True)
    assert said.status_code == 200
    assert "&lt;b&gt;抽獎&lt;/b&gt;" in said.text
    assert hook.updates[0]["message"]["text"] == "<b>抽獎</b>"
    await say(platform, card("Play now"))
    coupon = {"template_type": "coupon", "title": "Latte", "coupon_code": "LATTE2"}
    await say(platform, {"attachment": {"type": "template", "payload": coupon}})
    shown = (await platform.get("/", params={"user": PSID})).text
    assert 'href="http://127.0.0.1/play"' in shown
    assert "LATTE2" in shown
    assert (await platform.get("/static/simulator.css")).status_code == 200
    assert (await platform.post("/say", data={"does": "text"})).status_code == 422
