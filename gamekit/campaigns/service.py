"""What people do to campaigns: save, publish, pause, resume, end, change stock, wipe the test run.

Every change here touches SQL and the run's epoch only, under the run's exclusive lock; the gate learns by epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.campaigns import repository
from gamekit.campaigns.file import Change, diff
from gamekit.campaigns.locks import exclusive
from gamekit.campaigns.models import CampaignState, OddsVersion, Run, RunKind
from gamekit.campaigns.schemas import CampaignDocument, Prize, parse_document
from gamekit.campaigns.views import Phase, phase_at
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.errors import CampaignNotFound, Conflict, InvalidInput, Problem
from gamekit.ids import RUN_ID_LENGTH, token
from gamekit.odds.fairness import commit, odds_hash
from gamekit.plugin import Game
from gamekit.registry import find_problems
from gamekit.storage.sql import reading, writing
from gamekit.storage.vault import Vault


class IssuedUnits(Protocol):
    """What the ledger, which lies above campaigns, tells about a run inside the caller's transaction."""

    async def highest_units(self, connection: AsyncConnection, run_id: str) -> dict[str, int]: ...

    async def issued(self, connection: AsyncConnection, run_id: str) -> dict[str, int]: ...

    async def wipe(self, connection: AsyncConnection, run_id: str) -> None: ...


class CodePools(Protocol):
    """How many codes each prize's pool holds."""

    async def pool_sizes(self, connection: AsyncConnection, campaign_id: int) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True)
class PrizeStanding:
    """A prize with its numbers: `stock` None without limit; `issued` counts committed draws of the live run."""

    prize: Prize
    stock: int | None
    issued: int


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    slug: str
    phase: Phase
    document: CampaignDocument
    version: int | None
    commitment: str
    odds_hash: str | None
    seed: str | None
    """The seed in hex, once the live run has ended for good."""
    prizes: tuple[PrizeStanding, ...]
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Published:
    """A frozen odds version of a run."""

    version: int
    document: CampaignDocument


@dataclass(frozen=True, slots=True)
class LiveCampaign:
    """A campaign that can be played now."""

    slug: str
    document: CampaignDocument


@dataclass(frozen=True, slots=True)
class Applied:
    """What saving a document changed, or (dry run) would change."""

    slug: str
    created: bool
    changes: tuple[Change, ...]
    version: int | None
    """The live run's odds version after the change; None while nothing is published."""


