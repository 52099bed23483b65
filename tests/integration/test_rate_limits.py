"""Rate limits over a real Valkey: exact, shared by processes, and never in the way when it is gone."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from gamekit.http import limits
from gamekit.http.limits import RateLimiter
from gamekit.storage.redis import RedisClient, open_redis
from gamekit.testing.servers import valkey

START = datetime(2026, 12, 1, 10, 0, 12, tzinfo=UTC)


class SettableClock:
    """A clock that a test moves."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> None:
        self._now += by


class Counting:
    """A client that counts what is asked of it."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self.asked = 0

    async def eval(self, *args: object) -> object:
        self.asked += 1
        return await self._redis.eval(*args)  # type: ignore[arg-type]


async def spend(limiters: list[RateLimiter], name: str, limit: int, requests: int) -> int:
    """How many of these requests are let through, sent from all processes at once."""
    turns = [limiters[number % len(limiters)].admit(name, limit) for number in range(requests)]
    return (await asyncio.gather(*turns)).count(0)


@pytest.mark.parametrize("limit", [1, 5, 99, 100, 1000])
@pytest.mark.parametrize("processes", [1, 4])
async def test_exactly_the_limit_goes_through(redis_url: str, limit: int, processes: int) -> None:
    """However many processes share it, all of the limit and not one more."""
    clock = SettableClock(START)
    clients = [open_redis(redis_url) for _ in range(processes)]
    limiters = [RateLimiter(client, clock) for client in clients]
    assert await spend(limiters, "key", limit, 3 * limit + 200) == limit
    assert await spend(limiters[:1], "another", limit, limit) == limit
    assert await limiters[0].admit("key", limit) == 48
    clock.move(timedelta(seconds=48))
    assert await spend(limiters, "key", limit, 3 * limit + 200) == limit
    for client in clients:
        await client.aclose()


async def test_a_process_that_falls_idle_holds_back_a_fiftieth_at_most(redis_url: str) -> None:
    """What it leased is lost for the window, and never spent in the next one."""
    clock = SettableClock(START)
    redis = open_redis(redis_url)
    idle, busy = RateLimiter(redis, clock), RateLimiter(redis, clock)
    assert await idle.admit("key", 1000) == 0
    assert await spend([busy], "key", 1000, 2000) == 980
    clock.move(timedelta(minutes=1))
    assert await spend([idle, busy], "key", 1000, 3000) == 1000
    await redis.aclose()


async def test_the_hot_path_seldom_leaves_the_process(redis_url: str) -> None:
    """A thousand requests of a large limit take one question; those beyond a limit take none."""
    redis = open_redis(redis_url)
    counting = Counting(redis)
    limiter = RateLimiter(counting, SettableClock(START))  # type: ignore[arg-type]
    assert await spend([limiter], "large", 100_000, 1000) == 1000
    assert counting.asked == 1
    assert await spend([limiter], "small", 3, 1000) == 3
    assert counting.asked == 5
    await redis.aclose()


async def test_while_redis_is_away_everything_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for it at each request; and once it is back, it counts again."""
    clock = SettableClock(START)
    with valkey() as server:
        redis = open_redis(server.url)
        limiter = RateLimiter(redis, clock)
        assert await spend([limiter], "key", 5, 10) == 5
        monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.2)
        server.freeze()
        began = asyncio.get_running_loop().time()
        assert await spend([limiter], "frozen", 5, 100) == 100
        assert asyncio.get_running_loop().time() - began < 1
        server.thaw()
        monkeypatch.undo()
        clock.move(timedelta(seconds=2))
        # The question it did not answer in time may have been counted once it woke up.
        assert await spend([limiter], "frozen", 5, 100) in {4, 5}
        await redis.aclose()


async def test_counters_leave_redis_by_themselves(redis_url: str) -> None:
    """Each has an end a little after its window."""
    redis = open_redis(redis_url)
    await RateLimiter(redis, SettableClock(START)).admit("key", 10)
    (name,) = await redis.keys("*")
    assert 60_000 < await redis.pttl(name) <= 120_000
    await redis.aclose()


def test_the_script_says_what_it_does() -> None:
    """Purpose, KEYS, ARGV and OUT stand at the top of every script."""
    for script in (files("gamekit.http") / "lua").iterdir():
        header = script.read_text().split("\n\n")[0]
        assert re.match(rf"#!lua\n-- {script.name.removesuffix('.lua')}: .+", header)
        assert all(part in header for part in ("-- KEYS ", "-- ARGV ", "-- OUT "))
