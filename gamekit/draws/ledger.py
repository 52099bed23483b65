"""The ledger: SQL makes it true. Commits take a batch in one transaction; unique indexes prove each right is used once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.clock import from_micros, micros
from gamekit.draws import statements
from gamekit.draws.gate import PlayerTruth
from gamekit.draws.models import Draw
from gamekit.draws.reservations import NAMELESS, Memo, Outcome, Reservation
from gamekit.storage.bulk import Driver, Statement, is_bad_row, is_collision, is_taken, transaction
from gamekit.storage.sql import reading

draws: Table = Draw.__table__  # type: ignore[attr-defined]

ledger_row = tuple(draws.c[name] for name in (*statements.SHARED, *statements.ROW))
"""The columns that `reservation_from` reads, in its order."""

COLLISION_TRIES = 10


class Verdict(StrEnum):
    """What became of a reservation that was put to the ledger."""

    LANDED = "landed"
    """Its draws are in the ledger."""
    KEY_TAKEN = "key_taken"
    """Another reservation of the same request is in the ledger."""
    VOIDED = "voided"
    """Its stamp holds a void: it can never land."""
    STALE = "stale"
    """The run is in another epoch."""
    MISTRUSTED = "mistrusted"
    """A number it holds is used already: the gate is wrong."""
    REJECTED = "rejected"
    """The database refused the data."""


class UncertainCommit(Exception):
    """Whether the commit happened is not known."""


Unit = tuple[int, str, int]
"""A unit of stock: campaign id, prize key, unit number."""


class MissingCode(ValueError):
    """A unit of a pooled prize has no code in the pool."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery that a draw owes."""

    channel: str
    kind: str
    body: dict[str, Any]


class Entry(NamedTuple):
    """A reservation to commit, with what else the transaction needs of its run."""

    reservation: Reservation
    lock: int
    campaign_id: int
    pooled: frozenset[str]
    """Prizes whose units carry a code."""
    owed: tuple[Owed, ...]

    def coded_units(self) -> list[Unit]:
        return [
            (self.campaign_id, outcome.prize, outcome.unit)
            for outcome in self.reservation.outcomes
            if outcome.unit is not None and outcome.prize in self.pooled
        ]


