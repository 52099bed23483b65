from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.bots.emulator.people import as_meta_writes
from gamekit.bots.inbox import Inbox
from gamekit.storage.sql import open_database
from tests.chat import (
    CHANNEL,
    FIXTURES,
    OTHER_PAGE,
    PAGE,
    PSID,
    Product,
    envelope,
    play_link,
    product,
    served,
    signed,
    text_update,
)

HOOK = "/hooks/messenger"


@pytest.fixture
async def engine(sql_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(sql_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def made(engine: AsyncEngine) -> AsyncIterator[Product]:
    """A product whose workers are not started."""
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False) as nowhere:
        yield await product(engine, nowhere)


@pytest.fixture
async def hook(made: Product) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(made.app) as url, httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        yield client


async def test_the_address_is_verified_by_the_pages_token(hook: httpx2.AsyncClient) -> None:
    """Meta's check is answered with its challenge for the right token only, and else with 403."""
    right = {"hub.mode": "subscribe", "hub.verify_token": PAGE.verify_token, "hub.challenge": "1158201444"}
    answer = await hook.get(HOOK, params=right)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    wrong: list[dict[str, str]] = [
        right | {"hub.verify_token": "wrong"},
        right | {"hub.verify_token": "é"},
        right | {"hub.mode": "unsubscribe"},
        right | {"hub.challenge": ""},
        right | {"hub.challenge": "x" * 2_000},
        {},
    ]
    for params in wrong:
        refused = await hook.get(HOOK, params=params)
        assert refused.status_code == 403
        assert refused.json()["code"] == "forbidden"
    assert (await hook.put(HOOK)).status_code == 405


async def test_only_the_signed_bytes_are_accepted(hook: httpx2.AsyncClient, made: Product) -> None:
    """Without the signature of exactly these bytes a call is 403 and nothing of it is stored."""
    payload = envelope(text_update("抽獎"))
    good = signed(payload)
    other_bytes = json.dumps(payload, ensure_ascii=False).encode()
    for bad in (
        signed(payload, "another-secret"),
        good | {"headers": {}},
        good | {"headers": {"X-Hub-Signature-256": ""}},
        good | {"headers": {"X-Hub-Signature": good["headers"]["X-Hub-Signature-256"]}},
        good | {"headers": {b"X-Hub-Signature-256": "sha256=é".encode()}},
        good | {"content": other_bytes},
        good | {"content": good["content"] + b" "},
    ):
        refused = await hook.post(HOOK, **bad)
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
    assert await made.inbound() == []
    assert (await hook.post(HOOK, **good)).status_code == 200
    (row,) = await made.inbound()
    assert (row.channel, row.dedupe_key, row.handled_at) == ("messenger", "mid:mid.1", None)


async def test_pages_of_one_app_share_the_hook_and_strangers_do_not(hook: httpx2.AsyncClient, made: Product) -> None:
    """Each event goes to its own Page's channel; an app cannot speak for another app's Page."""
    second = replace(CHANNEL, key="messenger-2", account_id=OTHER_PAGE.page_id)
    third = replace(CHANNEL, key="messenger-3", account_id="999", app_secret="another app's secret")
    for channel in (second, third):
        await made.channels.connect(channel)
    update, batch = text_update("hi", mid="a"), envelope(text_update("hi", mid="b"))
    batch["entry"] += envelope(update, page=second.account_id)["entry"] + envelope(update, page="999")["entry"]
    assert (await hook.post(HOOK, **signed(batch))).status_code == 200
    assert sorted((row.channel, row.dedupe_key) for row in await made.inbound()) == [
        ("messenger", "mid:b"),
        ("messenger-2", "mid:a"),
    ]
    assert (await hook.post(HOOK, **signed(envelope(update, page="999"), third.app_secret))).status_code == 200
    assert len(await made.inbound()) == 3


async def test_an_event_is_stored_once_however_often_it_comes(hook: httpx2.AsyncClient, made: Product) -> None:
    """Twenty deliveries of one call at once, and a batch that repeats its event, store one row."""
    call = signed(envelope(text_update("抽獎"), text_update("抽獎")))
    answers = await asyncio.gather(*(hook.post(HOOK, **call) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await made.inbound()) == 1


async def test_the_fixtures_are_taken_as_they_are(hook: httpx2.AsyncClient, made: Product) -> None:
    """Every sample payload is answered 200, and those for us are stored."""
    for payload in FIXTURES.values():
        call = json.loads(json.dumps(payload))
        call["entry"][0]["id"] = PAGE.page_id
        assert (await hook.post(HOOK, **signed(call))).status_code == 200
    kinds = sorted(row.event["kind"] for row in await made.inbound())
    assert kinds == ["comment", "comment", "link", "media", "media", "tap", "tap", "text", "text"]


async def test_one_broken_event_loses_no_other(hook: httpx2.AsyncClient, made: Product) -> None:
    """Events a database could choke on stand beside a broken one, and every valid one is stored."""
    strange = text_update("a\x00b\ud83d", mid="\ud83d\x00", psid="1\x00")
    batch = envelope(None, {"message": {}}, strange, text_update("抽獎", mid="x" * 900), text_update("ok", mid="fine"))
    assert (await hook.post(HOOK, **signed(batch))).status_code == 200
    assert len(await made.inbound()) == 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 50_000, b'"x"'])
