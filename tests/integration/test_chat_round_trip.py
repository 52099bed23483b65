from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from gamekit.storage.sql import open_database
from tests.chat import (
    FIXTURES,
    PAGE,
    PSID,
    Product,
    emulated,
    envelope,
    product,
    running,
    served,
    signed,
    text_update,
    until,
)


@dataclass(frozen=True, slots=True)
class World:
    """A running product and a running platform that reach each other over HTTP."""

    product: Product
    platform: httpx2.AsyncClient
    hook: httpx2.AsyncClient


class LateApp:
    """An address that exists before its app does: each side needs the other's."""

    def __init__(self) -> None:
        self.app: object = None

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        if isinstance(scope, dict) and scope["type"] == "http":
            await self.app(scope, receive, send)  # type: ignore[operator]


@pytest.fixture
async def world(sql_url: str) -> AsyncIterator[World]:
    engine, late = open_database(sql_url), LateApp()
    async with served(late) as url, emulated(f"{url}/hooks/messenger") as platform:
        made = await product(engine, platform)
        late.app = made.app
        async with running(made.relay), running(made.inbox), httpx2.AsyncClient(base_url=url, trust_env=False) as hook:
            yield World(made, platform, hook)
    await engine.dispose()


async def sent(world: World) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await world.platform.get("/_sent")).json()
    return found


@pytest.mark.parametrize(
    "act", [{"does": "text", "text": "抽獎"}, {"does": "ref", "ref": "summer"}, {"does": "get_started"}]
)
async def test_a_person_gets_their_play_button(world: World, act: dict[str, str]) -> None:
    """A keyword, an m.me link and Get Started are each answered with one button that opens the person's own link."""
    began = time.monotonic()
    answer = (await world.platform.post("/_user", json={"channel": "messenger", "user": PSID, **act})).json()
    assert answer["status"] == 200
    await until(lambda: sent(world))
    assert time.monotonic() - began < 3
    (message,) = await sent(world)
    assert (message["recipient"], message["kind"]) == (PSID, "message")
    tap = await world.platform.post(
        "/_user", json={"channel": "messenger", "user": PSID, "does": "tap", "title": "開始玩"}
    )
    assert tap.json()["opens"].endswith(f"/play/summer-wheel?t=messenger.{PSID}")


async def test_the_sample_payloads_are_answered(world: World) -> None:
    """Payloads shaped like the public samples, signed by a test of its own, are answered at the platform."""
    call = FIXTURES["postback_referral"] | {}
    call["entry"][0]["id"] = PAGE.page_id
    assert (await world.hook.post("/hooks/messenger", **signed(call))).status_code == 200
    await until(lambda: sent(world))
    assert (await sent(world))[0]["recipient"] == "1476077422222289"


async def test_duplicates_and_disorder_are_answered_once_each(world: World) -> None:
    """Each of six messages, sent three times and the other way round, is answered once."""
    await world.platform.post("/_script", json={"webhooks": {"copies": 3, "hold": 6}})
    for number in range(6):
        act = {"channel": "messenger", "user": str(10_000 + number), "does": "text", "text": "抽獎"}
        await world.platform.post("/_user", json=act)

    async def six() -> bool:
        return len(await sent(world)) >= 6

    await until(six)
    await asyncio.sleep(0.5)
    assert sorted(str(one["recipient"]) for one in await sent(world)) == [str(10_000 + number) for number in range(6)]


async def test_the_hook_answers_before_the_work_is_done(world: World) -> None:
    """The webhook is answered at once though the platform takes its time with the reply."""
    await world.platform.post("/_script", json={"fail": [{"mode": "slow", "seconds": 0.8}]})
    began = time.monotonic()
    assert (await world.hook.post("/hooks/messenger", **signed(envelope(text_update("抽獎"))))).status_code == 200
    assert time.monotonic() - began < 0.7
    await until(lambda: sent(world))
