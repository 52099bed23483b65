"""Rate limits counted in Redis and shared by every process: at most so many requests in each window of the clock.

A process leases a fiftieth of a limit at a time with one Lua call, so the hot path seldom leaves the process, and a limit
below a hundred is counted one by one. What is leased is valid only in its window, so all processes together never let more
through than the limit; a process that leases and then falls idle may leave up to a fiftieth unused. Windows are aligned to
the clock: a caller may spend one window's permits at its end and the next one's at its start.

Redis is not asked to guard what it cannot: while it is away everything is let through, since the draw itself answers 503.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.resources import files

import structlog
from redis.exceptions import RedisError

from gamekit.clock import Clock
from gamekit.storage.redis import RedisClient

WINDOW_SECONDS = 60
LEASES_PER_LIMIT = 50
ANSWER_SECONDS = 1.0
AWAY_SECONDS = 1
"""How long Redis is left alone after it did not answer."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Window:
    """One name's permits in the present window, as far as this process holds them."""

    number: int
    left: int = 0
    closed: bool = False
    """Redis has no more to give."""


class RateLimiter:
    """Lets at most `limit` requests of a name through in each window, over all processes."""

    def __init__(self, redis: RedisClient, clock: Clock, *, window_seconds: int = WINDOW_SECONDS) -> None:
        self._redis = redis
        self._clock = clock
        self._seconds = window_seconds
        self._script = (files(__package__) / "lua" / "lease.lua").read_text()
        self._windows: dict[str, _Window] = {}
        self._leasing: dict[str, asyncio.Lock] = {}
        self._away_until = 0.0

    async def admit(self, name: str, limit: int) -> int:
        """0 where one more request of `name` is let through, else the whole seconds until it may come again."""
        now = self._clock.now().timestamp()
        number = int(now) // self._seconds
        window = self._windows.get(name)
        if window is not None and window.number == number and window.left > 0:
            window.left -= 1
            return 0
        return await self._lease(name, limit, number, now)

    async def _lease(self, name: str, limit: int, number: int, now: float) -> int:
        wait = max(1, -int(now - (number + 1) * self._seconds))
        if limit <= 0:
            return wait
        async with self._leasing.setdefault(name, asyncio.Lock()):
            window = self._windows.get(name)
            if window is None or window.number < number:
                window = self._windows[name] = _Window(number)
                self._forget_old(number)
            if window.left == 0 and not window.closed:
                if now < self._away_until:
                    return 0
                given = await self._ask(name, limit, window.number)
                if given is None:
                    self._away_until = now + AWAY_SECONDS
                    return 0
                window.left, window.closed = given, given == 0
            if window.left == 0:
                return wait
            window.left -= 1
            return 0

    async def _ask(self, name: str, limit: int, number: int) -> int | None:
        """How many permits Redis gives; None where it does not answer."""
        wanted = max(1, limit // LEASES_PER_LIMIT)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return int(
                    await self._redis.eval(
                        self._script, 1, f"gk:rate:{{{name}}}:{number}", limit, wanted, 2000 * self._seconds
                    )
                )
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("rate_limit.redis_away", error=type(error).__name__)
            return None

    def _forget_old(self, number: int) -> None:
        if len(self._windows) > 10_000:
            self._windows = {name: window for name, window in self._windows.items() if window.number == number}
            self._leasing = {
                name: lock for name, lock in self._leasing.items() if lock.locked() or name in self._windows
            }
