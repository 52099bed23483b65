"""Coupon pools: importing codes for a prize, all that are good or, if anything fails, none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.campaigns.models import CampaignState
from gamekit.campaigns.repository import find_campaign
from gamekit.campaigns.schemas import parse_document
from gamekit.clock import Clock
from gamekit.coupons import repository
from gamekit.coupons.codes import Rejected, read_batches
from gamekit.errors import CampaignNotFound, Conflict, PrizeNotFound

READ_AT_A_TIME = 10_000
SAVE_AT_A_TIME = 50_000
MOST_LISTED = 1_000
"""Lines named in a report; the totals are always whole."""


class Step(StrEnum):
    """What an import is doing."""

    READ = "read"
    SAVE = "save"


Progress = Callable[[Step, int], None]
"""Told after each piece of work: the step, and how many lines were read or codes saved so far."""


class PoolOwner(Protocol):
    """Whoever must know that a pool has grown; `gamekit.campaigns.service.Campaigns` does."""

    async def pool_changed(self, connection: AsyncConnection, slug: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file's lines. The tuples hold at most the first `MOST_LISTED`; the numbers count all."""

    added: int
    duplicates: int
    duplicate_lines: tuple[int, ...]
    """Lines whose code stands earlier in the file or in any prize's pool."""
    rejected_total: int
    rejected: tuple[Rejected, ...]


@dataclass(slots=True)
class _Staged:
    codes: int
    rejected_total: int
    rejected: list[Rejected]


class Coupons:
    """The coupon pools of one database."""

    def __init__(self, sql: AsyncEngine, clock: Clock, owner: PoolOwner) -> None:
        self._sql = sql
        self._clock = clock
        self._owner = owner

    async def import_codes(
        self, slug: str, prize: str, file: BinaryIO, *, progress: Progress = lambda step, done: None
    ) -> ImportReport:
        """Adds the file's codes to the prize's pool, numbered on from its last unit in the file's order.

        The codes land in one transaction, with the stock they raise and the new epoch: an import that fails, or whose
        process dies, leaves nothing behind. Raises `CampaignNotFound`, `PrizeNotFound`, and `Conflict` where the campaign
        has ended or the prize has no pool.
        """
        async with self._sql.connect() as connection:
            # Staging fills a temporary table only, so it holds up no one who writes.
            connection = await connection.execution_options(reading=True)  # noqa: PLW2901 - it is the same one
            await _pool_of(connection, slug, prize)
            try:
                await repository.open_staging(connection)
                staged = await _stage(connection, file, progress)
                await connection.commit()
                connection = await connection.execution_options(reading=False)  # noqa: PLW2901
                added, repeated = await self._land(connection, slug, prize, staged, progress)
                await connection.commit()
            finally:
                await _clean_up(connection)
        return ImportReport(added, staged.codes - added, repeated, staged.rejected_total, tuple(staged.rejected))

    async def _land(
        self, connection: AsyncConnection, slug: str, prize: str, staged: _Staged, progress: Progress
    ) -> tuple[int, tuple[int, ...]]:
        await repository.lock_imports(connection)
        campaign_id = await _pool_of(connection, slug, prize)
        base = (await repository.Pools().pool_sizes(connection, campaign_id)).get(prize, 0)
        added = await repository.number_staged(connection)
        now = self._clock.now()
        for after in range(0, added, SAVE_AT_A_TIME):
            upto = min(after + SAVE_AT_A_TIME, added)
            await repository.insert_numbered(
                connection, campaign_id=campaign_id, prize=prize, base=base, after=after, upto=upto, now=now
            )
            progress(Step.SAVE, upto)
        repeated = await repository.repeated_lines(connection, most=MOST_LISTED) if added < staged.codes else ()
        if added:
            # The run's lock is taken here, at the end: nobody can be given a unit above the stock now in force,
            # so the million rows before this need not keep draws waiting.
            await self._owner.pool_changed(connection, slug)
        return added, repeated


async def _stage(connection: AsyncConnection, file: BinaryIO, progress: Progress) -> _Staged:
    staged = _Staged(0, 0, [])
    batches = read_batches(file, READ_AT_A_TIME)
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        if batch.codes:
            await repository.stage(connection, batch.codes)
        staged.codes += len(batch.codes)
        staged.rejected_total += len(batch.rejected)
        staged.rejected += batch.rejected[: MOST_LISTED - len(staged.rejected)]
        progress(Step.READ, batch.upto)
    return staged


async def _pool_of(connection: AsyncConnection, slug: str, prize: str) -> int:
    """The campaign's number, once it is sure that the prize takes codes."""
    campaign = await find_campaign(connection, slug)
    if campaign is None:
        raise CampaignNotFound
    if campaign.state == CampaignState.ENDED:
        raise Conflict("This campaign has ended; its prizes take no codes any more.")
    document = parse_document(campaign.document)
    wanted = next((one for one in document.prizes if one.key == prize), None)
    if wanted is None:
        raise PrizeNotFound
    if wanted.codes != "pool":
        raise Conflict('This prize has no pool of codes; set its codes = "pool" first.')
    return int(campaign.id)


async def _clean_up(connection: AsyncConnection) -> None:
    if connection.invalidated:
        # The temporary tables ended with the connection.
        return
    await connection.rollback()
    connection = await connection.execution_options(reading=True)
    await repository.drop_staging(connection)
    await connection.commit()
