from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.bots import repository
from gamekit.bots.events import Commented, Inbound, MediaSent, Tapped, TextSent, What
from gamekit.storage.sql import open_database
from tests.chat import PSID, Product, live, product, running, until

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def made(sql_url: str) -> AsyncIterator[Product]:
    engine = open_database(sql_url)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False) as nowhere:
        yield await product(engine, nowhere)
    await engine.dispose()


def event(what: What, key: str = "mid:1", *, at: datetime = AT, sender: str = PSID) -> Inbound:
    return Inbound("messenger", sender, at, key, what)


async def all_handled(made: Product) -> bool:
    return all(row.handled_at is not None for row in await made.inbound())


async def test_a_keyword_is_answered_with_the_players_own_link(made: Product) -> None:
    """A keyword makes the player known, opens their window for a day, and owes one card with their link."""
    async with running(made.inbox):
        assert await made.inbox.accept([event(TextSent("抽獎"))]) == 1
        assert await made.inbox.accept([event(TextSent("抽獎"))]) == 0
        await until(lambda: all_handled(made))
    (player,) = await made.players()
    assert (player.channel, player.external_id) == ("messenger", PSID)
    assert player.window_expires_at == AT + timedelta(hours=24)
    (owed,) = await made.deliveries()
    assert (owed.player_id, owed.kind, owed.state) == (player.id, "message", "pending")
    (button,) = owed.body["message"]["buttons"]
    assert button["type"] == "open_game"
    assert button["url"] == f"http://127.0.0.1:9/play/summer-wheel?t=messenger.{PSID}"


async def test_what_asks_for_nothing_is_noted_only(made: Product) -> None:
    """Small talk and pictures make the player known and owe nothing; a comment makes nobody known."""
    events = [
        event(TextSent("hello"), "a"),
        event(MediaSent(), "b", at=AT + timedelta(hours=1)),
        event(TextSent("late news"), "c", at=AT - timedelta(hours=5)),
        event(Commented("1_2", text="抽獎"), "d", sender="777"),
    ]
    async with running(made.inbox):
        await made.inbox.accept(events)
        await until(lambda: all_handled(made))
    (player,) = await made.players()
    assert player.window_expires_at == AT + timedelta(hours=25)
    assert await made.deliveries() == []


async def test_the_latest_campaign_is_the_default(made: Product) -> None:
    """Get Started is answered with the campaign published last."""
    made.book.live.insert(0, live("winter-wheel", keywords=[], refs=[]))
    async with running(made.inbox):
        await made.inbox.accept([event(Tapped("GET_STARTED"))])
        await until(lambda: all_handled(made))
    (owed,) = await made.deliveries()
    assert "/play/winter-wheel?" in owed.body["message"]["buttons"][0]["url"]


async def test_a_failing_event_is_tried_again(made: Product) -> None:
    """An event whose work fails twice is answered at the third attempt, once."""
    made.book.failures = 2
    async with running(made.inbox):
        await made.inbox.accept([event(TextSent("抽獎"))])
        await until(lambda: all_handled(made))
    (row,) = await made.inbound()
    assert (row.attempts, row.failure) == (3, None)
    assert len(await made.deliveries()) == 1


async def test_an_event_that_always_fails_is_kept_with_its_failure(made: Product) -> None:
    """After the last attempt the event stays, saying what went wrong, and others are worked off."""
    hopeless = await product(made.engine, httpx2.AsyncClient(base_url="http://127.0.0.1:9"), attempts=3)
    hopeless.book.failures = 3
    async with running(hopeless.inbox):
        await hopeless.inbox.accept([event(TextSent("抽獎"), "a")])
        await until(lambda: all_handled(made))
        await hopeless.inbox.accept([event(TextSent("抽獎"), "b")])
        await until(lambda: all_handled(made))
    first, second = await made.inbound()
    assert (first.attempts, first.failure) == (3, "OSError at attempt 3.")
    assert (second.attempts, second.failure) == (1, None)
    assert hopeless.registry.get_sample_value("gamekit_inbox_handled_total", {"outcome": "failed"}) == 1


