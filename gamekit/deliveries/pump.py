"""How a worker over an SQL queue runs: told of work in its own process, looking for others' now and then.

Owns waiting, the tasks under way, and starting and stopping. It knows nothing of the queue; a round claims from it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gamekit.errors import Unavailable

AWAY = (SQLAlchemyError, OSError, TimeoutError, Unavailable)
"""What is raised while SQL is away."""

CANCEL_AGAIN_SECONDS = 0.2
_log = structlog.get_logger()


class Pump:
    """Calls `take` whenever there may be work, with how many tasks may still start; it says how many did."""

    def __init__(
        self, name: str, take: Callable[[int], Awaitable[int]], *, concurrency: int, poll_seconds: float
    ) -> None:
        self._name = name
        self._take = take
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds
        self._told = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Look for work now. To be called from the pump's own event loop."""
        self._told.set()

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name=self._name)

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing more, let what is under way end, and cancel what has not ended in time."""
        if self._loop is not None:
            await end(self._loop)
            self._loop = None
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        """Run one piece of work beside the loop."""
        task = asyncio.create_task(work, name=name)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._told.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work_failed", pump=self._name, task=task.get_name(), exc_info=error)

    async def _run(self) -> None:
        # Behind a backlog it claims half a load at a time: a claim has to look at all that is owed.
        half = max(1, self._concurrency // 2)
        behind = False
        while True:
            self._told.clear()
            free = self._concurrency - len(self._under_way)
            if free >= (half if behind else 1):
                try:
                    behind = await self._take(free) >= free
                except AWAY as error:
                    _log.warning("waits_for_sql", pump=self._name, error=type(error).__name__)
                    behind = False
                    await asyncio.sleep(self._poll_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._told.wait()


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancels tasks, and returns once all have ended, however often that takes.

    A driver that is cancelled in the middle of a call may raise an error of its own instead, which the task takes for a
    server that is away, and goes on.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        ended, going = await asyncio.wait(going, timeout=CANCEL_AGAIN_SECONDS)
        for task in ended:
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("task_failed", task=task.get_name(), exc_info=error)


async def keep_recording(record: Callable[[], Awaitable[bool]]) -> bool:
    """Record how work ended, however long SQL is away: only this process knows."""
    delay = 0.1
    while True:
        try:
            return await record()
        except AWAY as error:
            _log.warning("record_waits_for_sql", error=type(error).__name__)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
