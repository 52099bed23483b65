"""From a channel account to the player's number, for many at once: the first step of every draw."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.clock import Clock
from gamekit.storage.bulk import Statement, transaction

REMEMBERED = 200_000
_ACCOUNT = {"channel": "text", "external_id": "text"}
_FIND = Statement(
    "SELECT players.channel, players.external_id, players.id FROM {rows} JOIN players "
    "ON players.channel = given.channel AND players.external_id = given.external_id",
    _ACCOUNT,
)
_ADD = Statement(
    "INSERT INTO players (channel, external_id, created_at) "
    "SELECT DISTINCT given.channel, given.external_id, given.at FROM {rows} WHERE true "
    "ON CONFLICT DO NOTHING RETURNING channel, external_id, id",
    _ACCOUNT | {"at": "timestamptz"},
)

Account = tuple[str, str]


class Resolver:
    """Finds or adds players, remembering the latest ones."""

    def __init__(self, sql: AsyncEngine, clock: Clock) -> None:
        self._sql = sql
        self._clock = clock
        self._known: OrderedDict[Account, int] = OrderedDict()

    def known(self, account: Account) -> int | None:
        """The number of a player met lately."""
        return self._known.get(account)

    def forget(self, account: Account) -> None:
        """After a player was erased."""
        self._known.pop(account, None)

    async def resolve(self, accounts: Sequence[Account]) -> tuple[dict[Account, int], set[Account]]:
        """The number of each account, and which of them were added by this very call: nobody has met those before."""
        wanted = sorted(set(accounts))
        async with transaction(self._sql) as driver:
            found = {(row[0], row[1]): row[2] for row in await driver.run(_FIND, list(zip(*wanted, strict=True)))}
            missing = [account for account in wanted if account not in found]
            added: dict[Account, int] = {}
            if missing:
                now = self._clock.now()
                rows = [(*account, now) for account in missing]
                added = {(row[0], row[1]): row[2] for row in await driver.run(_ADD, list(zip(*rows, strict=True)))}
                raced = [account for account in missing if account not in added]
                if raced:
                    again = await driver.run(_FIND, list(zip(*raced, strict=True)))
                    found |= {(row[0], row[1]): row[2] for row in again}
        found |= added
        self._known.update(found)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found, set(added)