async def test_a_signed_body_that_is_no_object_is_400(hook: httpx2.AsyncClient, made: Product, body: bytes) -> None:
    """A signed body that is no JSON object is told so."""
    answer = await hook.post(HOOK, **signed(body))
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed_request"


async def test_size_has_a_limit(hook: httpx2.AsyncClient, made: Product) -> None:
    """A body over 1 MiB, or with more than a thousand events, is 413 and nothing of it is stored."""
    too_many = envelope(*(text_update("x", mid=str(number)) for number in range(1_001)))
    for call in (signed(b" " * (1024 * 1024 + 1)), signed(too_many)):
        assert (await hook.post(HOOK, **call)).status_code == 413
    assert await made.inbound() == []


async def test_a_full_batch_is_answered_quickly(hook: httpx2.AsyncClient, made: Product) -> None:
    """A thousand events in one call are stored and answered well under Meta's five seconds."""
    call = signed(envelope(*(text_update("x", mid=str(number)) for number in range(1_000))))
    began = time.monotonic()
    assert (await hook.post(HOOK, **call)).status_code == 200
    assert time.monotonic() - began < 2.5
    assert len(await made.inbound()) == 1_000


async def test_strange_bodies_never_break_the_hook(hook: httpx2.AsyncClient, made: Product) -> None:
    """Each part of each sample payload, replaced by each strange value in turn, is answered 200 or 400, never 500."""
    bodies = {as_meta_writes(mutant) for payload in FIXTURES.values() for mutant in _mutants(payload)}
    statuses = set()
    for start in range(0, len(bodies), 50):
        calls = [hook.post(HOOK, **signed(body)) for body in sorted(bodies)[start : start + 50]]
        statuses |= {answer.status_code for answer in await asyncio.gather(*calls)}
    assert statuses == {200}


STRANGE: tuple[Any, ...] = (None, True, -1, 10**40, 1.5, "", "\x00", "\ud800", [], [[]], {}, {"id": {}})


def _mutants(value: Any, *, depth: int = 0) -> list[Any]:
    """Copies of `value` with one part replaced. The Page's id stays, or nothing below it would be looked at."""
    made: list[Any] = [] if depth == 0 else list(STRANGE)
    if isinstance(value, dict):
        for key, inner in value.items():
            made += [value | {key: mutant} for mutant in _mutants(inner, depth=depth + 1)[:: 1 + depth // 2]]
            made.append({name: kept for name, kept in value.items() if name != key})
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            made += [[*value[:at], mutant, *value[at + 1 :]] for mutant in _mutants(inner, depth=depth + 1)]
    if depth == 0:
        for mutant in made:
            for entry in mutant.get("entry") or [] if isinstance(mutant.get("entry"), list) else []:
                if isinstance(entry, dict) and isinstance(entry.get("id"), str):
                    entry["id"] = PAGE.page_id
    return made


async def test_sql_away_is_503_and_loses_nothing(made: Product) -> None:
    """With SQL out of reach the hook says 503, so that Meta sends again, and the repetition is stored."""
    call = signed(envelope(text_update("抽獎", psid=PSID)))
    nowhere = open_database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    inbox = Inbox(nowhere, made.book, play_link, clock=made.clock, metrics=made.bot_metrics, on_owed=made.relay.notify)
    for app, status in ((replace(made, inbox=inbox).app, 503), (made.app, 200)):
        async with served(app) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.post(HOOK, **call)).status_code == status
    assert len(await made.inbound()) == 1