class Ledger:
    """The draws of every run, in one database."""

    def __init__(self, sql: AsyncEngine) -> None:
        self._sql = sql

    async def commit(self, entries: Sequence[Entry], now: datetime) -> tuple[list[Verdict], dict[Unit, str]]:
        """Commits what can be, in one transaction; says what became of each entry, and the codes of what landed.

        Committing the same reservation again is harmless: its stamp lands once. A batch with a bad row is halved until
        the row stands alone. Raises `UncertainCommit` where the database did not answer: then nothing may be released
        before `void`.
        """
        insert = statements.INSERT_DRAWS
        for _ in range(COLLISION_TRIES):
            try:
                return await self._commit(entries, now, insert)
            except Exception as error:
                if is_taken(error):
                    insert = statements.INSERT_FREE_DRAWS
                    continue
                if is_collision(error):
                    continue
                if not is_bad_row(error):
                    raise UncertainCommit(str(error)) from error
                if len(entries) == 1:
                    return [Verdict.REJECTED], {}
                middle = len(entries) // 2
                verdicts, codes = await self.commit(entries[:middle], now)
                more_verdicts, more_codes = await self.commit(entries[middle:], now)
                return verdicts + more_verdicts, codes | more_codes
        raise UncertainCommit("the database stayed busy")

    async def _commit(
        self, entries: Sequence[Entry], now: datetime, insert: Statement
    ) -> tuple[list[Verdict], dict[Unit, str]]:
        reservations = [entry.reservation for entry in entries]
        async with transaction(self._sql) as driver:
            await driver.begin({entry.lock for entry in entries})
            mine = await _insert(driver, insert, reservations, void=False)
            if len(mine) == sum(len(item.outcomes) for item in reservations):
                verdicts = [Verdict.LANDED] * len(entries)
                owing = entries
            else:
                verdicts = await self._judge(driver, entries, mine)
                owing = [entry for entry in entries if _stamp(entry.reservation) in mine]
            await _add_deliveries(driver, owing, now)
            landed = [entry for entry, verdict in zip(entries, verdicts, strict=True) if verdict is Verdict.LANDED]
            units = [unit for entry in landed if entry.pooled for unit in entry.coded_units()]
            codes = await _codes(driver, units)
            if len(codes) < len(units):
                raise MissingCode
            await driver.commit()
        return verdicts, codes

    async def _judge(self, driver: Driver, entries: Sequence[Entry], mine: set[tuple[str, int, int]]) -> list[Verdict]:
        """Why some rows did not land. Takes half-landed requests back out, here in the same transaction."""
        verdicts: list[Verdict | None] = []
        partial: list[tuple[str, int, int]] = []
        for entry in entries:
            reservation = entry.reservation
            run, epoch, seq = _stamp(reservation)
            stamps = [(run, epoch, seq + index) for index in range(len(reservation.outcomes))]
            landed = [stamp for stamp in stamps if stamp in mine]
            verdicts.append(Verdict.LANDED if len(landed) == len(stamps) else None)
            if landed and len(landed) < len(stamps):
                partial += landed
                mine.difference_update(landed)
        if partial:
            await driver.run(statements.DELETE_DRAWS, list(zip(*partial, strict=True)))
        open_ones = [place for place, verdict in enumerate(verdicts) if verdict is None]
        reservations = [entries[place].reservation for place in open_ones]
        stamped = await _stamped(driver, reservations)
        keys = [(item.run, item.memo.source, item.memo.key) for item in reservations]
        taken = {tuple(row) for row in await driver.run(statements.TAKEN_KEYS, list(zip(*keys, strict=True)))}
        runs = sorted({item.run for item in reservations})
        epochs = {row[0]: row[1] for row in await driver.run(statements.EPOCHS, [runs])}
        for place, item, key in zip(open_ones, reservations, keys, strict=True):
            holder = stamped.get((item.run, item.epoch, item.seq))
            if holder == (item.nonce, False):
                verdicts[place] = Verdict.LANDED
            elif key in taken:
                verdicts[place] = Verdict.KEY_TAKEN
            elif holder == (item.nonce, True):
                verdicts[place] = Verdict.VOIDED
            elif epochs.get(item.run) != item.epoch:
                verdicts[place] = Verdict.STALE
            else:
                verdicts[place] = Verdict.MISTRUSTED
        return [verdict for verdict in verdicts if verdict is not None]

    async def void(self, reservations: Sequence[Reservation]) -> list[bool]:
        """Makes sure that none of these can land any more, and says which had landed before."""
        for _ in range(COLLISION_TRIES):
            try:
                async with transaction(self._sql) as driver:
                    await driver.begin()
                    await _insert(driver, statements.INSERT_VOIDS, reservations, void=True)
                    stamped = await _stamped(driver, reservations)
                    await driver.commit()
            except Exception as error:
                nameless = len(reservations) == 1 and reservations[0].memo.key == NAMELESS
                if is_bad_row(error) and not nameless:
                    return await self._void_one_by_one(reservations)
                if not is_collision(error):
                    raise
            else:
                return [stamped.get((item.run, item.epoch, item.seq)) == (item.nonce, False) for item in reservations]
        raise UncertainCommit("the database stayed busy")

    async def _void_one_by_one(self, reservations: Sequence[Reservation]) -> list[bool]:
        """Voids of which one holds what the database refuses: that one is written without it, as only its stamp matters."""
        if len(reservations) > 1:
            return [(await self.void([reservation]))[0] for reservation in reservations]
        refused = reservations[0]
        memo = refused.memo._replace(source=NAMELESS, key=NAMELESS, body_hash=NAMELESS)
        return await self.void([refused._replace(memo=memo)])

    async def last_number(self, run: str, epoch: int) -> int:
        """The highest number of this epoch in the ledger, voids too; 0 where there is none."""
        highest = select(func.max(draws.c.seq)).where(draws.c.run_id == run, draws.c.epoch == epoch)
        async with reading(self._sql) as connection:
            return (await connection.execute(highest)).scalar() or 0

    async def requests(self, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Reservation]:
        """The landed requests among these (run, source, key)."""
        async with transaction(self._sql) as driver:
            return _group(await driver.run(statements.REQUESTS, list(zip(*keys, strict=True))))

    async def codes(self, units: Sequence[Unit]) -> dict[Unit, str]:
        """The coupon codes of these units."""
        async with transaction(self._sql) as driver:
            return await _codes(driver, units)

    async def truths(
        self, run: str, player_ids: Sequence[int], *, day: int, fallbacks: Mapping[int, str]
    ) -> dict[int, PlayerTruth]:
        """What each of these players has used by now, with what they were granted.

        `fallbacks` names each odds version's fallback: any other prize is a win of the player.
        """
        async with transaction(self._sql) as driver:
            count = len(player_ids)
            columns = [[run] * count, player_ids, [day] * count]
            used = await driver.run(statements.USED, columns)
            granted = await driver.run(statements.GRANTED, columns[:2])
            gaps: dict[int, list[tuple[int, int | None, int | None]]] = {}
            if any(row[2] != row[3] or row[5] != row[6] for row in _totals(used)):
                for player_id, *numbers in await driver.run(statements.NUMBERS, columns[:2]):
                    gaps.setdefault(player_id, []).append((numbers[0], numbers[1], numbers[2]))
        grants = {row[0]: int(row[1]) for row in granted}
        truths = {player_id: PlayerTruth(day=day, grants=grants.get(player_id, 0)) for player_id in player_ids}
        caps: dict[int, dict[str, int]] = {}
        for row in used:
            player_id, prize, version = row[0], row[1], row[2]
            if prize != fallbacks[version]:
                wins = caps.setdefault(player_id, {})
                wins[prize] = wins.get(prize, 0) + int(row[3])
        for player_id, _, drawn, high, from_grants, today, day_high in _totals(used):
            taken = gaps.get(player_id, [])
            chances = {number for number, _, _ in taken}
            today_taken = {number for _, on, number in taken if on == day}
            won = caps.get(player_id, {})
            truths[player_id] = PlayerTruth(
                high=high,
                free=() if drawn == high else tuple(n for n in range(1, high + 1) if n not in chances),
                granted=from_grants,
                day=day,
                day_high=day_high,
                day_free=() if today == day_high else tuple(n for n in range(1, day_high + 1) if n not in today_taken),
                wins=sum(won.values()),
                caps=won,
                grants=grants.get(player_id, 0),
            )
        return truths


