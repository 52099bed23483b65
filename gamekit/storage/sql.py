"""The SQL engine: PostgreSQL through asyncpg, or SQLite with a write-ahead log flushed at every commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from gamekit.errors import ConfigError

SQLITE_BUSY_MS = 5_000


def open_database(url: str, *, pool_size: int = 8) -> AsyncEngine:
    """An engine for `url`; connects on first use.

    Raises `ConfigError` where the URL is not postgresql+asyncpg:// or sqlite+aiosqlite://.
    """
    parsed = make_url(url)
    match parsed.drivername:
        case "postgresql+asyncpg":
            return create_async_engine(
                parsed,
                pool_size=pool_size,
                max_overflow=0,
                hide_parameters=True,
                isolation_level="READ COMMITTED",
                connect_args={"server_settings": {"application_name": "gamekit"}, "timeout": 5, "command_timeout": 30},
            )
        case "sqlite+aiosqlite":
            if parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_async_engine(parsed, pool_size=pool_size, max_overflow=0, hide_parameters=True)
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
            return engine
    raise ConfigError("GAMEKIT_DATABASE_URL must start with postgresql+asyncpg:// or sqlite+aiosqlite:///")


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling begins too late for BEGIN IMMEDIATE; ours is explicit.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {SQLITE_BUSY_MS}", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writer can fail at once, whatever the busy timeout; so writers say so first.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that writes; commits at the end, rolls back on an exception."""
    async with engine.begin() as connection:
        yield connection


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads, and never waits for a writer."""
    async with engine.connect() as connection:
        yield await connection.execution_options(reading=True)


def is_postgres(connection: AsyncConnection | AsyncEngine) -> bool:
    return connection.dialect.name == "postgresql"
