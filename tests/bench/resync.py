"""The pause that players see while the gate is rebuilt.

FLUSHALL comes in the middle of steady draws; the pause is the longest that any draw took from when its player asked.
"""

from __future__ import annotations

import asyncio
from itertools import count
from statistics import median
from time import perf_counter

from gamekit.testing.servers import PostgresServer
from tests.bench.growth import with_past
from tests.bench.past import DRAWS_PER_PLAYER
from tests.bench.samples import Effort, Figure, interleaved
from tests.bench.stand import Stand, stand

RATE = 200.0
"""Draws a second: steady, and far from the top."""
BEFORE_SECONDS, AFTER_SECONDS = 0.5, 1.0
FLUSHES = 3
"""In one sample, which is their median: a single pause is short, and whatever else the machine does shows in it."""
SLUG = "resync"

_marks = count(1)


async def measure(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    players = effort.short_ledger // DRAWS_PER_PLAYER
    quiet: list[float] = []

    async def pause(ours: Stand) -> float:
        found = [await _flush_once(ours, players) for _ in range(FLUSHES)]
        quiet.extend(before for before, _ in found)
        return median(after for _, after in found)

    async with stand(postgres) as long, stand(postgres) as short:
        await with_past(long, SLUG, effort.long_ledger)
        await with_past(short, SLUG, effort.short_ledger)
        first = []
        for ours in (long, short):
            # Once for the whole ledger; recovery then looks every few seconds at what is new, as in production.
            began = perf_counter()
            view = await ours.view(SLUG)
            await ours.gamekit.records.units.advance_marks(
                view.run, [key for key, stock in view.stock.items() if stock]
            )
            first.append(round(perf_counter() - began, 3))
            await pause(ours)
        rounds = await interleaved(effort.pairs, lambda: pause(long), lambda: pause(short))
    return [
        Figure(
            "resync_pause",
            f"longest wait around a re-sync with a ledger of {effort.long_ledger:,} rows",
            f"{effort.short_ledger:,}",
            "ms",
            tuple((one, other) for one, other in rounds),
            {"longest_wait_without_a_resync_ms": round(median(quiet), 2), "first_look_through_seconds": first},
        )
    ]


async def _flush_once(ours: Stand, players: int) -> tuple[float, float]:
    """The longest wait in ms before the gate lost everything, and around and after."""
    mark = next(_marks)
    began = perf_counter()
    total = round(RATE * (BEFORE_SECONDS + AFTER_SECONDS))

    async def one(number: int) -> tuple[float, float]:
        due = began + number / RATE
        await asyncio.sleep(due - perf_counter())
        await ours.draw(SLUG, f"p{number % players + 1}", f"{mark}-{number}")
        return due, (perf_counter() - due) * 1000

    async def flush() -> float:
        await asyncio.sleep(BEFORE_SECONDS)
        at = perf_counter()
        await ours.gamekit.redis.flushall()
        return at

    at, waits = await asyncio.gather(flush(), asyncio.gather(*(one(number) for number in range(total))))
    # Whoever asked shortly before may have been under way when it happened.
    before = [waited for due, waited in waits if due < at - 0.1]
    return max(before), max(waited for due, waited in waits if due >= at - 0.1)