async def _insert(
    driver: Driver, statement: Statement, reservations: Sequence[Reservation], *, void: bool
) -> set[tuple[str, int, int]]:
    """Inserts reservations sorted by stamp, so that batches never deadlock; returns the stamps that went in."""
    went_in: set[tuple[str, int, int]] = set()
    for (run, epoch, version, created_us), group in groupby(sorted(reservations, key=_kin_and_stamp), key=_kin):
        rows = [
            (
                item.seq + index,
                item.nonce,
                item.memo.source,
                item.memo.key,
                index,
                item.memo.body_hash,
                item.player_id,
                outcome.chance,
                outcome.granted,
                outcome.day,
                outcome.day_number,
                item.memo.picks[index],
                outcome.prize,
                outcome.unit,
                outcome.reason,
            )
            for item in group
            for index, outcome in enumerate(item.outcomes)
        ]
        landed = await driver.run(
            statement,
            list(zip(*rows, strict=True)),
            run_id=run,
            epoch=epoch,
            version=version,
            created_at=from_micros(created_us),
            void=void,
        )
        went_in.update((run, epoch, row[0]) for row in landed)
    return went_in


def _kin(item: Reservation) -> tuple[str, int, int, int]:
    return item.run, item.epoch, item.memo.version, item.memo.created_us


def _kin_and_stamp(item: Reservation) -> tuple[str, int, int, int, int]:
    return item.run, item.epoch, item.memo.version, item.memo.created_us, item.seq


def _stamp(item: Reservation) -> tuple[str, int, int]:
    return item.run, item.epoch, item.seq


async def _stamped(driver: Driver, reservations: Sequence[Reservation]) -> dict[tuple[str, int, int], tuple[str, bool]]:
    """Who holds each reservation's first stamp: (nonce, whether it is a void)."""
    stamps = list(zip(*(_stamp(item) for item in reservations), strict=True))
    rows = await driver.run(statements.STAMPED, stamps)
    return {(row[0], row[1], row[2]): (row[3], bool(row[4])) for row in rows}


async def _codes(driver: Driver, units: Sequence[Unit]) -> dict[Unit, str]:
    if not units:
        return {}
    rows = await driver.run(statements.CODES, list(zip(*units, strict=True)))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def _add_deliveries(driver: Driver, entries: Sequence[Entry], now: datetime) -> None:
    rows = [
        (owed.channel, entry.reservation.player_id, owed.kind, orjson.dumps(owed.body).decode(), now)
        for entry in entries
        for owed in entry.owed
    ]
    if rows:
        await driver.run(statements.INSERT_DELIVERIES, list(zip(*rows, strict=True)))


def _group(rows: Sequence[Sequence[Any]]) -> dict[tuple[str, str, str], Reservation]:
    """Rows of `statements.REQUESTS`, which come sorted by request and index, put together again."""
    together: dict[tuple[str, str, str], list[Sequence[Any]]] = {}
    for row in rows:
        together.setdefault((row[0], row[7], row[8]), []).append(row)
    return {key: reservation_from(group) for key, group in together.items()}


def reservation_from(rows: Sequence[Any]) -> Reservation:
    """A request as it was reserved, from its ledger rows in the order of their index."""
    run, epoch, version, created, _, seq, nonce, source, key, index, body_hash, player_id = rows[0][:12]
    return Reservation(
        run,
        epoch,
        nonce,
        seq - index,
        player_id,
        Memo(
            source,
            key,
            body_hash,
            version,
            created if isinstance(created, int) else micros(created),
            tuple(row[16] for row in rows),
            "",
        ),
        tuple(Outcome(row[12], bool(row[13]), row[14], row[15], row[18], row[17], row[19]) for row in rows),
    )


def _totals(used: Sequence[Sequence[Any]]) -> list[tuple[int, None, int, int, int, int, int]]:
    """Rows of `statements.USED`, which come per player, prize and version, added up per player."""
    sums: dict[int, list[int]] = {}
    for player_id, _, _, drawn, high, granted, today, day_high in used:
        total = sums.setdefault(player_id, [0, 0, 0, 0, 0])
        total[0] += drawn
        total[1] = max(total[1], high)
        total[2] += granted
        total[3] += today
        total[4] = max(total[4], day_high)
    return [(player_id, None, *total) for player_id, total in sums.items()]  # type: ignore[misc]
