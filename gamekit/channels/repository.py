"""SQL of connected channels. Credentials pass through sealed; this module never sees them open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from gamekit.channels.models import Channel
from gamekit.storage.sql import is_postgres, reading, writing


@dataclass(frozen=True, slots=True)
class SealedChannel:
    """A row of `channels`."""

    key: str
    platform: str
    account_id: str
    credentials: bytes


async def all_channels(engine: AsyncEngine) -> tuple[SealedChannel, ...]:
    """Every connected channel, by key."""
    statement = select(
        col(Channel.key), col(Channel.platform), col(Channel.account_id), col(Channel.credentials)
    ).order_by(col(Channel.key))
    async with reading(engine) as connection:
        return tuple(SealedChannel(*row) for row in await connection.execute(statement))


async def save(engine: AsyncEngine, channel: SealedChannel, now: datetime) -> None:
    """Add the channel, or replace the one with its key. Raises IntegrityError where another key has the account."""
    insert = postgresql.insert if is_postgres(engine) else sqlite.insert
    changed = {"platform": channel.platform, "account_id": channel.account_id, "credentials": channel.credentials}
    statement = insert(Channel).values(key=channel.key, created_at=now, **changed)
    async with writing(engine) as connection:
        await connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=changed))


async def remove(engine: AsyncEngine, key: str) -> bool:
    """Forget the channel; whether there was one."""
    async with writing(engine) as connection:
        return (await connection.execute(delete(Channel).where(col(Channel.key) == key))).rowcount > 0
