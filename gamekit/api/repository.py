"""SQL of API keys. Every function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.api.models import ApiKey

api_keys: Table = ApiKey.__table__  # type: ignore[attr-defined]


async def add_key(connection: AsyncConnection, key: ApiKey) -> None:
    await connection.execute(insert(api_keys).values(**key.model_dump()))


async def list_keys(connection: AsyncConnection) -> Sequence[Row[Any]]:
    return (await connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))).all()


async def valid_keys(connection: AsyncConnection) -> Sequence[Row[Any]]:
    return (await connection.execute(select(api_keys).where(api_keys.c.revoked_at.is_(None)))).all()


async def revoke_key(connection: AsyncConnection, key_id: str, now: datetime) -> bool:
    """Whether there is such a key; one already revoked keeps its time."""
    if await connection.scalar(select(api_keys.c.id).where(api_keys.c.id == key_id)) is None:
        return False
    unrevoked = api_keys.c.revoked_at.is_(None)
    await connection.execute(update(api_keys).where(api_keys.c.id == key_id, unrevoked).values(revoked_at=now))
    return True
