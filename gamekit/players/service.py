"""What bots and marketers do to players: look them up, tag them, give them chances.

A player comes into being when first drawn for, tagged or granted something. A grant is an entry in SQL and nothing else:
the gate may not know of it yet, and no refusal for want of chances is told before SQL was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gamekit.campaigns.models import CampaignState, RunKind
from gamekit.campaigns.repository import find_campaign, find_run
from gamekit.clock import Clock
from gamekit.errors import CampaignNotFound, Conflict, KeyReused, PlayerNotFound
from gamekit.players import repository
from gamekit.storage.sql import reading, writing


@dataclass(frozen=True, slots=True)
class PlayerView:
    """A player as another program sees them."""

    channel: str
    external_id: str
    locale: str | None
    tags: tuple[str, ...]
    window_expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Granted:
    """What stands for a reason after a grant; `added` is False where it had been given before."""

    chances: int
    added: bool


class Players:
    """The players of one database."""

    def __init__(self, sql: AsyncEngine, clock: Clock) -> None:
        self._sql = sql
        self._clock = clock

    async def find(self, channel: str, external_id: str) -> PlayerView | None:
        """The player, where one is known."""
        async with reading(self._sql) as connection:
            row = await repository.find_player(connection, channel, external_id)
            return None if row is None else await self._view(connection, row)

    async def get(self, channel: str, external_id: str) -> PlayerView:
        """The player. Raises `PlayerNotFound`."""
        found = await self.find(channel, external_id)
        if found is None:
            raise PlayerNotFound
        return found

    async def tag(self, channel: str, external_id: str, tag: str) -> PlayerView:
        """Puts a tag on a player, who need not be known yet; a tag already there stays."""
        async with writing(self._sql) as connection:
            player = await repository.ensure_player(connection, channel, external_id, self._clock.now())
            await repository.add_tag(connection, player, tag, self._clock.now())
        return await self.get(channel, external_id)

    async def untag(self, channel: str, external_id: str, tag: str) -> PlayerView:
        """Takes a tag off a player; one that is not there stays away. Raises `PlayerNotFound`."""
        async with writing(self._sql) as connection:
            row = await repository.find_player(connection, channel, external_id)
            if row is None:
                raise PlayerNotFound
            await repository.drop_tag(connection, row.id, tag)
        return await self.get(channel, external_id)

    async def grant(
        self, slug: str, kind: RunKind, *, channel: str, external_id: str, chances: int, reason_key: str
    ) -> Granted:
        """Gives a player chances for a reason, once per reason in each run.

        Raises `CampaignNotFound`, `Conflict` where the campaign has ended, and `KeyReused` where the reason was used
        before for another number of chances.
        """
        now = self._clock.now()
        async with writing(self._sql) as connection:
            campaign = await find_campaign(connection, slug)
            run = None if campaign is None else await find_run(connection, campaign.id, kind)
            if campaign is None or run is None:
                raise CampaignNotFound
            if campaign.state == CampaignState.ENDED:
                raise Conflict("This campaign has ended; its chances count for nothing any more.")
            player = await repository.ensure_player(connection, channel, external_id, now)
            added = await repository.add_grant(
                connection, run_id=run.id, player_id=player, reason_key=reason_key, chances=chances, now=now
            )
            if not added:
                held = await repository.find_grant(connection, run_id=run.id, player_id=player, reason_key=reason_key)
                if held != chances:
                    raise KeyReused(
                        f"This reason_key already gave this player {held} chances; use a new one for another grant."
                    )
        return Granted(chances, added)

    async def _view(self, connection: AsyncConnection, row: Row[tuple[object, ...]]) -> PlayerView:
        held = await repository.list_tags(connection, row.id)
        return PlayerView(row.channel, row.external_id, row.locale, tuple(held), row.window_expires_at, row.created_at)
