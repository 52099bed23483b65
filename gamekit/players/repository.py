"""SQL of players, their tags and their grants. Every function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.players.models import Grant, Player, PlayerTag
from gamekit.storage.sql import is_postgres

players: Table = Player.__table__  # type: ignore[attr-defined]
tags: Table = PlayerTag.__table__  # type: ignore[attr-defined]
grants: Table = Grant.__table__  # type: ignore[attr-defined]


async def find_player(connection: AsyncConnection, channel: str, external_id: str) -> Row[Any] | None:
    statement = select(players).where(players.c.channel == channel, players.c.external_id == external_id)
    return (await connection.execute(statement)).one_or_none()


async def ensure_player(connection: AsyncConnection, channel: str, external_id: str, now: datetime) -> int:
    """The player's number; a player not seen before is added."""
    known = select(players.c.id).where(players.c.channel == channel, players.c.external_id == external_id)
    found = await connection.scalar(known)
    if found is None:
        await _insert_if_absent(
            connection, players, {"channel": channel, "external_id": external_id, "created_at": now}
        )
        found = await connection.scalar(known)
    assert found is not None
    return int(found)


async def list_tags(connection: AsyncConnection, player_id: int) -> Sequence[str]:
    return (
        (await connection.execute(select(tags.c.tag).where(tags.c.player_id == player_id).order_by(tags.c.tag)))
        .scalars()
        .all()
    )


async def add_tag(connection: AsyncConnection, player_id: int, tag: str, now: datetime) -> None:
    await _insert_if_absent(connection, tags, {"player_id": player_id, "tag": tag, "created_at": now})


async def drop_tag(connection: AsyncConnection, player_id: int, tag: str) -> None:
    await connection.execute(delete(tags).where(tags.c.player_id == player_id, tags.c.tag == tag))


async def add_grant(
    connection: AsyncConnection, *, run_id: str, player_id: int, reason_key: str, chances: int, now: datetime
) -> bool:
    """Whether this reason was new for the player."""
    row = {"run_id": run_id, "player_id": player_id, "reason_key": reason_key, "chances": chances, "created_at": now}
    return await _insert_if_absent(connection, grants, row)


async def find_grant(connection: AsyncConnection, *, run_id: str, player_id: int, reason_key: str) -> int | None:
    """The chances that were given for this reason."""
    statement = select(grants.c.chances).where(
        grants.c.run_id == run_id, grants.c.player_id == player_id, grants.c.reason_key == reason_key
    )
    return await connection.scalar(statement)


async def _insert_if_absent(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> bool:
    insert = postgresql.insert if is_postgres(connection) else sqlite.insert
    result = await connection.execute(insert(table).values(values).on_conflict_do_nothing())
    return bool(result.rowcount)
