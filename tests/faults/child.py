"""What runs in a process of its own, so that it can race others or be killed for good."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from multiprocessing.context import ForkServerProcess
from typing import Any

import httpx2
from prometheus_client import CollectorRegistry

from gamekit.bots.messenger.adapter import MessengerAdapter
from gamekit.clock import SystemClock
from gamekit.deliveries.metrics import DeliveryMetrics
from gamekit.deliveries.relay import Relay, RelayPolicy
from gamekit.deliveries.repository import Outbox
from gamekit.draws.calls import Landed
from gamekit.draws.gate import Gate
from gamekit.draws.ledger import Ledger
from gamekit.entropy import SystemEntropy
from gamekit.storage.sql import open_database
from tests.chat import PAGE, channels_of, plain
from tests.faults.world import App, running

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.child"])


class Point(StrEnum):
    """Where a process dies."""

    AFTER_RESERVE = "after reserve"
    AFTER_COMMIT = "after commit, before settle"
    AFTER_SETTLE = "after settle"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _DiesAfterReserve(Gate):
    async def reserve(self, *arguments: Any) -> Any:
        await super().reserve(*arguments)
        _die()


class _DiesAfterSettle(Gate):
    async def confirm(self, *arguments: Any) -> int:
        await super().confirm(*arguments)
        _die()
        return 0


class _DiesAfterCommit(Ledger):
    async def commit(self, entries: Sequence[Any], now: datetime) -> Any:
        await super().commit(entries, now)
        _die()


_DYING: dict[Point, dict[str, Any]] = {
    Point.AFTER_RESERVE: {"gate_class": _DiesAfterReserve},
    Point.AFTER_COMMIT: {"ledger_class": _DiesAfterCommit},
    Point.AFTER_SETTLE: {"gate_class": _DiesAfterSettle},
}


def draw_and_die(sql_url: str, redis_url: str, point: Point, slug: str, player: str, key: str, size: int) -> None:
    """Draws once, and is killed on the way. Where the gate says Unknown first, the first reserve is not the one meant."""

    async def main() -> None:
        async with running(sql_url, redis_url, **_DYING[point]) as app:
            await app.draw(slug, player, key, size)
            await asyncio.sleep(5)

    asyncio.run(main())


def draw_and_tell(sql_url: str, redis_url: str, slug: str, player: str, key: str, tasks: int, said: Any) -> None:
    """Several tasks of this process ask with one key; tells the draw ids that came back."""

    async def one(app: App) -> str:
        answer = await app.draw(slug, player, key, 2)
        assert isinstance(answer, Landed), answer
        return answer.reservation.draw_id(0)

    async def main() -> None:
        async with running(sql_url, redis_url, pool_size=2) as app:
            said.put(sorted(set(await asyncio.gather(*(one(app) for _ in range(tasks))))))

    asyncio.run(main())


def start(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Begins `work` in a process of its own."""
    process = _context.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def queue() -> Any:
    """Through which processes tell what they found."""
    return _context.SimpleQueue()


def draw_until_killed(sql_url: str, redis_url: str, slug: str, prefix: str, said: Any) -> None:
    """Players of this process draw three times each, as fast as they can, and what they were told is passed on."""

    async def play(app: App, player: str) -> None:
        for number in range(3):
            key = f"{player}/{number}"
            answer = await app.draw(slug, player, key)
            if isinstance(answer, Landed):
                said.put((key, answer.reservation.draw_id(0)))

    async def main() -> None:
        async with running(sql_url, redis_url, pool_size=3) as app:
            number = 0
            while True:
                await asyncio.gather(*(play(app, f"{prefix}-{number + n}") for n in range(20)))
                number += 20

    asyncio.run(main())


def relay_until_killed(sql_url: str, platform_url: str, ready: Any) -> None:
    """A relay that delivers what is owed, with a short lease, until it is killed."""

    async def main() -> None:
        engine = open_database(sql_url)
        async with httpx2.AsyncClient(trust_env=False) as client:
            adapter = MessengerAdapter(client, graph_url=platform_url, graph_version="v26.0")
            relay = Relay(
                Outbox(engine),
                channels_of(engine),
                {PAGE.channel: adapter},
                plain,
                clock=SystemClock(),
                entropy=SystemEntropy(),
                metrics=DeliveryMetrics(CollectorRegistry()),
                policy=RelayPolicy(
                    concurrency=8, poll_seconds=0.02, attempt_seconds=0.8, lease_seconds=1.0, first_delay=0.05
                ),
            )
            relay.start()
            ready.put(True)
            await asyncio.Event().wait()

    asyncio.run(main())
