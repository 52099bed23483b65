"""I1 to I7 read off the ledger itself, with nothing remembered by the engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.campaigns import repository
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.release import local_day, released
from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.coupons.models import Coupon
from gamekit.draws.calls import Landed, alias
from gamekit.draws.ledger import draws
from gamekit.ids import draw_id
from gamekit.odds.pick import pick
from gamekit.players.models import Grant, Player
from gamekit.storage.sql import reading
from gamekit.storage.vault import Vault
from tests.faults.world import SECRET

SKEW = timedelta(seconds=2)
people: Table = Player.__table__  # type: ignore[attr-defined]


Said = tuple[tuple[str, str, str | None], ...]
"""Of each draw of a request: its id, prize and code."""


class Violation(AssertionError):
    """An invariant that does not hold."""


def must(holds: object, invariant: str, what: str) -> None:
    if not holds:
        raise Violation(f"{invariant}: {what}")


@dataclass(slots=True)
class Witness:
    """What the outside world was told about one run, and when the run was closed."""

    told: dict[tuple[str, str], Said] = field(default_factory=dict)
    """Per (source, key)."""
    closed: list[tuple[int, int | None]] = field(default_factory=list)
    """Epochs from which (and before which) nothing may be drawn."""

    def note(self, answer: Landed) -> None:
        """Every answer to one request must be the same, whoever gives it."""
        reservation = answer.reservation
        request = reservation.memo.source, reservation.memo.key
        said = tuple(
            (reservation.draw_id(index), outcome.prize, code)
            for index, (outcome, code) in enumerate(zip(reservation.outcomes, answer.codes, strict=True))
        )
        must(self.told.setdefault(request, said) == said, "I2", f"{request} was told {self.told[request]}, then {said}")

    def close(self, epoch: int) -> None:
        self.closed.append((epoch, None))

    def reopen(self, epoch: int) -> None:
        self.closed[-1] = (self.closed[-1][0], epoch)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A run as SQL has it."""

    run: str
    rows: list[Row[Any]]
    voids: list[Row[Any]]
    documents: dict[int, CampaignDocument]
    versions: list[Row[Any]]
    stock: list[Row[Any]]
    grants: Counter[int]
    codes: dict[tuple[str, int], str]
    live: bool

    def stock_at(self, prize: str, epoch: int) -> int | None:
        level: int | None = None
        for row in self.stock:
            if row.prize == prize and row.epoch <= epoch:
                level = row.stock
        return level

    def version_at(self, epoch: int) -> Row[Any]:
        return max((row for row in self.versions if row.epoch <= epoch), key=lambda row: row.number)


async def read(sql: AsyncEngine, slug: str, kind: RunKind) -> Ledger:
    async with reading(sql) as connection:
        return await _read(connection, slug, kind)


async def _read(connection: AsyncConnection, slug: str, kind: RunKind) -> Ledger:
    campaign = await repository.find_campaign(connection, slug)
    assert campaign is not None
    run = await repository.find_run(connection, campaign.id, kind)
    assert run is not None
    everything = select(draws).where(draws.c.run_id == run.id).order_by(draws.c.epoch, draws.c.seq)
    rows = (await connection.execute(everything)).all()
    versions = list(await repository.all_versions(connection, run.id))
    grants = Grant.__table__  # type: ignore[attr-defined]
    given = await connection.execute(
        select(grants.c.player_id, func.sum(grants.c.chances))
        .where(grants.c.run_id == run.id)
        .group_by(grants.c.player_id)
    )
    coupons = Coupon.__table__  # type: ignore[attr-defined]
    pool = await connection.execute(
        select(coupons.c.prize, coupons.c.unit, coupons.c.code).where(coupons.c.campaign_id == campaign.id)
    )
    return Ledger(
        run.id,
        [row for row in rows if not row.void],
        [row for row in rows if row.void],
        {row.number: parse_document(row.document) for row in versions},
        versions,
        list(await repository.stock_history(connection, run.id)),
        Counter({player: int(chances) for player, chances in given}),
        {(row.prize, row.unit): row.code for row in pool} if kind is RunKind.LIVE else {},
        kind is RunKind.LIVE,
    )


async def check(sql: AsyncEngine, slug: str, witness: Witness, kind: RunKind = RunKind.LIVE) -> Ledger:
    """Raises `Violation` for the first invariant that does not hold."""
    # While this reads, others may be told more.
    told = dict(witness.told)
    ledger = await read(sql, slug, kind)
    _units(ledger)
    _requests(ledger)
    _chances(ledger)
    _answers(ledger, told)
    async with reading(sql) as connection:
        view = await repository.load_view(connection, Vault(SECRET), slug, kind)
    assert view is not None
    _picks(ledger, view)
    _closed(ledger, witness)
    return ledger


def _units(ledger: Ledger) -> None:
    issued = Counter((row.prize, row.unit) for row in ledger.rows if row.unit is not None)
    must(not issued or max(issued.values()) == 1, "I1", f"a unit is issued twice: {issued.most_common(1)}")
    for row in ledger.rows:
        stock = ledger.stock_at(row.prize, row.epoch)
        if stock is None:
            must(row.unit is None, "I1", f"{row.prize} has no stock and issued unit {row.unit}")
            continue
        must(row.unit is not None and 1 <= row.unit <= stock, "I1", f"unit {row.unit} of {row.prize}, stock {stock}")
        version = ledger.version_at(row.epoch)
        document = ledger.documents[version.number]
        now = row.created_at + SKEW
        open_units = released(
            document.prize(row.prize).release,
            stock=stock,
            starts_at=version.starts_at,
            ends_at=document.ends_at,
            timezone=document.timezone,
            day_starts=document.chances.day_starts,
            now=now if ledger.live else max(now, version.starts_at),
        )
        must(row.unit <= open_units, "I1", f"unit {row.unit} of {row.prize} before its release ({open_units})")


