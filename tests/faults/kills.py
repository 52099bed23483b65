"""Loops that kill -9 real processes at their work. The bounded tests run them briefly, the soak for long."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx2
from sqlalchemy import Table, func, insert, select

from gamekit.deliveries.models import Delivery, DeliveryKind, DeliveryState
from gamekit.deliveries.repository import Owing, owe
from gamekit.draws.calls import Landed
from gamekit.draws.verify import verify
from gamekit.players.models import Player
from gamekit.storage.sql import open_database, reading, writing
from tests.chat import CHANNEL, PAGE, channels_of, emulated
from tests.faults.checks import Witness, check, must
from tests.faults.child import draw_until_killed, queue, relay_until_killed, start
from tests.faults.world import App, campaign, recovering, running

deliveries: Table = Delivery.__table__  # type: ignore[attr-defined]
players: Table = Player.__table__  # type: ignore[attr-defined]
UNDER_WAY = (DeliveryState.PENDING, DeliveryState.SENDING)


async def kill_drawers(
    sql_url: str, redis_url: str, slug: str, seed: int, *, rounds: int, counts: Counter[str]
) -> None:
    """Processes that draw as fast as they can are killed at random moments; what they told stays true, nothing is lost."""
    chance = random.Random(seed)
    witness: dict[str, str] = {}
    async with running(sql_url, redis_url) as app:
        await app.start(campaign(slug, [{"key": "mug", "stock": 10_000_000, "weight": 1}], chances={"total": 3}))
        async with recovering(app):
            for number in range(rounds):
                said = queue()
                processes = [
                    start(draw_until_killed, sql_url, redis_url, slug, f"{seed}-{number // 2}-{place // 2}", said)
                    for place in range(2)
                ]
                key, ids = await asyncio.to_thread(said.get)
                must(witness.setdefault(key, ids) == ids, "I2", f"{key} was told {witness[key]}, then {ids}")
                await asyncio.sleep(chance.uniform(0.0, 0.2))
                for process in processes:
                    process.kill()
                for process in processes:
                    await asyncio.to_thread(process.join)
                    must(process.exitcode == -signal.SIGKILL, "I5", f"a process ended by itself: {process.exitcode}")
                counts["kill: drawer"] += 2
                note_told(said, witness)
                await check(app.sql, slug, Witness())
                counts["checks"] += 1
            await everything_comes_back(app, slug, witness, counts)


def note_told(said: Any, witness: dict[str, str]) -> None:
    """What the killed processes had told before; a message cut off in the middle was never told."""
    while said._reader.poll():
        try:
            key, ids = said.get()
        except EOFError:
            return
        must(witness.setdefault(key, ids) == ids, "I2", f"{key} was told {witness[key]}, then {ids}")


async def everything_comes_back(app: App, slug: str, witness: dict[str, str], counts: Counter[str]) -> None:
    """Within seconds of the last kill, every player has each chance that no draw used, and units have no gap."""
    await asyncio.sleep(2.5)
    ledger = await check(app.sql, slug, Witness())
    told = {row.key for row in ledger.rows}
    must(set(witness) <= told, "I4", f"told and not in the ledger: {set(witness) - told}")
    for key, ids in witness.items():
        player = key.rpartition("/")[0]
        again = await app.draw(slug, player, key)
        must(isinstance(again, Landed) and again.reservation.draw_id(0) == ids, "I2", f"{key} was {ids}, is {again}")
    used = Counter(row.player_id for row in ledger.rows)
    async with reading(app.sql) as connection:
        people = (await connection.execute(select(players).where(players.c.channel == "messenger"))).all()
    for person in people:
        left = 3 - used[person.id] if person.id in used else 0
        for place in range(left):
            answer = await app.draw(slug, person.external_id, f"{person.external_id}/last{place}")
            must(isinstance(answer, Landed), "I5", f"player {person.external_id} lost a chance: {answer}")
    ledger = await check(app.sql, slug, Witness())
    free = max((row.unit for row in ledger.rows), default=0) - len(ledger.rows)
    await asyncio.gather(*(app.landed(slug, f"{slug}-new-{place}", f"new-{place}") for place in range(free)))
    ledger = await check(app.sql, slug, Witness())
    units = sorted(row.unit for row in ledger.rows)
    must(units == list(range(1, len(units) + 1)), "I5", "a unit never came back")
    await app.campaigns.end(slug)
    counts["verified"] += verify(await app.export(slug)).draws


async def kill_relays(sql_url: str, seed: int, *, messages: int, counts: Counter[str], rounds: int = 200) -> None:
    """A relay is killed between send and record, again and again, until all that is owed has ended; nothing arrives twice."""
    chance = random.Random(seed)
    engine = open_database(sql_url)
    channels = channels_of(engine)
    if not await channels.all():
        await channels.connect(CHANNEL)
    async with emulated() as platform:
        first = await owed(engine, seed, messages)
        for _ in range(rounds):
            ready = queue()
            process = start(relay_until_killed, sql_url, str(platform.base_url), ready)
            await asyncio.to_thread(ready.get)
            await asyncio.sleep(chance.uniform(0.02, 0.4))
            process.kill()
            await asyncio.to_thread(process.join)
            must(process.exitcode == -signal.SIGKILL, "I8", f"a relay ended by itself: {process.exitcode}")
            counts["kill: relay"] += 1
            if not await any_under_way(engine):
                break
        await reconcile(engine, platform, first, messages, counts)
    await engine.dispose()


async def owed(engine: Any, seed: int, messages: int) -> int:
    """Owes each of so many new players a message and a tag; the id before the first of them."""
    now = datetime.now(UTC)
    async with writing(engine) as connection:
        last = (await connection.execute(select(func.max(deliveries.c.id)))).scalar()
        people = [
            {"channel": PAGE.channel, "external_id": f"{seed % 10**6:06}{n:06}", "created_at": now}
            for n in range(messages)
        ]
        ids = (await connection.execute(insert(players).returning(players.c.id), people)).scalars().all()
        await owe(
            connection,
            [
                Owing(PAGE.channel, one, DeliveryKind.MESSAGE, {"message": {"type": "text", "text": f"{seed}-{one}"}})
                for one in ids
            ],
            now,
        )
        await owe(connection, [Owing(PAGE.channel, one, DeliveryKind.TAG, {"tag": "won"}) for one in ids], now)
    return int(last or 0)


async def any_under_way(engine: Any) -> bool:
    async with reading(engine) as connection:
        statement = select(deliveries.c.id).where(deliveries.c.state.in_(UNDER_WAY)).limit(1)
        return (await connection.execute(statement)).first() is not None


async def reconcile(engine: Any, platform: httpx2.AsyncClient, first: int, messages: int, counts: Counter[str]) -> None:
    """Each message arrived once, or not at all and its row says unknown; each row ended, with a reason unless sent."""
    async with reading(engine) as connection:
        rows = (await connection.execute(select(deliveries).where(deliveries.c.id > first))).all()
    arrived = Counter(
        one["body"]["message"]["text"] for one in (await platform.get("/_sent")).json() if one["kind"] == "message"
    )
    must(not arrived or max(arrived.values()) == 1, "I8", f"arrived twice: {arrived.most_common(3)}")
    found = [row for row in rows if row.kind == DeliveryKind.MESSAGE]
    must(len(found) == messages, "I8", f"{len(found)} of {messages} messages are in the outbox")
    for row in rows:
        must(
            row.state in (DeliveryState.SENT, DeliveryState.UNKNOWN), "I8", f"{row.kind} {row.id} ended as {row.state}"
        )
        must(row.state == DeliveryState.SENT or row.reason, "I8", f"{row.id} is unknown without a reason")
        must(row.kind == DeliveryKind.MESSAGE or row.state == DeliveryState.SENT, "I8", f"tag {row.id} is {row.state}")
    sent = [row for row in found if row.state == DeliveryState.SENT]
    for row in sent:
        must(arrived[row.body["message"]["text"]] == 1, "I8", f"{row.id} is sent and never arrived")
    counts["delivered"] += len(sent)
    counts["delivered or not, recorded as unknown"] += len(found) - len(sent)