class Campaigns:
    """The campaigns of one database."""

    def __init__(
        self,
        sql: AsyncEngine,
        *,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        games: Mapping[str, Game],
        units: IssuedUnits,
        pools: CodePools,
    ) -> None:
        self._sql = sql
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._games = games
        self._units = units
        self._pools = pools

    async def published(self, slug: str, kind: RunKind, version: int | None = None) -> Published:
        """That odds version of the run, or the one in force. Raises `CampaignNotFound`, also where there is none."""
        async with reading(self._sql) as connection:
            row = await self._row(connection, slug)
            run = await repository.find_run(connection, row.id, kind)
            found = None
            if run is not None:
                found = await repository.find_version(connection, run.id, version)
        if found is None:
            raise CampaignNotFound
        return Published(found.number, parse_document(found.document))

    async def live_campaigns(self) -> Sequence[LiveCampaign]:
        """The campaigns that can be played now, newest first."""
        now = self._clock.now()
        async with reading(self._sql) as connection:
            rows = await repository.list_campaigns(connection)
        documents = [(row.state, parse_document(row.document)) for row in rows if row.state == CampaignState.PUBLISHED]
        return [
            LiveCampaign(document.slug, document)
            for state, document in documents
            if phase_at(state, document.starts_at, document.ends_at, now) is Phase.LIVE
        ]

    async def list(self) -> list[CampaignSummary]:
        """All campaigns, newest first."""
        async with reading(self._sql) as connection:
            return [await self._summary(connection, row) for row in await repository.list_campaigns(connection)]

    async def get(self, slug: str) -> CampaignSummary:
        """One campaign. Raises `CampaignNotFound`."""
        async with reading(self._sql) as connection:
            return await self._summary(connection, await self._row(connection, slug))

    async def apply(self, document: CampaignDocument, *, dry_run: bool = False) -> Applied:
        """Saves a campaign. Where it is published, the live run gets a new odds version at once; the test run always does.

        Raises `InvalidInput` naming the field, or `Conflict` where the campaign has ended.
        """
        self._check_game(document)
        async with writing(self._sql) as connection:
            if await repository.find_campaign(connection, document.slug) is None:
                if not dry_run:
                    await self._create(connection, document)
                return Applied(document.slug, True, (), None)
            row, live, test = await self._locked(connection, document.slug)
            if row.state == CampaignState.ENDED:
                raise Conflict("This campaign has ended, and ended is final; copy it under a new slug instead.")
            changes = tuple(diff(parse_document(row.document), document))
            published = row.state != CampaignState.DRAFT
            if published:
                await self._check_stock(connection, row.id, live.id, document)
            latest = await repository.latest_version(connection, live.id)
            if changes and not dry_run:
                now = self._clock.now()
                await repository.change_campaign(connection, row.id, document=document.to_json(), updated_at=now)
                if published:
                    await self._publish_run(connection, row.id, live, document, now)
                await self._publish_run(connection, row.id, test, document, now)
                latest = await repository.latest_version(connection, live.id)
            return Applied(document.slug, False, changes, latest.number if latest else None)

    async def publish(self, slug: str) -> CampaignSummary:
        """Draft to published: the first odds version of the live run. Publishing twice changes nothing."""
        async with writing(self._sql) as connection:
            row, live, _ = await self._locked(connection, slug)
            document = parse_document(row.document)
            if row.state == CampaignState.DRAFT:
                now = self._clock.now()
                if document.ends_at is not None and document.ends_at <= now:
                    raise InvalidInput(
                        "The campaign would end before it starts.",
                        problems=(Problem("ends_at", "lies in the past; choose a later end"),),
                    )
                await repository.change_campaign(connection, row.id, state=CampaignState.PUBLISHED, updated_at=now)
                await self._publish_run(connection, row.id, live, document, now)
            elif row.state == CampaignState.ENDED:
                raise Conflict("This campaign has ended, and ended is final; copy it under a new slug instead.")
            return await self._summary(connection, await self._row(connection, slug))

    async def pause(self, slug: str) -> CampaignSummary:
        """No draw commits after this returns, until `resume`."""
        return await self._turn(slug, {CampaignState.PUBLISHED}, CampaignState.PAUSED)

    async def resume(self, slug: str) -> CampaignSummary:
        return await self._turn(slug, {CampaignState.PAUSED}, CampaignState.PUBLISHED)

    async def end(self, slug: str) -> CampaignSummary:
        """Ends the campaign for good; from then on the seed is public."""
        return await self._turn(slug, {CampaignState.PUBLISHED, CampaignState.PAUSED}, CampaignState.ENDED)

    async def end_overdue(self) -> Sequence[str]:
        """Ends every published campaign whose end has passed; returns their slugs."""
        now = self._clock.now()
        async with reading(self._sql) as connection:
            rows = await repository.list_campaigns(connection)
        overdue = []
        for row in rows:
            if row.state in (CampaignState.PUBLISHED, CampaignState.PAUSED):
                ends_at = parse_document(row.document).ends_at
                if ends_at is not None and ends_at <= now:
                    overdue.append(row.slug)
        for slug in overdue:
            await self.end(slug)
        return overdue

    async def wipe_test(self, slug: str) -> None:
        """Forgets the test run: its draws, grants and stock. A new one begins under a new run id."""
        async with writing(self._sql) as connection:
            row, _, test = await self._locked(connection, slug)
            await self._units.wipe(connection, test.id)
            await repository.drop_run(connection, test.id)
            await self._start_test(connection, row.id, parse_document(row.document), self._clock.now())

    async def pool_changed(self, connection: AsyncConnection, slug: str) -> None:
        """After codes were imported, inside that transaction: stock bound by a pool follows it, and a new epoch begins."""
        row = await self._row(connection, slug)
        if row.state == CampaignState.DRAFT:
            return
        live = await self._locked_run(connection, row.id, RunKind.LIVE)
        epoch = await repository.bump_epoch(connection, live.id)
        document = parse_document(row.document)
        await self._record_stock(connection, row.id, live, document, epoch=epoch, now=self._clock.now())

    async def _turn(self, slug: str, allowed: set[CampaignState], to: CampaignState) -> CampaignSummary:
        async with writing(self._sql) as connection:
            row, live, test = await self._locked(connection, slug)
            if row.state != to:
                if row.state not in allowed:
                    raise Conflict(f"A campaign that is {row.state} cannot become {to}.")
                now = self._clock.now()
                values: dict[str, Any] = {"state": to, "updated_at": now}
                if to == CampaignState.ENDED:
                    values["ended_at"] = now
                for run in (live, test) if to == CampaignState.ENDED else (live,):
                    await repository.bump_epoch(connection, run.id)
                await repository.change_campaign(connection, row.id, **values)
            return await self._summary(connection, await self._row(connection, slug))

    async def _create(self, connection: AsyncConnection, document: CampaignDocument) -> None:
        now = self._clock.now()
        campaign_id = await repository.add_campaign(
            connection, slug=document.slug, state=CampaignState.DRAFT, document=document.to_json(), now=now
        )
        await self._start_run(connection, campaign_id, RunKind.LIVE, now)
        await self._start_test(connection, campaign_id, document, now)

    async def _start_test(
        self, connection: AsyncConnection, campaign_id: int, document: CampaignDocument, now: datetime
    ) -> None:
        await self._start_run(connection, campaign_id, RunKind.TEST, now)
        test = await self._locked_run(connection, campaign_id, RunKind.TEST)
        await self._publish_run(connection, campaign_id, test, document, now)

    async def _start_run(self, connection: AsyncConnection, campaign_id: int, kind: RunKind, now: datetime) -> None:
        seed = self._entropy.bytes(32)
        run = Run(
            id=token(self._entropy, RUN_ID_LENGTH),
            campaign_id=campaign_id,
            kind=kind,
            epoch=1,
            seed=self._vault.seal(seed),
            commitment=commit(seed),
            alias_key=self._vault.seal(self._entropy.bytes(32)),
            created_at=now,
        )
        await repository.add_run(connection, run)

    async def _publish_run(
        self, connection: AsyncConnection, campaign_id: int, run: Row[Any], document: CampaignDocument, now: datetime
    ) -> None:
        """A new epoch; with a new odds version where what a version freezes has changed."""
        epoch = await repository.bump_epoch(connection, run.id)
        latest = await repository.latest_version(connection, run.id)
        if latest is None or _frozen(parse_document(latest.document)) != _frozen(document):
            version = OddsVersion(
                run_id=run.id,
                number=latest.number + 1 if latest else 1,
                document=document.to_json(),
                fallback=document.fallback.key,
                odds_hash=odds_hash(document.table()),
                starts_at=document.starts_at or (latest.starts_at if latest else now),
                epoch=epoch,
                published_at=now,
            )
            await repository.add_version(connection, version)
        await self._record_stock(connection, campaign_id, run, document, epoch=epoch, now=now)

    async def _record_stock(
        self,
        connection: AsyncConnection,
        campaign_id: int,
        run: Row[Any],
        document: CampaignDocument,
        *,
        epoch: int,
        now: datetime,
    ) -> None:
        stock = await self._effective_stock(connection, campaign_id, RunKind(run.kind), document)
        held = await repository.stock_in_force(connection, run.id)
        changed = {prize: units for prize, units in stock.items() if prize not in held or held[prize] != units}
        await repository.set_stock(connection, run.id, epoch=epoch, stock=changed, now=now)

    async def _effective_stock(
        self, connection: AsyncConnection, campaign_id: int, kind: RunKind, document: CampaignDocument
    ) -> dict[str, int | None]:
        """A pool bounds the stock of its prize; a test run reads no pool."""
        pools = await self._pools.pool_sizes(connection, campaign_id)
        stock: dict[str, int | None] = {}
        for prize in document.prizes:
            units = prize.stock
            if prize.codes == "pool" and (kind is RunKind.LIVE or units is None):
                size = pools.get(prize.key, 0)
                units = size if units is None else min(units, size)
            stock[prize.key] = units
        return stock

    async def _check_stock(
        self, connection: AsyncConnection, campaign_id: int, run_id: str, document: CampaignDocument
    ) -> None:
        highest = await self._units.highest_units(connection, run_id)
        stock = await self._effective_stock(connection, campaign_id, RunKind.LIVE, document)
        problems = []
        for position, prize in enumerate(document.prizes):
            units, issued = stock[prize.key], highest.get(prize.key, 0)
            if units is not None and units < issued:
                message = f"{issued} units are issued already; choose a stock of at least {issued}"
                problems.append(Problem(f"prizes[{position}].stock", message))
        if problems:
            raise InvalidInput("The stock cannot be lowered below what is issued.", problems=tuple(problems))

    def _check_game(self, document: CampaignDocument) -> None:
        problems = find_problems(self._games, document)
        if problems:
            raise InvalidInput("The game cannot show this campaign.", problems=problems)

    async def _row(self, connection: AsyncConnection, slug: str) -> Row[Any]:
        row = await repository.find_campaign(connection, slug)
        if row is None:
            raise CampaignNotFound
        return row

    async def _locked(self, connection: AsyncConnection, slug: str) -> tuple[Row[Any], Row[Any], Row[Any]]:
        """The campaign with its live and its test run, as they are once nobody else draws from them or changes them."""
        found = await self._row(connection, slug)
        locked: set[str] = set()
        while True:
            live = await repository.find_run(connection, found.id, RunKind.LIVE)
            test = await repository.find_run(connection, found.id, RunKind.TEST)
            if live is None or test is None:
                raise CampaignNotFound
            if locked == {live.id, test.id}:
                # Read after the locks were taken: a campaign may have ended while this waited for them.
                return await self._row(connection, slug), live, test
            locked = {live.id, test.id}
            await exclusive(connection, *locked)

    async def _locked_run(self, connection: AsyncConnection, campaign_id: int, kind: RunKind) -> Row[Any]:
        run = await repository.find_run(connection, campaign_id, kind)
        if run is None:
            raise CampaignNotFound
        await exclusive(connection, run.id)
        return run

    async def _summary(self, connection: AsyncConnection, row: Row[Any]) -> CampaignSummary:
        live = await repository.find_run(connection, row.id, RunKind.LIVE)
        if live is None:
            raise CampaignNotFound
        document = parse_document(row.document)
        version = await repository.latest_version(connection, live.id)
        stock = await repository.stock_in_force(connection, live.id)
        issued = await self._units.issued(connection, live.id)
        return CampaignSummary(
            slug=row.slug,
            phase=phase_at(row.state, document.starts_at, document.ends_at, self._clock.now()),
            document=document,
            version=version.number if version else None,
            commitment=live.commitment,
            odds_hash=version.odds_hash if version else None,
            seed=self._vault.unseal(live.seed).hex() if row.state == CampaignState.ENDED else None,
            prizes=tuple(
                PrizeStanding(prize, stock.get(prize.key, prize.stock), issued.get(prize.key, 0))
                for prize in document.prizes
            ),
            created_at=row.created_at,
            updated_at=row.updated_at,
            ended_at=row.ended_at,
        )


def _frozen(document: CampaignDocument) -> dict[str, Any]:
    """What an odds version freezes: everything but stock and what starts a conversation."""
    data = document.to_json()
    data.pop("triggers", None)
    for prize in data["prizes"]:
        prize.pop("stock", None)
    return data