async def test_a_row_that_cannot_be_read_harms_no_other(made: Product) -> None:
    """A stored event of a shape nobody knows is given up at once, and its neighbour is answered."""
    await made.inbox.accept([event(TextSent("x"), "a"), event(TextSent("抽獎"), "b")])
    async with made.engine.begin() as connection:
        await connection.execute(
            text("""UPDATE inbound_events SET event = '{"kind": "dance"}' WHERE dedupe_key = 'a'""")
        )
    async with running(made.inbox):
        await until(lambda: all_handled(made))
    first, second = await made.inbound()
    assert first.failure == "It cannot be read (KeyError)."
    assert second.failure is None
    assert len(await made.deliveries()) == 1


async def test_an_event_that_ends_every_worker_is_given_up(made: Product) -> None:
    """An event that was taken too often without an end is kept aside, so that it cannot end workers for ever."""
    await made.inbox.accept([event(TextSent("抽獎"))])
    now = datetime.now(UTC)
    for _ in range(10):
        await repository.claim(made.engine, now=now, lease_ends=now, limit=1)
    async with running(made.inbox):
        await until(lambda: all_handled(made))
    (row,) = await made.inbound()
    assert row.failure == "It was taken 10 times and never finished."


async def test_several_inboxes_answer_once(made: Product) -> None:
    """Three workers over one table answer each of sixty events once."""
    others = [await product(made.engine, httpx2.AsyncClient(base_url="http://127.0.0.1:9")) for _ in range(2)]
    await made.inbox.accept([event(TextSent("抽獎"), str(number)) for number in range(60)])
    async with running(made.inbox), running(others[0].inbox), running(others[1].inbox):
        await until(lambda: all_handled(made), seconds=30)
    assert len(await made.deliveries()) == 60
    assert len(await made.players()) == 1


async def test_a_killed_worker_loses_nothing(made: Product) -> None:
    """Events taken by a worker that dies are taken again after their lease and answered once."""
    stuck = asyncio.Event()
    dying = await product(made.engine, httpx2.AsyncClient(base_url="http://127.0.0.1:9"))

    class Stuck:
        async def live_campaigns(self) -> list[object]:
            stuck.set()
            await asyncio.Event().wait()
            return []

    dying.inbox._book = Stuck()  # type: ignore[assignment]
    await dying.inbox.accept([event(TextSent("抽獎"))])
    dying.inbox.start()
    await stuck.wait()
    await dying.inbox.stop(grace_seconds=0)
    assert not await all_handled(made)
    async with running(made.inbox):
        await until(lambda: all_handled(made))
    (row,) = await made.inbound()
    assert row.attempts == 2
    assert len(await made.deliveries()) == 1


async def test_a_claim_takes_no_more_than_asked(made: Product) -> None:
    """Of ten events, claims of three take three each, the oldest first, until none is left."""
    await made.inbox.accept([event(TextSent("x"), str(number)) for number in range(10)])
    now = datetime.now(UTC)
    ends = now + timedelta(minutes=1)
    claims = [await repository.claim(made.engine, now=now, lease_ends=ends, limit=3) for _ in range(5)]
    assert [[taken.dedupe_key for taken in claim] for claim in claims] == [
        ["0", "1", "2"],
        ["3", "4", "5"],
        ["6", "7", "8"],
        ["9"],
        [],
    ]


async def test_a_late_worker_cannot_answer_twice(made: Product) -> None:
    """Whoever lost its lease finds the event taken and writes nothing."""
    engine: AsyncEngine = made.engine
    await made.inbox.accept([event(TextSent("抽獎"))])
    now = datetime.now(UTC)
    (late,) = await repository.claim(engine, now=now, lease_ends=now, limit=10)
    (again,) = await repository.claim(engine, now=now, lease_ends=now + timedelta(minutes=1), limit=10)
    visit, reply = repository.Visit("messenger", PSID, AT), {"message": {"type": "text", "text": "x"}}
    assert not await repository.finish(engine, late, now=now, visit=visit, reply=reply)
    assert await made.players() == await made.deliveries() == []
    assert await repository.finish(engine, again, now=now, visit=visit, reply=reply)
    assert not await repository.finish(engine, again, now=now, visit=visit, reply=reply)
    assert len(await made.deliveries()) == 1
    assert await made.inbox.oldest_seconds() == 0


async def test_the_inbox_knows_its_age(made: Product) -> None:
    """The age is that of the oldest event not yet handled."""
    await made.inbox.accept([event(TextSent("抽獎"))])
    assert 0 <= await made.inbox.oldest_seconds() < 30
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert await repository.oldest_seconds(made.engine, later) > 59
