"""SQL of the inbox: storing once, claiming with a lease, and finishing in one transaction with what is owed.

A claim adds one to `attempts` and sets `due_at` to the end of the lease; whoever finishes names that number, so that an
event is worked off once even if two workers took it. Claimers do not wait for each other on PostgreSQL (SKIP LOCKED);
on SQLite a writing transaction begins IMMEDIATE, one at a time, and an idle poll only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from gamekit.bots.events import Inbound
from gamekit.bots.models import InboundEvent
from gamekit.deliveries.models import DeliveryKind
from gamekit.deliveries.repository import Owing, owe
from gamekit.players.models import Player
from gamekit.storage.sql import is_postgres, reading, writing

_WAITING = text("inbound_events.handled_at IS NULL")
MAX_FAILURE = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """One claimed event, still as JSON."""

    id: int
    channel: str
    dedupe_key: str
    event: dict[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True)
class Visit:
    """What an event says of a player: they were there, and until when the platform lets us answer."""

    channel: str
    external_id: str
    window_expires_at: datetime


async def store(engine: AsyncEngine, events: Sequence[Inbound], now: datetime) -> int:
    """Store what was not stored before; how many that were."""
    if not events:
        return 0
    insert = postgresql.insert if is_postgres(engine) else sqlite.insert
    rows = [
        {
            "channel": event.channel,
            "dedupe_key": event.dedupe_key,
            "event": event.to_json(),
            "attempts": 0,
            "received_at": now,
            "due_at": now,
        }
        for event in events
    ]
    statement = insert(InboundEvent).on_conflict_do_nothing(index_elements=["channel", "dedupe_key"])
    async with writing(engine) as connection:
        return len((await connection.execute(statement.returning(col(InboundEvent.id)), rows)).all())


async def claim(engine: AsyncEngine, *, now: datetime, lease_ends: datetime, limit: int) -> list[Taken]:
    """Take up to `limit` waiting events, the oldest first."""
    due = select(col(InboundEvent.id)).where(_WAITING, col(InboundEvent.due_at) <= now)
    async with reading(engine) as connection:
        if (await connection.execute(due.limit(1))).first() is None:
            return []
    # A common table expression runs once; PostgreSQL may run a subquery again and so take more than the limit.
    chosen = due.order_by(col(InboundEvent.id)).limit(limit).with_for_update(skip_locked=True).cte("chosen")
    claimed = (
        update(InboundEvent)
        .where(col(InboundEvent.id).in_(select(chosen.c.id)))
        .values(attempts=col(InboundEvent.attempts) + 1, due_at=lease_ends)
        .returning(
            col(InboundEvent.id),
            col(InboundEvent.channel),
            col(InboundEvent.dedupe_key),
            col(InboundEvent.event),
            col(InboundEvent.attempts),
        )
    )
    async with writing(engine) as connection:
        return sorted((Taken(*row) for row in await connection.execute(claimed)), key=lambda taken: taken.id)


async def finish(
    engine: AsyncEngine,
    taken: Taken,
    *,
    now: datetime,
    visit: Visit | None = None,
    reply: dict[str, Any] | None = None,
    failure: str | None = None,
) -> bool:
    """Mark the event handled, and in the same transaction note the visit and owe the reply to that player.

    False, and nothing written, where someone else has finished it or has taken it since.
    """
    handled = _mine(taken).values(handled_at=now, failure=failure and failure[:MAX_FAILURE])
    async with writing(engine) as connection:
        if (await connection.execute(handled)).rowcount == 0:
            return False
        if visit is not None:
            player_id = await _note_visit(connection, visit, now)
            if reply is not None:
                await owe(connection, [Owing(visit.channel, player_id, DeliveryKind.MESSAGE, reply)], now)
    return True


async def postpone(engine: AsyncEngine, taken: Taken, *, until: datetime, failure: str) -> bool:
    """Put the event back until then, with what went wrong."""
    async with writing(engine) as connection:
        result = await connection.execute(_mine(taken).values(due_at=until, failure=failure[:MAX_FAILURE]))
        return result.rowcount > 0


async def oldest_seconds(engine: AsyncEngine, now: datetime) -> float:
    """How long ago the oldest unhandled event came in; 0 where there is none."""
    statement = select(col(InboundEvent.received_at)).where(_WAITING).order_by(col(InboundEvent.id)).limit(1)
    async with reading(engine) as connection:
        oldest = (await connection.execute(statement)).scalar()
    return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())


def _mine(taken: Taken) -> Any:
    return update(InboundEvent).where(
        col(InboundEvent.id) == taken.id, col(InboundEvent.attempts) == taken.attempts, _WAITING
    )


async def _note_visit(connection: AsyncConnection, visit: Visit, now: datetime) -> int:
    """Add the player, or open their window further; the player's id. A late event does not shorten a window."""
    insert = postgresql.insert if is_postgres(connection) else sqlite.insert
    statement = insert(Player).values(
        channel=visit.channel, external_id=visit.external_id, window_expires_at=visit.window_expires_at, created_at=now
    )
    known, offered = col(Player.window_expires_at), statement.excluded.window_expires_at
    later = case((or_(known.is_(None), known < offered), offered), else_=known)
    statement = statement.on_conflict_do_update(
        index_elements=["channel", "external_id"], set_={"window_expires_at": later}
    )
    row = (await connection.execute(statement.returning(col(Player.id)))).one()
    return int(row.id)