def _requests(ledger: Ledger) -> None:
    requests: defaultdict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for row in ledger.rows:
        requests[row.source, row.key].append(row)
    for request, rows in requests.items():
        must([row.draw_index for row in rows] == list(range(len(rows))), "I2", f"{request} has draws {rows}")
        must(len({(row.epoch, row.nonce, row.body_hash) for row in rows}) == 1, "I2", f"{request} has two outcomes")
    landed, void = ({row.nonce for row in rows} for rows in (ledger.rows, ledger.voids))
    must(not landed & void, "I5", f"voided and landed: {landed & void}")


def _chances(ledger: Ledger) -> None:
    players: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in ledger.rows:
        players[row.player_id].append(row)
    for player, rows in players.items():
        chances = [row.chance for row in rows]
        must(len(set(chances)) == len(chances), "I3", f"player {player} used a chance twice: {chances}")
        granted = sum(row.granted for row in rows)
        must(
            granted <= ledger.grants[player], "I3", f"player {player} used {granted} of {ledger.grants[player]} grants"
        )
        _limits(ledger, player, rows)


def _limits(ledger: Ledger, player: int, rows: Iterable[Row[Any]]) -> None:
    base, won = 0, Counter[str]()
    days = Counter[int]()
    for row in rows:
        document = ledger.documents[row.version]
        chances = document.chances
        if not row.granted:
            base += 1
            must(
                chances.total is None or base <= chances.total, "I3", f"player {player} drew {base} of {chances.total}"
            )
            if chances.per_day is not None:
                days[row.day] += 1
                must(days[row.day] <= chances.per_day, "I3", f"player {player} drew {days[row.day]} times on {row.day}")
        if row.prize == document.fallback.key:
            continue
        won[row.prize] += 1
        cap, most = document.prize(row.prize).per_player, document.limits.wins_per_player
        must(
            cap is None or won[row.prize] <= cap,
            "I3",
            f"player {player} won {row.prize} {won[row.prize]} times, cap {cap}",
        )
        must(most is None or won.total() <= most, "I3", f"player {player} won {won.total()} times, limit {most}")


def _answers(ledger: Ledger, told: Mapping[tuple[str, str], Said]) -> None:
    found: defaultdict[tuple[str, str], list[tuple[str, str, str | None]]] = defaultdict(list)
    for row in ledger.rows:
        pooled = ledger.live and ledger.documents[row.version].prize(row.prize).codes == "pool"
        code = ledger.codes.get((row.prize, row.unit)) if pooled else None
        must(code or not pooled, "I4", f"unit {row.unit} of {row.prize} has no code")
        found[row.source, row.key].append((draw_id(row.run_id, row.epoch, row.seq, row.nonce), row.prize, code))
    for request, said in told.items():
        must(tuple(found[request]) == said, "I4", f"{request} was told {said}, the ledger has {found[request]}")
    codes = [code for said in found.values() for _, _, code in said if code]
    must(len(set(codes)) == len(codes), "I4", "one code belongs to two draws")


def _picks(ledger: Ledger, view: Any) -> None:
    for row in (*ledger.rows, *ledger.voids):
        document = ledger.documents[row.version]
        proven = pick(
            view.seed,
            document.table(),
            run=row.run_id,
            version=row.version,
            player=alias(view, row.player_id),
            source=row.source,
            key=row.key,
            index=row.draw_index,
        )
        must(row.picked == proven, "I6", f"picked {row.picked}, the seed picks {proven}")
        if row.reason is None:
            must(row.prize == row.picked, "I6", f"{row.picked} became {row.prize} without a reason")
        else:
            must(row.prize == document.fallback.key and row.unit is None, "I6", f"{row.reason} gave {row.prize}")


def _closed(ledger: Ledger, witness: Witness) -> None:
    for row in ledger.rows:
        version = ledger.version_at(row.epoch)
        must(
            row.version == version.number,
            "I7",
            f"version {row.version} in epoch {row.epoch} of version {version.number}",
        )
        for since, until in witness.closed:
            inside = row.epoch >= since and (until is None or row.epoch < until)
            must(not inside, "I7", f"a draw in epoch {row.epoch}, closed from {since} to {until}")


async def chances_of(sql: AsyncEngine, slug: str, kind: RunKind, player: str, now: datetime) -> int | None:
    """How many chances a player of the messenger channel has left, by the ledger; None without limit."""
    ledger = await read(sql, slug, kind)
    async with reading(sql) as connection:
        number = (
            await connection.execute(
                select(people.c.id).where(people.c.channel == "messenger", people.c.external_id == player)
            )
        ).scalar_one_or_none()
    document = ledger.documents[max(ledger.documents)]
    chances = document.chances
    mine = [row for row in ledger.rows if row.player_id == number]
    base = [row for row in mine if not row.granted]
    bounds = []
    if chances.total is not None:
        bounds.append(chances.total - len(base))
    if chances.per_day is not None:
        today = local_day(now, document.timezone, chances.day_starts)
        bounds.append(chances.per_day - sum(row.day == today for row in base))
    if not bounds:
        return None
    return max(min(bounds), 0) + ledger.grants[number or 0] - (len(mine) - len(base))
