"""One statement over many rows, written once and run by either driver without a detour.

The hot path hands whole columns to the database: each as one text that PostgreSQL splits (its driver spends twice as
long on an array), all as one JSON array that SQLite reads. In a statement, `{rows}` stands for those rows, as a table
to select from. No text may be empty, since that stands for NULL, nor hold the separator, a control character.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

import asyncpg
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.clock import micros
from gamekit.storage.sql import is_postgres


class Statement:
    """SQL over rows of the named columns. Types are PostgreSQL's: text, bigint, integer, boolean, timestamptz, jsonb.

    `shared` names values that all rows have in common; in the statement `{name}` stands for each.
    """

    def __init__(self, sql: str, columns: Mapping[str, str], *, shared: Mapping[str, str] | None = None) -> None:
        self.shared = tuple(shared or ())
        self.kinds = tuple(columns.values())
        arrays = ", ".join(
            f"string_to_array(${place}::text, E'\\x1f', '')::{kind}[]" for place, kind in enumerate(self.kinds, 1)
        )
        marks = {
            name: f"${place}::{kind}" for place, (name, kind) in enumerate((shared or {}).items(), len(columns) + 1)
        }
        self.postgres = sql.format(rows=f"unnest({arrays}) AS given ({', '.join(columns)})", **marks)
        values = ", ".join(f"value ->> {place} AS {name}" for place, name in enumerate(columns))
        marks = {name: f"?{place}" for place, name in enumerate(self.shared, 2)}
        self.sqlite = sql.format(rows=f"(SELECT {values} FROM json_each(?1)) AS given", **marks)


class Driver(Protocol):
    """A connection held for one transaction."""

    async def begin(self, shared_locks: Iterable[int] = ()) -> None: ...

    async def run(
        self, statement: Statement, columns: Sequence[Sequence[Any]], **shared: Any
    ) -> Sequence[Sequence[Any]]:
        """Runs a statement over at least one row and returns what it returns."""
        ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


SEPARATOR = "\x1f"


def _join_text(column: Sequence[Any]) -> str:
    return SEPARATOR.join([value or "" for value in column])


def _join_flags(column: Sequence[Any]) -> str:
    return SEPARATOR.join(["t" if value else "f" for value in column])


def _join_any(column: Sequence[Any]) -> str:
    return SEPARATOR.join(["" if value is None else str(value) for value in column])


_JOIN: Mapping[str, Callable[[Sequence[Any]], str]] = {"text": _join_text, "jsonb": _join_text, "boolean": _join_flags}


class _Postgres:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def begin(self, shared_locks: Iterable[int] = ()) -> None:
        # One round trip; the numbers are our own integers, so nothing needs quoting.
        locks = "".join(f"SELECT pg_advisory_xact_lock_shared({int(key)});" for key in sorted(shared_locks))
        await self._connection.execute(f"BEGIN;{locks}")

    async def run(
        self, statement: Statement, columns: Sequence[Sequence[Any]], **shared: Any
    ) -> Sequence[Sequence[Any]]:
        values = [shared[name] for name in statement.shared]
        joined = [_JOIN.get(kind, _join_any)(column) for kind, column in zip(statement.kinds, columns, strict=True)]
        found: Sequence[Sequence[Any]] = await self._connection.fetch(statement.postgres, *joined, *values)
        return found

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")


class _Sqlite:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def begin(self, shared_locks: Iterable[int] = ()) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")

    async def run(
        self, statement: Statement, columns: Sequence[Sequence[Any]], **shared: Any
    ) -> Sequence[Sequence[Any]]:
        rows = orjson.dumps(list(zip(*([_plain(value) for value in column] for column in columns), strict=True)))
        values = [_plain(shared[name]) for name in statement.shared]
        found: Sequence[Sequence[Any]] = await self._connection.execute_fetchall(
            statement.sqlite, (rows.decode(), *values)
        )
        return found

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else value


async def driver_of(connection: AsyncConnection) -> Driver:
    """The driver beneath a SQLAlchemy connection, to run statements inside its transaction."""
    raw = (await connection.get_raw_connection()).driver_connection
    return _Postgres(raw) if is_postgres(connection) else _Sqlite(raw)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """A driver to `begin` and `commit` on; rolled back, or its connection dropped, where that did not happen."""
    async with engine.connect() as connection:
        driver = await driver_of(connection)
        try:
            yield driver
        except (asyncpg.PostgresError, sqlite3.Error, ValueError, TypeError, OverflowError):
            # The statement was refused; the connection itself is sound, or its rollback will tell.
            try:
                await driver.rollback()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, sqlite3.Error):
                await connection.invalidate()
            raise
        except BaseException:
            # Lost, or given up in the middle of a statement: nothing more may be asked of it.
            await connection.invalidate()
            raise


def is_bad_row(error: BaseException) -> bool:
    """The data itself was refused, so that repeating cannot help and nothing was written."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in ("22", "23")
    return isinstance(
        error, asyncpg.DataError | sqlite3.IntegrityError | sqlite3.DataError | TypeError | ValueError | OverflowError
    )


def is_taken(error: BaseException) -> bool:
    """A unique index refused a row, and with it the whole statement."""
    if isinstance(error, sqlite3.IntegrityError):
        return error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return isinstance(error, asyncpg.UniqueViolationError)


def is_collision(error: BaseException) -> bool:
    """The transaction lost against another one and was rolled back; it may simply be repeated."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] == "40"
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))
