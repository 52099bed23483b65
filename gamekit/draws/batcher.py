"""Batches that form by themselves, without timers or sleeps.

An item that finds the line idle goes at once; under load the next batch is whatever arrived meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Hands items to `process` in batches of at most `size`, with at most `in_flight` batches under way.

    `process` must not raise: each item carries its own result.
    """

    def __init__(self, process: Callable[[list[Item]], Awaitable[None]], *, size: int, in_flight: int) -> None:
        self._process = process
        self._size = size
        self._in_flight = in_flight
        self._line: deque[Item] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        self._woken = False

    def submit(self, item: Item) -> None:
        """Puts an item in the line."""
        self._line.append(item)
        if not self._woken and len(self._batches) < self._in_flight:
            # Not at once: whatever else arrives in this tick of the loop travels along.
            self._woken = True
            asyncio.get_running_loop().call_soon(self._start)

    @property
    def idle(self) -> bool:
        return not self._line and not self._batches

    async def drained(self) -> None:
        """Returns when nothing is in the line or under way."""
        while not self.idle:
            if self._batches:
                await asyncio.wait(self._batches)
            else:
                await asyncio.sleep(0)

    def _start(self) -> None:
        self._woken = False
        while self._line and len(self._batches) < self._in_flight:
            batch = [self._line.popleft() for _ in range(min(self._size, len(self._line)))]
            task = asyncio.get_running_loop().create_task(self._work(batch))
            self._batches.add(task)
            task.add_done_callback(self._done)

    async def _work(self, batch: list[Item]) -> None:
        await self._process(batch)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        if not task.cancelled():
            task.result()
        self._start()
