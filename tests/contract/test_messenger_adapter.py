from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx2
import pytest

from gamekit.bots.messenger.adapter import MessengerAdapter
from gamekit.bots.messenger.answers import judge
from gamekit.deliveries.adapter import Verdict
from gamekit.deliveries.message import Text
from tests.chat import CHANNEL, PSID, emulated


def adapter_for(client: httpx2.AsyncClient, *, base: str | None = None) -> MessengerAdapter:
    return MessengerAdapter(client, graph_url=base or str(client.base_url), graph_version="v26.0", timeout_seconds=0.5)


async def test_a_message_is_sent_with_the_pages_token() -> None:
    """A message arrives at the platform as one RESPONSE to the recipient."""
    async with emulated() as platform:
        result = await adapter_for(platform).send(CHANNEL, PSID, Text("hello"))
        assert result.verdict is Verdict.SENT
        assert result.platform_id
        (sent,) = (await platform.get("/_sent")).json()
        assert (sent["channel"], sent["recipient"], sent["kind"]) == ("messenger", PSID, "message")
        body = {"recipient": {"id": PSID}, "messaging_type": "RESPONSE", "message": {"text": "hello"}}
        assert sent["body"] == body


@pytest.mark.parametrize(
    ("script", "verdict", "arrived"),
    [
        ({"fail": [{"status": 500}]}, Verdict.RETRY, 0),
        ({"fail": [{"status": 503}]}, Verdict.RETRY, 0),
        ({"fail": [{"status": 429}]}, Verdict.RETRY, 0),
        ({"fail": [{"status": 400, "code": 4}]}, Verdict.RETRY, 0),
        ({"fail": [{"status": 400, "code": 613, "subcode": 2534040}]}, Verdict.RETRY, 0),
        ({"fail": [{"status": 400, "code": 4, "subcode": 2018354}]}, Verdict.REJECTED, 0),
        ({"fail": [{"status": 403, "code": 10, "subcode": 2534022}]}, Verdict.WINDOW_CLOSED, 0),
        ({"fail": [{"status": 403, "code": 200, "subcode": 1545041}]}, Verdict.UNREACHABLE, 0),
        ({"fail": [{"status": 403, "code": 10, "subcode": 1893063}]}, Verdict.RETRY, 0),
        ({"fail": [{"status": 400, "code": 100}]}, Verdict.REJECTED, 0),
        ({"fail": [{"mode": "drop"}]}, Verdict.UNKNOWN, 0),
        ({"fail": [{"mode": "drop_after"}]}, Verdict.UNKNOWN, 1),
        ({"fail": [{"mode": "timeout", "seconds": 1}]}, Verdict.UNKNOWN, 1),
        ({"fail": [{"mode": "slow", "seconds": 0.1}]}, Verdict.SENT, 1),
        ({"token": "refused"}, Verdict.RETRY, 0),
        ({"people": [{"user": PSID, "window": "closed"}]}, Verdict.WINDOW_CLOSED, 0),
        ({"people": [{"user": PSID, "standing": "blocked"}]}, Verdict.UNREACHABLE, 0),
        ({"people": [{"user": PSID, "standing": "opted_out"}]}, Verdict.OPTED_OUT, 0),
        ({"people": [{"user": PSID, "standing": "unknown"}]}, Verdict.REJECTED, 0),
        ({"strict": True}, Verdict.REJECTED, 0),
    ],
)
async def test_each_answer_has_its_verdict(script: dict[str, Any], verdict: Verdict, arrived: int) -> None:
    """Every documented answer, and every way a connection fails, is judged as platforms' documents say."""
    async with emulated() as platform:
        (await platform.post("/_script", json=script)).raise_for_status()
        result = await adapter_for(platform).send(CHANNEL, PSID, Text("hello"))
        assert result.verdict is verdict, result
        assert (result.reason is None) == (verdict is Verdict.SENT)
        assert len((await platform.get("/_sent")).json()) == arrived
        assert "page-token" not in (result.reason or "")


