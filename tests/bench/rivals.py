"""The draws that gamekit is compared with, each in its best plain form.

They have the same prizes and weights, and none of the rest: no limits per player, no replay of a request, no proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import asyncpg
from redis.asyncio import Redis

from tests.bench.database import address

STOCK = 1_000_000
CONNECTIONS = 16
WEIGHTS = {"gift-0": 125, "gift-1": 125, "gift-2": 125, "gift-3": 125, "thanks": 500}
"""Half of all draws win one of four stocked prizes; `thanks` is the fallback."""
FALLBACK = "thanks"


class ForUpdate:
    """The textbook draw: lock the prizes, choose in Python, take the unit, write the draw, commit."""

    def __init__(self, pool: asyncpg.Pool, random: Random) -> None:
        self._pool = pool
        self._random = random

    @classmethod
    async def open(cls, sql_url: str, random: Random) -> ForUpdate:
        """In an empty database of the server that gamekit's ledger is on, so with the same durability."""
        pool = await asyncpg.create_pool(**address(sql_url), min_size=CONNECTIONS, max_size=CONNECTIONS)
        await pool.execute("CREATE TABLE prizes (key text PRIMARY KEY, weight integer NOT NULL, stock integer)")
        await pool.execute(
            "CREATE TABLE draws (key text PRIMARY KEY, player text NOT NULL, prize text NOT NULL, "
            "created_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = [(key, weight, None if key == FALLBACK else STOCK) for key, weight in WEIGHTS.items()]
        await pool.executemany("INSERT INTO prizes VALUES ($1, $2, $3)", rows)
        return cls(pool, random)

    async def draw(self, key: str, player: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            prizes = await connection.fetch("SELECT key, weight, stock FROM prizes ORDER BY key FOR UPDATE")
            prize = _choose(self._random, [row[0] for row in prizes], [row[1] for row in prizes])
            if prize != FALLBACK:
                stock = next(row[2] for row in prizes if row[0] == prize)
                if stock:
                    await connection.execute("UPDATE prizes SET stock = stock - 1 WHERE key = $1", prize)
                else:
                    prize = FALLBACK
            await connection.execute("INSERT INTO draws (key, player, prize) VALUES ($1, $2, $3)", key, player, prize)

    async def close(self) -> None:
        await self._pool.close()


class UnderLock:
    """A draw guarded by redis-py's `Lock` with its defaults; the state is in Redis, and nothing is durable."""

    def __init__(self, redis: Redis, random: Random) -> None:
        self._redis = redis
        self._random = random

    @classmethod
    async def open(cls, redis_url: str, random: Random) -> UnderLock:
        redis = Redis.from_url(redis_url)
        for key in WEIGHTS:
            if key != FALLBACK:
                await redis.hset("stock", key, str(STOCK))
        return cls(redis, random)

    async def draw(self, key: str, player: str) -> None:
        async with self._redis.lock("draw", timeout=10):
            stock = await self._redis.hgetall("stock")
            prize = _choose(self._random, list(WEIGHTS), list(WEIGHTS.values()))
            pipeline = self._redis.pipeline()
            if prize != FALLBACK and not int(stock[prize.encode()]):
                prize = FALLBACK
            if prize != FALLBACK:
                pipeline.execute_command("HINCRBY", "stock", prize, -1)
            pipeline.execute_command("HSET", "draws", key, f"{player} {prize}")
            await pipeline.execute()

    async def close(self) -> None:
        await self._redis.aclose()


def _choose(random: Random, keys: Sequence[str], weights: Sequence[int]) -> str:
    return random.choices(keys, weights)[0]
