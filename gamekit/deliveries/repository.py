"""SQL of the outbox: claiming with a lease, recording what became of an attempt, giving up lapsed leases.

A claim adds one to `attempts`, and a record names that number, so that a process which was thought dead cannot
overwrite a later attempt. Claimers do not wait for each other on PostgreSQL (SKIP LOCKED); on SQLite a writing
transaction begins IMMEDIATE, one at a time, and an idle poll only reads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from gamekit.deliveries.models import Delivery, DeliveryKind, DeliveryState
from gamekit.players.models import Player
from gamekit.storage.sql import reading, writing

MAX_REASON = 500
_UNDER_WAY = text("deliveries.state IN ('pending', 'sending')")
"""Written out as in the partial index `deliveries_due`: a bound value would keep planners from using it."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One claimed delivery."""

    id: int
    channel: str
    player_id: int
    recipient: str | None
    """The platform's id of the player; None where the player was erased."""
    locale: str | None
    kind: DeliveryKind
    body: dict[str, Any]
    attempts: int
    """The number of this attempt, from 1."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Owing:
    """A delivery to be written."""

    channel: str
    player_id: int
    kind: DeliveryKind
    body: dict[str, Any]


async def owe(connection: AsyncConnection, owing: Sequence[Owing], now: datetime) -> None:
    """Write deliveries in the caller's transaction."""
    if owing:
        rows = [
            {"channel": one.channel, "player_id": one.player_id, "kind": one.kind, "body": one.body} for one in owing
        ]
        times = {"state": DeliveryState.PENDING, "attempts": 0, "created_at": now, "due_at": now}
        await connection.execute(insert(Delivery), [row | times for row in rows])


class Outbox:
    """The table `deliveries`, as the relay sees it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, *, now: datetime, lease_ends: datetime, limit: int, resting: Collection[str]) -> list[Owed]:
        """Take up to `limit` due deliveries of channels that are not `resting`, at most one per player and kind.

        A player's deliveries of one kind go in the order of their ids: none is taken while an earlier one is under way.
        """
        due = select(col(Delivery.id)).where(_UNDER_WAY, col(Delivery.due_at) <= now).limit(1)
        async with reading(self._engine) as connection:
            if (await connection.execute(due)).first() is None:
                return []
        # The first of each player and kind: one pass over what is under way, however long the table's history is.
        heads = (
            select(func.min(col(Delivery.id)))
            .where(_UNDER_WAY)
            .group_by(col(Delivery.player_id), col(Delivery.kind))
            .scalar_subquery()
        )
        candidates = (
            select(col(Delivery.id))
            .where(_UNDER_WAY, text("deliveries.state = 'pending'"), col(Delivery.due_at) <= now)
            .where(col(Delivery.id).in_(heads))
            .where(col(Delivery.channel).not_in(sorted(resting)))
            .order_by(col(Delivery.due_at), col(Delivery.id))
            .limit(limit)
            .with_for_update(skip_locked=True, of=Delivery)
            # A common table expression runs once; PostgreSQL may run a subquery again and so take more than the limit.
            .cte("candidates")
        )
        claimed = (
            update(Delivery)
            .where(col(Delivery.id).in_(select(candidates.c.id)), text("deliveries.state = 'pending'"))
            .values(state=DeliveryState.SENDING, attempts=col(Delivery.attempts) + 1, due_at=lease_ends)
            .returning(
                col(Delivery.id),
                col(Delivery.channel),
                col(Delivery.player_id),
                col(Delivery.kind),
                col(Delivery.body),
                col(Delivery.attempts),
                col(Delivery.created_at),
            )
        )
        async with writing(self._engine) as connection:
            rows = sorted((await connection.execute(claimed)).all())
            people = select(col(Player.id), col(Player.external_id), col(Player.locale)).where(
                col(Player.id).in_({row.player_id for row in rows})
            )
            known = {player: (name, locale) for player, name, locale in await connection.execute(people)}
        return [
            Owed(
                id=row.id,
                channel=row.channel,
                player_id=row.player_id,
                recipient=known.get(row.player_id, (None, None))[0],
                locale=known.get(row.player_id, (None, None))[1],
                kind=DeliveryKind(row.kind),
                body=row.body,
                attempts=row.attempts,
                created_at=row.created_at,
            )
            for row in rows
        ]

    async def finish(
        self, owed: Owed, state: DeliveryState, *, now: datetime, reason: str | None, platform_id: str | None
    ) -> bool:
        """Record the final `state` of this attempt; False where the delivery has moved on without it."""
        return await self._record(
            owed,
            state=state,
            reason=reason and reason[:MAX_REASON],
            platform_id=platform_id and platform_id[:200],
            due_at=now,
            ended_at=now,
        )

    async def postpone(self, owed: Owed, *, until: datetime, reason: str | None, counts: bool) -> bool:
        """Put the delivery back until then; False where it has moved on without this attempt."""
        return await self._record(
            owed,
            state=DeliveryState.PENDING,
            attempts=owed.attempts if counts else owed.attempts - 1,
            reason=reason and reason[:MAX_REASON],
            due_at=until,
            ended_at=None,
        )

    async def _record(self, owed: Owed, **values: object) -> bool:
        # `unknown` too: its own attempt knows better than the one who gave its lease up.
        statement = (
            update(Delivery)
            .where(
                col(Delivery.id) == owed.id,
                col(Delivery.attempts) == owed.attempts,
                col(Delivery.state).in_([DeliveryState.SENDING, DeliveryState.UNKNOWN]),
            )
            .values(**values)
        )
        async with writing(self._engine) as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def give_up_lapsed(self, now: datetime) -> list[str]:
        """End attempts whose lease has passed: their process died or hangs. Returns the channels of those now unknown.

        A message may have been sent, so it becomes `unknown` and is never sent again; a tag is safe to repeat.
        """
        lapsed = (_UNDER_WAY, text("deliveries.state = 'sending'"), col(Delivery.due_at) <= now)
        async with reading(self._engine) as connection:
            if (await connection.execute(select(col(Delivery.id)).where(*lapsed).limit(1))).first() is None:
                return []
        unknown = (
            update(Delivery)
            .where(*lapsed, col(Delivery.kind) != DeliveryKind.TAG)
            .values(
                state=DeliveryState.UNKNOWN,
                reason="The process sending it ended before it recorded the answer; it may have been sent.",
                ended_at=now,
            )
            .returning(col(Delivery.channel))
        )
        again = (
            update(Delivery)
            .where(*lapsed, col(Delivery.kind) == DeliveryKind.TAG)
            .values(state=DeliveryState.PENDING, due_at=now, reason="The process sending it ended; it is sent again.")
        )
        async with writing(self._engine) as connection:
            channels = list((await connection.execute(unknown)).scalars())
            await connection.execute(again)
        return channels

    async def oldest_seconds(self, now: datetime) -> float:
        """How long ago the oldest delivery still under way was made; 0 where there is none."""
        statement = select(func.min(col(Delivery.created_at), type_=Delivery.created_at.type)).where(_UNDER_WAY)  # type: ignore[attr-defined]
        async with reading(self._engine) as connection:
            oldest = (await connection.execute(statement)).scalar()
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
