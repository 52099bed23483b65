"""Ending background work, also where a driver takes the cancellation for an error of its own."""

from __future__ import annotations

import asyncio

from gamekit.deliveries.pump import Pump, end


async def test_a_task_that_goes_on_is_cancelled_again() -> None:
    """A loop that outlives errors, one of which was its cancellation in disguise, still ends."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    async def broken() -> None:
        raise OSError("away")

    tasks = [asyncio.create_task(work()) for work in (stubborn, broken)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(*tasks)
    assert (swallowed, all(task.done() for task in tasks)) == (2, True)
    await end()


async def test_a_pump_stops_though_a_driver_swallows_the_cancellation() -> None:
    """A claim that is cancelled and raises that SQL is away does not keep the process from ending."""
    claiming = asyncio.Event()

    async def claim(free: int) -> int:
        claiming.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("connection closed") from None
        return 0

    pump = Pump("test", claim, concurrency=1, poll_seconds=60)
    pump.start()
    await claiming.wait()
    async with asyncio.timeout(5):
        await pump.stop(1)
