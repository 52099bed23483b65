from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.deliveries.adapter import SendResult
from gamekit.deliveries.message import Message, TagAction
from gamekit.deliveries.models import Delivery, DeliveryKind, DeliveryState
from gamekit.deliveries.repository import Outbox, Owed, Owing, owe
from gamekit.players.models import Player
from gamekit.storage.sql import open_database
from tests.chat import CHANNEL, FAST, channels_of, emulated, plain, relay_for, rows, running, until

MESSAGE, TAG = DeliveryKind.MESSAGE, DeliveryKind.TAG


@pytest.fixture
async def engine(sql_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(sql_url)
    await channels_of(engine).connect(CHANNEL)
    yield engine
    await engine.dispose()


@pytest.fixture
async def platform() -> AsyncIterator[httpx2.AsyncClient]:
    async with emulated() as client:
        yield client


def psid(player: int) -> str:
    return str(10_000 + player)


def said(text: str) -> dict[str, Any]:
    return {"message": {"type": "text", "text": text}}


async def give(engine: AsyncEngine, *owing: tuple[int, DeliveryKind, dict[str, Any]], players: int = 5) -> None:
    """Owe deliveries to players 1..`players`, who are made first."""
    now = datetime.now(UTC)
    async with engine.begin() as connection:
        people = [{"channel": "messenger", "external_id": psid(n), "created_at": now} for n in range(1, players + 1)]
        await connection.execute(insert(Player), people)
        await owe(connection, [Owing("messenger", player, kind, body) for player, kind, body in owing], now)


async def all_ended(engine: AsyncEngine) -> bool:
    return all(row.ended_at is not None for row in await rows(engine, Delivery))


async def states(engine: AsyncEngine) -> list[str]:
    return [row.state for row in await rows(engine, Delivery)]


async def sent(platform: httpx2.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await platform.get("/_sent")).json()
    return found


async def script(platform: httpx2.AsyncClient, **what: Any) -> None:
    (await platform.post("/_script", json=what)).raise_for_status()


async def test_what_is_owed_arrives_once(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """Messages and tags arrive at the platform, and their rows end as sent with the platform's id."""
    await give(engine, (1, MESSAGE, said("hello")), (1, TAG, {"tag": "won-latte"}))
    async with running(relay_for(engine, platform)):
        await until(lambda: all_ended(engine))
    message, tag = await rows(engine, Delivery)
    assert (message.state, message.attempts, message.reason) == ("sent", 1, None)
    assert message.platform_id
    assert tag.state == "sent"
    assert sorted(one["kind"] for one in await sent(platform)) == ["message", "tag"]


async def test_several_relays_share_the_work(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """Three relays at once send each of 150 messages once, each player's in the order they were owed."""
    owing = [(1 + number % 10, MESSAGE, said(f"{number:03}")) for number in range(150)]
    await give(engine, *owing, players=10)
    async with (
        running(relay_for(engine, platform)),
        running(relay_for(engine, platform)),
        running(relay_for(engine, platform)),
    ):
        await until(lambda: all_ended(engine), seconds=40)
    assert set(await states(engine)) == {"sent"}
    arrived: dict[str, list[str]] = {}
    for one in await sent(platform):
        arrived.setdefault(one["recipient"], []).append(one["body"]["message"]["text"])
    assert sum(map(len, arrived.values())) == 150
    assert all(texts == sorted(texts) and len(set(texts)) == 15 for texts in arrived.values())


async def test_temporary_failures_are_retried(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """A platform that answers 500, then breaks a tag's connections, gets everything in the end, once."""
    await script(platform, fail=[{"kind": "message", "times": 3}, {"kind": "tag", "times": 2, "mode": "drop_after"}])
    await give(engine, (1, MESSAGE, said("hello")), (1, TAG, {"tag": "won-latte"}))
    async with running(relay_for(engine, platform)):
        await until(lambda: all_ended(engine))
    assert await states(engine) == ["sent", "sent"]
    assert Counter(one["kind"] for one in await sent(platform)) == {"message": 1, "tag": 1}
    assert (await rows(engine, Delivery))[0].attempts == 4


@pytest.mark.parametrize(
    ("failure", "state", "reason"),
    [
        ({"status": 403, "code": 10, "subcode": 2018278}, "window_closed", "10/2018278"),
        ({"status": 400, "code": 551}, "unreachable", "551"),
        ({"status": 403, "code": 10, "subcode": 1893015}, "opted_out", "10/1893015"),
        ({"status": 400, "code": 100, "subcode": 2018001}, "rejected", "100/2018001"),
        ({"mode": "timeout", "seconds": 2}, "unknown", "may have been sent"),
        ({"mode": "drop"}, "unknown", "may have been sent"),
        ({"status": 500, "times": 100}, "expired", "Gave up after 3 attempts"),
    ],
)
async def test_each_failure_has_its_final_state(
    engine: AsyncEngine, platform: httpx2.AsyncClient, failure: dict[str, Any], state: str, reason: str
) -> None:
    """What cannot be sent ends in the state that says why, is not tried again, and holds nobody else up."""
    await script(platform, fail=[failure | {"user": psid(1)}])
    await give(engine, (1, MESSAGE, said("one")), (2, MESSAGE, said("two")))
    registry = CollectorRegistry()
    async with running(relay_for(engine, platform, policy=replace(FAST, attempts=3), registry=registry)):
        await until(lambda: all_ended(engine))
        await asyncio.sleep(0.2)
    first, second = await rows(engine, Delivery)
    assert first.state == state
    assert reason in first.reason
    assert second.state == "sent"
    labels = {"channel": "messenger", "kind": "message", "state": state}
    assert registry.get_sample_value("gamekit_deliveries_ended_total", labels) == 1


async def test_poisoned_rows_are_rejected_and_others_go_on(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """Bodies that cannot be composed, an erased player and a channel that is not connected end as rejected."""
    bad: list[dict[str, Any]] = [{}, {"draw": 7}, {"message": None}, {"message": {"type": "buttons"}}]
    await give(
        engine, *((1, MESSAGE, body) for body in bad), (1, TAG, {}), (99, MESSAGE, said("x")), (1, MESSAGE, said("ok"))
    )
    async with engine.begin() as connection:
        await owe(connection, [Owing("kiosk", 1, MESSAGE, said("x"))], datetime.now(UTC))
    async with running(relay_for(engine, platform)):
        await until(lambda: all_ended(engine))
    assert await states(engine) == ["rejected"] * 6 + ["sent", "rejected"]
    assert all(row.reason for row in await rows(engine, Delivery) if row.state == "rejected")
    assert len(await sent(platform)) == 1


async def test_a_faulty_composer_costs_no_delivery(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """A composer that raises what nobody expects is asked again later, and so is one whose SQL is away."""
    faults = [RuntimeError("bug"), OSError("away")]

    async def compose(owed: Owed) -> Message | TagAction:
        if faults:
            raise faults.pop()
        return await plain(owed)

    await give(engine, (1, MESSAGE, said("hello")))
    async with running(relay_for(engine, platform, compose=compose)):
        await until(lambda: all_ended(engine))
    assert await states(engine) == ["sent"]


async def test_what_is_too_old_expires_unsent(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """A delivery that nobody could send for a day is not sent any more, and says so."""
    now = datetime.now(UTC)
    await give(engine)
    async with engine.begin() as connection:
        await owe(connection, [Owing("messenger", 1, MESSAGE, said("old"))], now - timedelta(hours=25))
    async with running(relay_for(engine, platform)):
        await until(lambda: all_ended(engine))
    (row,) = await rows(engine, Delivery)
    assert (row.state, row.reason) == ("expired", "It was not sent within 24 hours.")
    assert await sent(platform) == []


async def test_a_rate_limit_rests_the_whole_channel(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """After one 429 the channel's other deliveries wait too, then all arrive."""
    await script(platform, fail=[{"status": 429, "retry_after": 2}])
    await give(engine, *((player, MESSAGE, said("x")) for player in range(1, 6)))
    one_at_a_time = replace(FAST, concurrency=1)
    async with running(relay_for(engine, platform, policy=one_at_a_time)):
        await until(lambda: _refused_once(engine))
        (rests_until,) = [row.due_at for row in await rows(engine, Delivery) if row.reason]
        await until(lambda: all_ended(engine))
    assert all(datetime.fromisoformat(one["at"]) >= rests_until for one in await sent(platform))
    assert sorted(row.attempts for row in await rows(engine, Delivery)) == [1, 1, 1, 1, 2]


async def _refused_once(engine: AsyncEngine) -> bool:
    return any(row.reason for row in await rows(engine, Delivery))


async def test_a_refused_token_uses_up_nothing(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """While the access token is refused deliveries wait without losing attempts, and the refusal is counted."""
    await script(platform, token="refused")
    await give(engine, (1, MESSAGE, said("hello")))
    registry = CollectorRegistry()
    async with running(relay_for(engine, platform, registry=registry)):
        await until(lambda: _refused_once(engine))
    (row,) = await rows(engine, Delivery)
    assert (row.state, row.attempts) == ("pending", 0)
    assert row.due_at > datetime.now(UTC) + timedelta(seconds=30)
    assert registry.get_sample_value("gamekit_channel_token_refused_total", {"channel": "messenger"}) == 1


async def test_order_is_kept_behind_a_retry_but_others_pass(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """A player's second message waits for the first, which is being retried; another player's does not."""
    await script(platform, fail=[{"user": psid(1), "times": 4}])
    await give(engine, (1, MESSAGE, said("1a")), (1, MESSAGE, said("1b")), (2, MESSAGE, said("2a")))
    async with running(relay_for(engine, platform)):
        await until(lambda: all_ended(engine))
    assert [one["body"]["message"]["text"] for one in await sent(platform)] == ["2a", "1a", "1b"]


async def test_a_relay_waits_for_sql(platform: httpx2.AsyncClient, engine: AsyncEngine) -> None:
    """A relay whose database cannot be reached neither ends nor spins, and stops when told."""
    nowhere = open_database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    async with running(relay_for(nowhere, platform)):
        await asyncio.sleep(0.3)
    await nowhere.dispose()


async def test_notify_beats_the_poll(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """A relay that polls once a minute sends at once when it is told."""
    relay = relay_for(engine, platform, policy=replace(FAST, poll_seconds=60))
    async with running(relay):
        await asyncio.sleep(0.1)
        await give(engine, (1, MESSAGE, said("hello")))
        relay.notify()
        await until(lambda: all_ended(engine), seconds=5)


@pytest.mark.parametrize("step", ["before composing", "before sending", "while sending", "after sending"])
@pytest.mark.parametrize("kind", [MESSAGE, TAG])
async def test_death_at_any_step_sends_no_message_twice(
    engine: AsyncEngine, platform: httpx2.AsyncClient, step: str, kind: DeliveryKind
) -> None:
    """A relay that dies at any step leaves a message unknown, sent at most once; a tag arrives, once."""
    policy = replace(FAST, lease_seconds=0.4)
    reached, for_ever = asyncio.Event(), asyncio.Event()

    async def stop_here() -> None:
        reached.set()
        await for_ever.wait()

    async def compose(owed: Owed) -> Message | TagAction:
        if step == "before composing":
            await stop_here()
        return await plain(owed)

    body = said("hello") if kind is MESSAGE else {"tag": "won-latte"}
    await give(engine, (1, kind, body))
    dying = relay_for(engine, platform, policy=policy, compose=compose)
    adapter = dying._adapters["messenger"]

    class Dying:
        async def send(self, *arguments: Any) -> SendResult:
            return await self._around(adapter.send(*arguments))

        async def tag(self, *arguments: Any) -> SendResult:
            return await self._around(adapter.tag(*arguments))

        async def _around(self, sending: Any) -> SendResult:
            if step == "before sending":
                sending.close()
                await stop_here()
            result: SendResult = await sending
            await stop_here()
            return result

    if step == "while sending":
        await script(platform, fail=[{"kind": kind.value, "mode": "slow", "seconds": 0.6}])
    dying._adapters = {"messenger": Dying()}
    dying.start()
    if step == "while sending":
        await until(lambda: _scripted_failure_taken(platform))
    else:
        await reached.wait()
    # The process is gone: nothing of it is told, nothing of it is recorded.
    await dying.stop(grace_seconds=0)
    async with running(relay_for(engine, platform, policy=policy)):
        await until(lambda: all_ended(engine))
        await asyncio.sleep(0.8)
    (row,) = await rows(engine, Delivery)
    arrived = await sent(platform)
    if kind is MESSAGE:
        assert row.state == "unknown"
        assert "may have been sent" in row.reason
        assert len(arrived) == (1 if step in ("while sending", "after sending") else 0)
    else:
        assert row.state == "sent"
        assert len(arrived) == 1


async def _scripted_failure_taken(platform: httpx2.AsyncClient) -> bool:
    return not (await platform.get("/_script")).json()["fail"]


async def test_chaos_reconciles(engine: AsyncEngine, platform: httpx2.AsyncClient) -> None:
    """Under mixed failures and dying relays every delivery ends, and the platform's count lies within the states'."""
    failures = [
        {"kind": "message", "times": 8, "status": 500},
        {"kind": "message", "times": 4, "mode": "drop"},
        {"kind": "message", "times": 4, "mode": "drop_after"},
        {"kind": "tag", "times": 8, "status": 503},
        {"kind": "tag", "times": 4, "mode": "drop_after"},
    ]
    await script(platform, fail=failures, people=[{"user": psid(3), "window": "closed"}])
    owing = [(player, MESSAGE, said(f"{player}.{number}")) for number in range(12) for player in range(1, 7)]
    await give(engine, *owing, *((player, TAG, {"tag": "played"}) for player in range(1, 7)), players=6)
    policy = replace(FAST, lease_seconds=0.5)
    for _ in range(4):
        dying = relay_for(engine, platform, policy=policy)
        dying.start()
        await asyncio.sleep(0.15)
        await dying.stop(grace_seconds=0)
    async with running(relay_for(engine, platform, policy=policy)), running(relay_for(engine, platform, policy=policy)):
        await until(lambda: all_ended(engine), seconds=40)
    ended = await rows(engine, Delivery)
    arrived = await sent(platform)
    texts = Counter(one["body"]["message"]["text"] for one in arrived if one["kind"] == "message")
    by_state = Counter(row.state for row in ended if row.kind == "message")
    assert set(texts.values()) == {1}
    assert by_state["sent"] <= len(texts) <= by_state["sent"] + by_state["unknown"]
    assert by_state["window_closed"] + by_state["unknown"] >= 12
    for row in ended:
        if row.kind == "message" and row.state == "sent":
            assert texts[row.body["message"]["text"]] == 1
        if row.kind == "message" and row.state not in ("sent", "unknown"):
            assert texts[row.body["message"]["text"]] == 0
    tags = Counter(one["recipient"] for one in arrived if one["kind"] == "tag")
    assert tags == {psid(player): 1 for player in range(1, 7)}


async def test_a_late_record_cannot_undo_a_later_attempt(engine: AsyncEngine) -> None:
    """Whoever lost its lease may still say that it sent a message, but not touch a tag that was taken again."""
    await give(engine, (1, MESSAGE, said("hello")), (1, TAG, {"tag": "played"}))
    outbox, now = Outbox(engine), datetime.now(UTC)
    first = await outbox.claim(now=now, lease_ends=now, limit=10, resting=())
    assert await outbox.give_up_lapsed(now) == ["messenger"]
    (tag_again,) = await outbox.claim(now=now, lease_ends=now + timedelta(minutes=1), limit=10, resting=())
    message, tag = first
    assert await outbox.finish(message, DeliveryState.SENT, now=now, reason=None, platform_id="m_1")
    assert not await outbox.finish(tag, DeliveryState.REJECTED, now=now, reason="x", platform_id=None)
    assert await outbox.finish(tag_again, DeliveryState.SENT, now=now, reason=None, platform_id=None)
    assert await states(engine) == ["sent", "sent"]


async def test_a_claim_takes_no_more_than_asked(engine: AsyncEngine) -> None:
    """Of twenty players' deliveries, claims of three take three each, one per player, until none is left."""
    await give(engine, *((1 + number % 20, MESSAGE, said("x")) for number in range(40)), players=20)
    outbox, now = Outbox(engine), datetime.now(UTC)
    ends = now + timedelta(minutes=1)
    claims = [await outbox.claim(now=now, lease_ends=ends, limit=3, resting=()) for _ in range(8)]
    assert [len(claim) for claim in claims] == [3, 3, 3, 3, 3, 3, 2, 0]
    assert len({one.player_id for claim in claims for one in claim}) == 20


async def test_the_outbox_knows_its_age(engine: AsyncEngine) -> None:
    """The age is that of the oldest delivery under way, and 0 once all have ended."""
    outbox, now = Outbox(engine), datetime.now(UTC)
    assert await outbox.oldest_seconds(now) == 0
    await give(engine, (1, MESSAGE, said("hello")))
    assert 59 < await outbox.oldest_seconds(now + timedelta(seconds=60)) <= 61
