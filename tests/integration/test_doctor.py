"""Doctor says what is wrong with an installation, and only that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from gamekit.clock import SystemClock
from gamekit.config import Settings, load_settings
from gamekit.doctor import Check, diagnose
from gamekit.storage.sql import open_database
from gamekit.testing.servers import PostgresServer, free_port, valkey

SECRET = "0123456789abcdef" * 4


class WrongClock:
    """A clock that is some seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


def settings(tmp_path: Path, **overrides: object) -> Settings:
    chosen = {"secret_key": SECRET, "data_dir": tmp_path, "public_url": "https://promo.example"} | overrides
    return load_settings(**chosen)


def wrong(checks: list[Check]) -> set[str]:
    assert all(check.fix for check in checks if not check.ok)
    return {check.name for check in checks if not check.ok}


async def test_the_embedded_default_is_healthy_once_migrated(tmp_path: Path, sqlite_url: str) -> None:
    """With nothing configured, SQLite and the embedded Valkey pass every check."""
    checks = await diagnose(settings(tmp_path, database_url=sqlite_url), clock=SystemClock())
    assert wrong(checks) == set()
    assert {"SQLite", "migration", "Redis persistence", "Redis eviction", "disk", "secret key"} <= {
        c.name for c in checks
    }


async def test_a_database_without_tables_is_found(tmp_path: Path) -> None:
    """What is missing is said with the command that makes it."""
    checks = await diagnose(settings(tmp_path), clock=SystemClock())
    assert wrong(checks) == {"migration"}
    assert "gamekit migrate" in next(check for check in checks if check.name == "migration").detail


async def test_a_production_installation_is_healthy(tmp_path: Path, postgres_url: str) -> None:
    """PostgreSQL with its flushes on and a Valkey with an append-only file pass."""
    with valkey(appendonly="yes") as server:
        checks = await diagnose(
            settings(tmp_path, database_url=postgres_url, redis_url=server.url), clock=SystemClock()
        )
    assert wrong(checks) == set()


async def test_settings_that_lose_or_forget_are_found(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """synchronous_commit off, no append-only file, an evicting Redis, http and a lazy secret are each named."""
    database = make_url(postgres_url).database
    postgres_server.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    with valkey(maxmemory_policy="allkeys-lru") as server:
        chosen = settings(
            tmp_path,
            database_url=postgres_url,
            redis_url=server.url,
            public_url="http://promo.example",
            secret_key="a" * 40,
        )
        checks = await diagnose(chosen, clock=SystemClock())
    assert wrong(checks) == {
        "PostgreSQL durability",
        "Redis persistence",
        "Redis eviction",
        "public address",
        "secret key",
    }


@pytest.mark.parametrize("seconds", [-3, 3])
async def test_clocks_that_differ_are_found(tmp_path: Path, postgres_url: str, seconds: int) -> None:
    """Three seconds off either way is too much, against SQL and against Redis."""
    with valkey(appendonly="yes") as server:
        chosen = settings(tmp_path, database_url=postgres_url, redis_url=server.url)
        checks = await diagnose(chosen, clock=WrongClock(seconds))
    assert wrong(checks) == {"SQL clock", "Redis clock"}


async def test_every_primary_of_a_cluster_is_looked_at(tmp_path: Path, sqlite_url: str, redis_cluster_url: str) -> None:
    """Each node of a Cluster gets its own findings."""
    chosen = settings(tmp_path, database_url=sqlite_url, redis_url=redis_cluster_url)
    checks = await diagnose(chosen, clock=SystemClock())
    assert len([name for name in wrong(checks) if name.startswith("Redis persistence 127.0.0.1:")]) == 3


async def test_servers_that_are_away_are_findings_not_crashes(tmp_path: Path) -> None:
    """Unreachable servers and unusable addresses are told, without the password in the address."""
    port = free_port()
    away = settings(
        tmp_path,
        database_url=f"postgresql+asyncpg://gamekit:hunter2@127.0.0.1:{port}/x",
        redis_url=f"redis://:hunter2@127.0.0.1:{port}",
    )
    checks = await diagnose(away, clock=SystemClock())
    assert wrong(checks) == {"SQL", "Redis"}
    assert "hunter2" not in repr(checks)
    unusable = settings(tmp_path, database_url="mysql://x", redis_url="memcached://x")
    assert wrong(await diagnose(unusable, clock=SystemClock())) == {"SQL", "Redis"}


async def test_it_only_reads(tmp_path: Path, sqlite_url: str) -> None:
    """A look leaves the database as it was."""
    engine = open_database(sqlite_url)
    async with engine.connect() as connection:
        before = (await connection.execute(text("SELECT count(*) FROM sqlite_schema"))).scalar_one()
    await diagnose(settings(tmp_path, database_url=sqlite_url), clock=SystemClock())
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM sqlite_schema"))).scalar_one() == before
    await engine.dispose()
