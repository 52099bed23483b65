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

from gamekit.draws.engine import Landed
from gamekit.draws.gate import Gate
from gamekit.draws.ledger import Ledger
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
