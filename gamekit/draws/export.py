"""The ledger of a run as JSON lines, for anyone to check: a header, then a line per draw, voids too, by (epoch, seq)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.campaigns import repository
from gamekit.campaigns.models import CampaignState, RunKind
from gamekit.campaigns.schemas import parse_document
from gamekit.campaigns.views import RunView
from gamekit.draws.book import Book
from gamekit.draws.calls import alias
from gamekit.draws.history import last_stamp, rows_after
from gamekit.ids import draw_id
from gamekit.players.models import Grant
from gamekit.storage.sql import reading

CHUNK = 5_000
grants: Table = Grant.__table__  # type: ignore[attr-defined]


async def export_lines(sql: AsyncEngine, book: Book, slug: str, kind: RunKind) -> AsyncIterator[bytes]:
    """The lines, in chunks of bytes; the seed is in the header once the campaign has ended.

    Raises `CampaignNotFound` before the first chunk.
    """
    # The end is fixed before the header is read: every version and grant that a line relies on is in the header then.
    run = (await book.reload((slug, kind))).run
    async with reading(sql) as connection:
        end = await last_stamp(connection, run)
    view = await book.reload((slug, kind))
    async with reading(sql) as connection:
        yield orjson.dumps(await _header(connection, view)) + b"\n"
    after = (0, 0)
    while view.run == run:
        async with reading(sql) as connection:
            found = await rows_after(connection, run, view.epoch, after=after, limit=CHUNK)
        rows = [row for row in found if (row.epoch, row.seq) <= end]
        if not rows:
            return
        yield b"".join(orjson.dumps(_line(view, row)) + b"\n" for row in rows)
        after = rows[-1].epoch, rows[-1].seq


async def _header(connection: AsyncConnection, view: RunView) -> dict[str, Any]:
    versions = await repository.all_versions(connection, view.run)
    granted = await connection.execute(
        select(grants.c.player_id, func.sum(grants.c.chances))
        .where(grants.c.run_id == view.run)
        .group_by(grants.c.player_id)
    )
    return {
        "campaign": view.slug,
        "kind": view.kind.value,
        "run": view.run,
        "epoch": view.epoch,
        "seed": view.seed.hex() if view.state == CampaignState.ENDED else None,
        "versions": [_version(view, row) for row in versions],
        "stock": [
            {"prize": row.prize, "epoch": row.epoch, "stock": row.stock}
            for row in await repository.stock_history(connection, view.run)
        ],
        "grants": {alias(view, player_id): int(chances) for player_id, chances in granted},
    }


def _version(view: RunView, row: Any) -> dict[str, Any]:
    """What a version froze that decides draws, in the shape of the campaign's file."""
    document = parse_document(row.document).to_json()
    shown = ("key", "weight", "fallback", "per_player", "release")
    return {
        "version": row.number,
        "epoch": row.epoch,
        "commitment": view.commitment,
        "odds_hash": row.odds_hash,
        "published_at": row.published_at.isoformat(),
        "starts_at": row.starts_at.isoformat(),
        **{name: document[name] for name in ("timezone", "ends_at", "chances", "limits") if name in document},
        "prizes": [{name: prize[name] for name in shown if name in prize} for prize in document["prizes"]],
    }


def _line(view: RunView, row: Any) -> dict[str, Any]:
    return {
        "id": draw_id(row.run_id, row.epoch, row.seq, row.nonce),
        "void": row.void,
        "epoch": row.epoch,
        "seq": row.seq,
        "source": row.source,
        "key": row.key,
        "index": row.draw_index,
        "player": alias(view, row.player_id),
        "chance": row.chance,
        "granted": row.granted,
        "day": row.day,
        "day_number": row.day_number,
        "odds_version": row.version,
        "picked": row.picked,
        "prize": row.prize,
        "unit": row.unit,
        "reason": row.reason,
        "created_at": row.created_at.isoformat(),
    }
