"""The latest draws of a run, newest first: what people look at, not what a cursor over the ledger reads.

A draw that lands late may appear below newer ones; nothing here waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.campaigns.document import PrizeKind
from gamekit.campaigns.models import RunKind
from gamekit.draws.book import Book
from gamekit.draws.calls import alias
from gamekit.draws.ledger import draws
from gamekit.ids import draw_id
from gamekit.storage.sql import reading


@dataclass(frozen=True, slots=True)
class RecentDraw:
    """A committed draw, with its prizes named as in the draw's own odds version."""

    id: str
    created_at: datetime
    is_win: bool
    prize: str
    """The prize's key."""
    prize_name: Mapping[str, str]
    """By locale."""
    picked_name: Mapping[str, str]
    """Of the prize that the odds picked."""
    unit: int | None
    reason: str | None
    """Why the prize is not the picked one."""
    player: str
    """The run's own name for the player."""


class RecentDraws:
    """Reads the latest draws of any campaign's live run."""

    def __init__(self, sql: AsyncEngine, book: Book) -> None:
        self._sql = sql
        self._book = book

    async def latest(self, slug: str, limit: int) -> list[RecentDraw]:
        """Newest first, at most `limit`. Raises `CampaignNotFound`."""
        view = await self._book.view((slug, RunKind.LIVE))
        async with reading(self._sql) as connection:
            rows = await latest(connection, view.run, limit)
        found = []
        for row in rows:
            then = await self._book.at_version(view, row.version)
            prize = then.rules[row.prize]
            found.append(
                RecentDraw(
                    id=draw_id(row.run_id, row.epoch, row.seq, row.nonce),
                    created_at=row.created_at,
                    is_win=prize.kind != PrizeKind.NOTHING,
                    prize=prize.key,
                    prize_name=prize.name,
                    picked_name=then.rules[row.picked].name,
                    unit=row.unit,
                    reason=row.reason,
                    player=alias(view, row.player_id),
                )
            )
        return found


async def latest(connection: AsyncConnection, run: str, limit: int) -> Sequence[Row[Any]]:
    """The last `limit` ledger rows of a run without the voids, newest first."""
    statement = (
        select(draws)
        .where(draws.c.run_id == run, ~draws.c.void)
        .order_by(draws.c.epoch.desc(), draws.c.seq.desc())
        .limit(limit)
    )
    return (await connection.execute(statement)).all()
