"""SQL of the people who sign in. Every function works inside the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.accounts.models import User
from gamekit.storage.sql import is_postgres

users: Table = User.__table__  # type: ignore[attr-defined]


async def find_user(connection: AsyncConnection, user_id: int) -> Row[Any] | None:
    return (await connection.execute(select(users).where(users.c.id == user_id))).one_or_none()


async def find_user_by_email(connection: AsyncConnection, email: str) -> Row[Any] | None:
    return (await connection.execute(select(users).where(users.c.email == email))).one_or_none()


async def add_user(connection: AsyncConnection, *, email: str, password_hash: str, role: str, now: datetime) -> bool:
    """Whether the address was new."""
    insert = postgresql.insert if is_postgres(connection) else sqlite.insert
    statement = insert(users).values(email=email, password_hash=password_hash, role=role, created_at=now)
    return bool((await connection.execute(statement.on_conflict_do_nothing())).rowcount)


async def change_password_hash(connection: AsyncConnection, user_id: int, *, before: str, after: str) -> bool:
    """Whether the hash was still `before`, and is now `after`."""
    statement = update(users).where(users.c.id == user_id, users.c.password_hash == before).values(password_hash=after)
    return bool((await connection.execute(statement)).rowcount)
