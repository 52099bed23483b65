"""Which browser a play link belongs to: the first that exchanged it."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.clock import Clock
from gamekit.errors import GamekitError
from gamekit.players.links import PlayLink
from gamekit.players.models import BoundLink
from gamekit.players.repository import ensure_player
from gamekit.storage.sql import is_postgres, reading, writing

bound_links: Table = BoundLink.__table__  # type: ignore[attr-defined]


class LinkBoundElsewhere(GamekitError):
    """This play link was first opened in another browser; ask for your own in the chat."""

    code = "link_bound_elsewhere"
    status = 403


class LinkBindings:
    """Binds play links to browsers."""

    def __init__(self, sql: AsyncEngine, clock: Clock) -> None:
        self._sql = sql
        self._clock = clock

    async def bind(self, link: PlayLink, browser: str) -> None:
        """Bind the link to this browser's secret, unless it is already bound to it.

        Raises `LinkBoundElsewhere` where another browser was first. Of two at once exactly one wins.
        """
        digest = sha256(browser.encode()).hexdigest()
        bound_to = select(bound_links.c.browser).where(bound_links.c.token_id == link.token_id)
        async with reading(self._sql) as connection:
            bound = await connection.scalar(bound_to)
        if bound is None:
            async with writing(self._sql) as connection:
                now = self._clock.now()
                player_id = await ensure_player(connection, link.channel, link.external_id, now)
                insert = postgresql.insert if is_postgres(connection) else sqlite.insert
                statement = insert(bound_links).values(
                    token_id=link.token_id,
                    browser=digest,
                    player_id=player_id,
                    bound_at=now,
                    expires_at=link.expires_at,
                )
                await connection.execute(statement.on_conflict_do_nothing())
                bound = await connection.scalar(bound_to)
        if bound != digest:
            raise LinkBoundElsewhere

    async def forget_expired(self) -> int:
        """Drop the bindings of links that no longer open anything; how many there were."""
        async with writing(self._sql) as connection:
            result = await connection.execute(delete(bound_links).where(bound_links.c.expires_at < self._clock.now()))
        return result.rowcount
