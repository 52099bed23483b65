"""What a measurement is made of: samples of two sides taken in turn (A B A B …), and the median of the pairs' ratios.

Taking the sides in turn, within one run, lets whatever else the machine does fall on both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

STUCK_SECONDS = 60.0
"""How long after a sample's end a call may still be without its answer."""
Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look."""

    name: str
    pairs: int
    seconds: int
    """Of one sample."""
    long_ledger: int
    short_ledger: int
    """Rows."""


FULL = Effort("full", pairs=5, seconds=4, long_ledger=5_000_000, short_ledger=5_000)
QUICK = Effort("quick", pairs=2, seconds=1, long_ledger=200_000, short_ledger=5_000)


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio with the samples it comes from. `key` names it as in `var/bench.json`, with a dot for a part of a group."""

    key: str
    over: str
    under: str
    """What the two sides are."""
    unit: str
    pairs: tuple[tuple[float, float], ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        return [over / under for over, under in self.pairs]

    @property
    def ratio(self) -> float:
        return median(self.ratios)


async def interleaved(pairs: int, *sides: Side) -> list[tuple[float, ...]]:
    """A sample of each side in turn, `pairs` times over."""
    return [tuple([await side() for side in sides]) for _ in range(pairs)]


async def rate(callers: int, seconds: float, call: Callable[[int, int], Awaitable[object]]) -> float:
    """Calls per second that so many concurrent callers get through; each calls again as soon as it has its answer.

    `call` is given the caller's number and how many calls that caller made before.
    """
    began = perf_counter()
    until = began + seconds

    async def caller(number: int) -> int:
        made = 0
        while perf_counter() < until:
            await call(number, made)
            made += 1
        return made

    async with asyncio.timeout(seconds + STUCK_SECONDS):
        made = sum(await asyncio.gather(*(caller(number) for number in range(callers))))
    return made / (perf_counter() - began)
