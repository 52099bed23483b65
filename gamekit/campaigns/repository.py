"""SQL of campaigns, runs, odds versions and stock. Every function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.campaigns.locks import lock_key
from gamekit.campaigns.models import Campaign, CampaignState, OddsVersion, Run, RunKind, StockLevel
from gamekit.campaigns.schemas import parse_document
from gamekit.campaigns.views import RunView
from gamekit.storage.vault import Vault

campaigns: Table = Campaign.__table__  # type: ignore[attr-defined]
runs: Table = Run.__table__  # type: ignore[attr-defined]
versions: Table = OddsVersion.__table__  # type: ignore[attr-defined]
levels: Table = StockLevel.__table__  # type: ignore[attr-defined]


async def find_campaign(connection: AsyncConnection, slug: str) -> Row[Any] | None:
    return (await connection.execute(select(campaigns).where(campaigns.c.slug == slug))).one_or_none()


async def list_campaigns(connection: AsyncConnection) -> Sequence[Row[Any]]:
    return (
        await connection.execute(select(campaigns).order_by(campaigns.c.created_at.desc(), campaigns.c.id.desc()))
    ).all()


async def add_campaign(
    connection: AsyncConnection, *, slug: str, state: str, document: dict[str, Any], now: datetime
) -> int:
    statement = insert(campaigns).values(slug=slug, state=state, document=document, created_at=now, updated_at=now)
    return int((await connection.execute(statement.returning(campaigns.c.id))).scalar_one())


async def change_campaign(connection: AsyncConnection, campaign_id: int, **values: Any) -> None:
    await connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(**values))


async def add_run(connection: AsyncConnection, run: Run) -> None:
    await connection.execute(insert(runs).values(**run.model_dump()))


async def find_run(connection: AsyncConnection, campaign_id: int, kind: RunKind) -> Row[Any] | None:
    statement = select(runs).where(runs.c.campaign_id == campaign_id, runs.c.kind == kind)
    return (await connection.execute(statement)).one_or_none()


async def drop_run(connection: AsyncConnection, run_id: str) -> None:
    """Removes a run with its versions, stock levels and grants."""
    await connection.execute(delete(runs).where(runs.c.id == run_id))


async def bump_epoch(connection: AsyncConnection, run_id: str, *, above: int | None = None) -> int:
    """Starts a new epoch of the run and returns its number; above `above` where given. Hold the run's exclusive lock."""
    floor = runs.c.epoch if above is None else func.greatest(runs.c.epoch, above)
    if above is not None and connection.dialect.name == "sqlite":
        floor = func.max(runs.c.epoch, above)
    statement = update(runs).where(runs.c.id == run_id).values(epoch=floor + 1)
    return int((await connection.execute(statement.returning(runs.c.epoch))).scalar_one())


async def epoch_of(connection: AsyncConnection, run_id: str) -> int | None:
    return (await connection.execute(select(runs.c.epoch).where(runs.c.id == run_id))).scalar_one_or_none()


async def open_runs(connection: AsyncConnection) -> list[tuple[str, int]]:
    """(run id, epoch) of every run that may be drawn from."""
    statement = (
        select(runs.c.id, runs.c.epoch)
        .join(campaigns, campaigns.c.id == runs.c.campaign_id)
        .where(campaigns.c.state != CampaignState.ENDED)
    )
    return [(row.id, row.epoch) for row in await connection.execute(statement)]


async def latest_version(connection: AsyncConnection, run_id: str) -> Row[Any] | None:
    statement = select(versions).where(versions.c.run_id == run_id).order_by(versions.c.number.desc()).limit(1)
    return (await connection.execute(statement)).one_or_none()


async def find_version(connection: AsyncConnection, run_id: str, number: int | None) -> Row[Any] | None:
    """One odds version of a run, or with None the latest."""
    if number is None:
        return await latest_version(connection, run_id)
    statement = select(versions).where(versions.c.run_id == run_id, versions.c.number == number)
    return (await connection.execute(statement)).one_or_none()


async def all_versions(connection: AsyncConnection, run_id: str) -> Sequence[Row[Any]]:
    return (
        await connection.execute(select(versions).where(versions.c.run_id == run_id).order_by(versions.c.number))
    ).all()


async def add_version(connection: AsyncConnection, version: OddsVersion) -> None:
    await connection.execute(insert(versions).values(**version.model_dump()))


async def stock_in_force(connection: AsyncConnection, run_id: str) -> dict[str, int | None]:
    """Units in existence per prize of the run, as last set; None without limit."""
    rows = await connection.execute(select(levels).where(levels.c.run_id == run_id).order_by(levels.c.epoch))
    return {row.prize: row.stock for row in rows}


async def stock_history(connection: AsyncConnection, run_id: str) -> Sequence[Row[Any]]:
    statement = select(levels).where(levels.c.run_id == run_id).order_by(levels.c.epoch, levels.c.prize)
    return (await connection.execute(statement)).all()


async def set_stock(
    connection: AsyncConnection, run_id: str, *, epoch: int, stock: Mapping[str, int | None], now: datetime
) -> None:
    """Records the stock of some prizes from `epoch` on."""
    if stock:
        rows = [
            {"run_id": run_id, "prize": prize, "epoch": epoch, "stock": units, "changed_at": now}
            for prize, units in stock.items()
        ]
        await connection.execute(insert(levels), rows)


async def load_view(connection: AsyncConnection, vault: Vault, slug: str, kind: RunKind) -> RunView | None:
    """The run of a campaign as it stands now; None where there is no such campaign."""
    run_columns = [
        runs.c[name].label(f"run_{name}") for name in ("id", "epoch", "seed", "commitment", "alias_key", "created_at")
    ]
    statement = (
        select(campaigns, *run_columns)
        .join(runs, runs.c.campaign_id == campaigns.c.id)
        .where(campaigns.c.slug == slug, runs.c.kind == kind)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    version = await latest_version(connection, row.run_id)
    fallbacks = await connection.execute(
        select(versions.c.number, versions.c.fallback).where(versions.c.run_id == row.run_id)
    )
    document = parse_document(version.document if version else row.document)
    return RunView(
        campaign_id=row.id,
        slug=row.slug,
        state=row.state,
        run=row.run_id,
        kind=kind,
        epoch=row.run_epoch,
        seed=vault.unseal(row.run_seed),
        commitment=row.run_commitment,
        alias_key=vault.unseal(row.run_alias_key),
        version=version.number if version else 0,
        odds_hash=version.odds_hash if version else "",
        document=document,
        starts_at=version.starts_at if version else row.run_created_at,
        stock=await stock_in_force(connection, row.run_id),
        lock=lock_key(row.run_id),
        table=document.table(),
        fallback=document.fallback.key,
        rules={prize.key: prize for prize in document.prizes},
        fallbacks=dict(map(tuple, fallbacks)),
        pooled=frozenset(prize.key for prize in document.prizes if prize.codes == "pool"),
    )