async def test_a_refused_connection_is_tried_again() -> None:
    """Where nobody listens nothing was written, so the message may be sent again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with httpx2.AsyncClient(trust_env=False) as client:
            result = await adapter_for(client, base=base).send(CHANNEL, PSID, Text("hello"))
    assert result.verdict is Verdict.RETRY


def test_channel_wide_answers_rest_the_channel() -> None:
    """Rate limits, a refused token and a restricted Page hold the channel back; only the token calls for a person."""
    rate = judge(429, {"error": {"code": 613, "message": "slow down"}}, {"retry-after": "17"})
    token = judge(400, {"error": {"code": 190, "message": "expired"}}, {})
    page = judge(403, {"error": {"code": 10, "error_subcode": 1893063, "message": "restricted"}}, {})
    assert (rate.hold_seconds, rate.counts, rate.token_refused) == (17, True, False)
    assert token.hold_seconds
    assert (token.counts, token.token_refused) == (False, True)
    assert page.hold_seconds
    assert (page.counts, page.token_refused) == (False, False)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "unknown"),
        (302, "unknown"),
        (404, "rejected"),
        (408, "retry"),
        (500, "retry"),
        (502, "unknown"),
        (504, "unknown"),
    ],
)
def test_answers_without_a_graph_error_are_judged_by_status(status: int, verdict: str) -> None:
    """A gateway's answer says nothing of what lies behind it; a server's refusal does."""
    assert judge(status, None, {}).verdict == verdict


async def test_a_tag_becomes_one_label() -> None:
    """Many tags at once make one label per name, put on each recipient once."""
    async with emulated() as platform:
        adapter = adapter_for(platform)
        people = [str(number) for number in range(10_000, 10_010)]
        results = await asyncio.gather(*(adapter.tag(CHANNEL, psid, "won-latte") for psid in people * 2))
        assert {result.verdict for result in results} == {Verdict.SENT}
        sent = (await platform.get("/_sent")).json()
        assert sorted(one["recipient"] for one in sent) == people
        assert {one["kind"] for one in sent} == {"tag"}
        assert len({one["body"]["label_id"] for one in sent}) == 1
        assert {one["body"]["label"] for one in sent} == {"won-latte"}


async def test_labels_are_found_beyond_the_first_page_of_the_list() -> None:
    """A Page with more labels than one answer lists gets no second label of a name."""
    async with emulated() as platform:
        adapter = adapter_for(platform)
        for number in range(60):
            await adapter.tag(CHANNEL, PSID, f"tag-{number}")
        again = adapter_for(platform)
        assert (await again.tag(CHANNEL, "10001", "tag-55")).verdict is Verdict.SENT
        sent = (await platform.get("/_sent")).json()
        assert len({one["body"]["label_id"] for one in sent if one["body"]["label"] == "tag-55"}) == 1


async def test_a_label_deleted_at_the_platform_is_made_again() -> None:
    """A remembered label that is gone does not cost the tag."""
    async with emulated() as platform:
        adapter = adapter_for(platform)
        await adapter.tag(CHANNEL, PSID, "won-latte")
        await platform.post("/_reset")
        assert (await adapter.tag(CHANNEL, PSID, "won-latte")).verdict is Verdict.SENT
        assert len((await platform.get("/_sent")).json()) == 1


@pytest.mark.parametrize("kind", ["label", "tag"])
async def test_a_failing_label_call_is_the_tags_verdict(kind: str) -> None:
    """A tag whose label cannot be looked up or put on is to be tried again."""
    async with emulated() as platform:
        await platform.post("/_script", json={"fail": [{"kind": kind, "status": 500}]})
        adapter = adapter_for(platform)
        assert (await adapter.tag(CHANNEL, PSID, "won-latte")).verdict is Verdict.RETRY
        assert (await adapter.tag(CHANNEL, PSID, "won-latte")).verdict is Verdict.SENT
