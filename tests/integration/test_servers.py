"""The servers that other tests lean on do what their names say."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from gamekit.storage.redis import open_redis
from gamekit.storage.sql import open_database
from gamekit.testing.servers import PostgresServer, ValkeyCluster, valkey


async def test_postgres_flushes_what_it_commits(postgres_url: str) -> None:
    """Durability is on, so that a test may claim it."""
    engine = open_database(postgres_url)
    async with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert (await connection.execute(text(f"SHOW {setting}"))).scalar_one() == "on"
    await engine.dispose()


async def test_fresh_databases_know_nothing_of_each_other(postgres_server: PostgresServer) -> None:
    """Two fresh databases are two, and are gone at the end, though somebody is connected."""
    with postgres_server.fresh_database() as one, postgres_server.fresh_database(migrated=False, tcp=True) as other:
        assert one != other
        engine = open_database(other)
        connection = await engine.connect()
        assert (
            await connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        ).scalar() == 0
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        postgres_server.execute("SELECT 1", database=other.rpartition("/")[2])
    await connection.invalidate()
    await connection.close()
    await engine.dispose()


async def test_valkey_can_be_killed_rolled_back_and_emptied() -> None:
    """An older copy of the data brings back the older state; no copy leaves nothing."""
    with valkey() as server:
        client = open_redis(server.url)
        await client.set("stock", "10")
        older = server.copy_data()
        await client.set("stock", "3")
        await asyncio.to_thread(server.replace_data, older)
        assert await client.get("stock") == b"10"
        await asyncio.to_thread(server.replace_data, None)
        assert await client.get("stock") is None
        await client.aclose()


async def test_valkey_keeps_its_append_only_file_over_a_kill() -> None:
    """With `appendonly` and every write flushed, kill -9 loses nothing."""
    with valkey(appendonly="yes", appendfsync="always") as server:
        client = open_redis(server.url)
        await client.set("kept", "yes")
        await asyncio.to_thread(server.restart)
        assert await client.get("kept") == b"yes"
        await client.aclose()


async def test_the_cluster_spreads_keys_over_its_nodes(valkey_cluster: ValkeyCluster, redis_cluster_url: str) -> None:
    """Keys of many slots can be written and read, and every node holds some."""
    client = open_redis(redis_cluster_url)
    for number in range(50):
        await client.set(f"key:{number}", number)
    assert [await client.get(f"key:{number}") for number in range(50)] == [b"%d" % number for number in range(50)]
    assert all(node.command("DBSIZE") for node in valkey_cluster.nodes)
    await client.aclose()
