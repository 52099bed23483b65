"""The units of a run's prizes, counted from the ledger: for re-syncs, for changes of stock, and for the admin pages."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from sqlalchemy import Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.draws import statements
from gamekit.draws.ledger import draws
from gamekit.draws.models import UnitMark
from gamekit.storage.bulk import driver_of
from gamekit.storage.sql import writing

unit_marks: Table = UnitMark.__table__  # type: ignore[attr-defined]


class Units:
    """What the ledger says of units. Fulfils `gamekit.campaigns.service.IssuedUnits`."""

    def __init__(self, sql: AsyncEngine) -> None:
        self._sql = sql

    async def snapshot(
        self, connection: AsyncConnection, run: str, prizes: Iterable[str]
    ) -> tuple[bool, dict[str, tuple[int, list[int]]]]:
        """Whether the run has no draw at all, and per stocked prize the highest unit issued with the free ones below.

        Looks only at what was issued since the last mark, and moves the marks on. Call it under the exclusive lock.
        """
        first = select(draws.c.run_id).where(draws.c.run_id == run, ~draws.c.void).limit(1)
        fresh = (await connection.execute(first)).first() is None
        names = sorted(prizes)
        held = await connection.execute(select(unit_marks).where(unit_marks.c.run_id == run))
        marks: dict[str, tuple[int, list[int]]] = {row.prize: (row.upto, list(row.missing)) for row in held}
        if fresh or not names:
            return fresh, {name: (0, []) for name in names}
        driver = await driver_of(connection)
        upto = [marks.get(name, (0, []))[0] for name in names]
        rows = await driver.run(statements.UNITS_SINCE, [[run] * len(names), names, upto])
        units = {}
        for name, highest, since in rows:
            mark, missing = marks.get(name, (0, []))
            high = max(highest or 0, mark)
            if missing:
                back = await driver.run(statements.UNITS_AMONG, [[run] * len(missing), [name] * len(missing), missing])
                missing = sorted(set(missing) - {row[0] for row in back})
            if since < high - mark:
                found = await driver.run(statements.UNITS_ABOVE, [[run], [name], [mark]])
                missing += sorted(set(range(mark + 1, high + 1)) - {row[0] for row in found})
            units[name] = (high, missing)
        changed = [
            (run, name, high, missing) for name, (high, missing) in units.items() if marks.get(name) != (high, missing)
        ]
        if changed:
            encoded = [(*row[:3], orjson.dumps(row[3]).decode()) for row in changed]
            await driver.run(statements.SET_MARKS, list(zip(*encoded, strict=True)))
        return False, units

    async def advance_marks(self, run: str, prizes: Iterable[str]) -> None:
        """Looks through what was issued lately, so that the next re-sync has little to look through."""
        async with writing(self._sql) as connection:
            await self.snapshot(connection, run, prizes)

    async def highest_units(self, connection: AsyncConnection, run_id: str) -> dict[str, int]:
        """The highest unit issued of each stocked prize that has any."""
        statement = (
            select(draws.c.prize, func.max(draws.c.unit))
            .where(draws.c.run_id == run_id, ~draws.c.void, draws.c.unit.is_not(None))
            .group_by(draws.c.prize)
        )
        return {row[0]: row[1] for row in await connection.execute(statement)}

    async def issued(self, connection: AsyncConnection, run_id: str) -> dict[str, int]:
        """How many draws each prize came out in."""
        statement = (
            select(draws.c.prize, func.count()).where(draws.c.run_id == run_id, ~draws.c.void).group_by(draws.c.prize)
        )
        return {row[0]: row[1] for row in await connection.execute(statement)}

    async def wipe(self, connection: AsyncConnection, run_id: str) -> None:
        """Deletes every row of a run: for test runs only."""
        await connection.execute(delete(draws).where(draws.c.run_id == run_id))
        await connection.execute(delete(unit_marks).where(unit_marks.c.run_id == run_id))
