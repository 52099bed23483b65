"""Reading the ledger in its order. Every function works inside the caller's transaction.

Within an epoch the gate's numbers have no gaps but what is still undecided: a reader that stops at the first gap of
the running epoch never skips a draw that lands late. In an epoch that is over, a gap can no longer be filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.repository import campaigns, runs
from gamekit.draws.ledger import draws, ledger_row, reservation_from
from gamekit.draws.reservations import Reservation
from gamekit.errors import InvalidInput, Problem
from gamekit.ids import Stamp

Cursor = tuple[int, int]
"""The (epoch, seq) last read."""


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Requests with the indexes of their draws that belong to the page, and the cursor after them."""

    requests: Sequence[tuple[Reservation, Sequence[int]]]
    cursor: str | None


def parse_cursor(text: str | None) -> Cursor:
    """The place after which to read; the beginning where None. Raises `InvalidInput`."""
    if text is None:
        return 0, 0
    epoch, _, seq = text.partition("-")
    if epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit() and len(text) < 40:
        return min(int(epoch), 2**62), min(int(seq), 2**62)
    raise InvalidInput(
        "The cursor is not valid.", problems=(Problem("after", "must be the `next` of an earlier page, or left out"),)
    )


async def rows_after(
    connection: AsyncConnection, run: str, epoch: int, *, after: Cursor, limit: int
) -> Sequence[Row[Any]]:
    """Ledger rows, voids too, in order, up to the first number of the running `epoch` that is undecided."""
    statement = (
        select(draws)
        .where(draws.c.run_id == run, tuple_(draws.c.epoch, draws.c.seq) > tuple_(*after))
        .order_by(draws.c.epoch, draws.c.seq)
        .limit(limit)
    )
    rows = (await connection.execute(statement)).all()
    expected = after[1] + 1 if after[0] == epoch else 1
    for place, row in enumerate(rows):
        if row.epoch >= epoch:
            if row.seq != expected:
                return rows[:place]
            expected += 1
    return rows


async def last_stamp(connection: AsyncConnection, run: str) -> Cursor:
    """The highest (epoch, seq) of the run by now, voids too; (0, 0) where there is none."""
    statement = (
        select(draws.c.epoch, draws.c.seq)
        .where(draws.c.run_id == run)
        .order_by(draws.c.epoch.desc(), draws.c.seq.desc())
        .limit(1)
    )
    row = (await connection.execute(statement)).one_or_none()
    return (row.epoch, row.seq) if row else (0, 0)


async def page(connection: AsyncConnection, run: str, epoch: int, *, after: Cursor, limit: int) -> LedgerPage:
    """The next `limit` rows without the voids. A request cut by the page's end is read whole."""
    rows = await rows_after(connection, run, epoch, after=after, limit=limit)
    wanted: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        if not row.void:
            wanted.setdefault((row.epoch, row.seq - row.draw_index), []).append(row.draw_index)
    requests = []
    for (of_epoch, first), indexes in wanted.items():
        whole = await _request(connection, run, of_epoch, first)
        requests.append((reservation_from(whole), indexes))
    cursor = f"{rows[-1].epoch}-{rows[-1].seq}" if rows else None
    return LedgerPage(requests, cursor)


async def _request(connection: AsyncConnection, run: str, epoch: int, first: int) -> Sequence[Row[Any]]:
    statement = (
        select(*ledger_row)
        .where(draws.c.run_id == run, draws.c.epoch == epoch, draws.c.seq >= first, draws.c.seq < first + 10)
        .order_by(draws.c.seq)
    )
    rows = (await connection.execute(statement)).all()
    return [row for row in rows if row.nonce == rows[0].nonce]


async def located(
    connection: AsyncConnection, stamp: Stamp, nonce: str
) -> tuple[str, RunKind, Reservation, int] | None:
    """The campaign, run kind and request of a draw, with the draw's index; None where no such draw landed."""
    statement = select(draws).where(
        draws.c.run_id == stamp.run, draws.c.epoch == stamp.epoch, draws.c.seq == stamp.seq, ~draws.c.void
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None or row.nonce != nonce:
        return None
    owner = await connection.execute(
        select(campaigns.c.slug, runs.c.kind)
        .join(runs, runs.c.campaign_id == campaigns.c.id)
        .where(runs.c.id == stamp.run)
    )
    slug, kind = owner.one()
    whole = await _request(connection, stamp.run, stamp.epoch, stamp.seq - row.draw_index)
    return slug, RunKind(kind), reservation_from(whole), row.draw_index


async def latest_request(connection: AsyncConnection, run: str, source: str, player_id: int) -> Reservation | None:
    """The last request of a player that came from `source`."""
    statement = (
        select(draws)
        .where(draws.c.run_id == run, draws.c.player_id == player_id, draws.c.source == source, ~draws.c.void)
        .order_by(draws.c.chance.desc())
        .limit(1)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return reservation_from(await _request(connection, run, row.epoch, row.seq - row.draw_index))
