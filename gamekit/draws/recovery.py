"""What happens after a fault: re-syncing a gate that is not to be trusted, and deciding reservations nobody decided."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.campaigns import repository
from gamekit.campaigns.locks import exclusive
from gamekit.campaigns.views import RunView
from gamekit.clock import Clock, micros
from gamekit.draws import metrics
from gamekit.draws.book import Book
from gamekit.draws.gate import Gate
from gamekit.draws.ledger import Ledger
from gamekit.draws.reservations import Reservation
from gamekit.draws.units import Units
from gamekit.storage.redis import RedisError
from gamekit.storage.sql import reading, writing

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
MARK_SECONDS = 5.0


class Recovery:
    """Brings gate and ledger back together."""

    def __init__(self, sql: AsyncEngine, *, book: Book, gate: Gate, ledger: Ledger, units: Units, clock: Clock) -> None:
        self._sql = sql
        self._book = book
        self._gate = gate
        self._ledger = ledger
        self._units = units
        self._clock = clock
        self._open: set[str] = set()
        self._syncing: dict[str, asyncio.Task[None]] = {}

    async def resync(self, view: RunView, *, above: int) -> None:
        """Makes the gate hold what the ledger says, in an epoch of its own that is higher than `above`.

        Where the run has moved on from `view` already, someone else did it. Several callers share one re-sync.
        """
        task = self._syncing.get(view.run)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._resync(view, above))
            self._syncing[view.run] = task
            task.add_done_callback(lambda _: self._syncing.pop(view.run, None))
        await asyncio.shield(task)

    async def _resync(self, view: RunView, above: int) -> None:
        async with writing(self._sql) as connection:
            await exclusive(connection, view.run)
            if await repository.epoch_of(connection, view.run) == view.epoch:
                epoch = await repository.bump_epoch(connection, view.run, above=above)
                stocked = [prize for prize, stock in view.stock.items() if stock is not None]
                fresh, issued = await self._units.snapshot(connection, view.run, stocked)
                # Installed before the epoch is committed: nobody can use it earlier, and everybody finds it ready.
                await self._gate.install(view.run, epoch, fresh=fresh, units=issued)
                metrics.RESYNCS.inc()
                log.info("gate_resynced", run=view.run, epoch=epoch)
        await self._book.reload((view.slug, view.kind), unlike=view)

    async def resolve(self, reservations: Sequence[Reservation]) -> None:
        """Decides reservations for good: those in the ledger are confirmed, all others voided and then released."""
        landed = await self._ledger.void(reservations)
        groups: dict[tuple[str, int, bool], list[str]] = defaultdict(list)
        for reservation, there in zip(reservations, landed, strict=True):
            groups[reservation.run, reservation.epoch, there].append(reservation.nonce)
            metrics.VOIDS.labels("landed" if there else "void").inc()
        for (run, epoch, there), nonces in groups.items():
            settle = self._gate.confirm if there else self._gate.release
            await settle(run, epoch, nonces)

    async def sweep(self) -> int:
        """Resolves every reservation whose deadline has passed, in every run; returns how many there were.

        Runs that are over since the last sweep, ended or wiped, are forgotten by the gate.
        """
        async with reading(self._sql) as connection:
            runs = await repository.open_runs(connection)
        still_open = {run for run, _ in runs}
        await self._gate.forget(self._open - still_open)
        self._open = still_open
        count = 0
        failed: Exception | None = None
        for run, epoch in runs:
            try:
                count += await self._sweep(run, epoch)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one run, the others are swept
                failed = error
        if failed is not None:
            raise failed
        return count

    async def _sweep(self, run: str, epoch: int) -> int:
        now_ms = micros(self._clock.now()) // 1000
        pending, overdue = await self._gate.overdue(run, epoch, now_ms=now_ms)
        metrics.PENDING.labels(run).set(max(pending, 0))
        if overdue:
            log.warning("reservations_overdue", run=run, count=len(overdue))
            await self.resolve(overdue)
        return len(overdue)

    async def advance_marks(self) -> None:
        """Keeps the next re-sync of every run short."""
        async with reading(self._sql) as connection:
            runs = await repository.open_runs(connection)
            stock = {run: await repository.stock_in_force(connection, run) for run, _ in runs}
        for run, limits in stock.items():
            await self._units.advance_marks(run, [prize for prize, limit in limits.items() if limit is not None])

    async def run(self) -> None:
        """Sweeps and advances marks until cancelled; whatever is away now is tried again later."""
        loop = asyncio.get_running_loop()
        marks_due = loop.time()
        while True:
            try:
                await self.sweep()
                if loop.time() >= marks_due:
                    await self.advance_marks()
                    marks_due = loop.time() + MARK_SECONDS
            except (OSError, RedisError) as error:
                log.warning("sweep_postponed", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - SQL drivers raise many kinds; recovery must outlive them all
                log.warning("sweep_postponed", error=repr(error))
            await asyncio.sleep(SWEEP_SECONDS)
