"""The draw engine as one process holds it, over servers that a test names, with a clock and an entropy that a test sets."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256, shake_256
from typing import Any

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.campaigns.service import Campaigns
from gamekit.campaigns.views import RunView
from gamekit.clock import Clock
from gamekit.coupons.repository import Pools
from gamekit.coupons.service import Coupons
from gamekit.draws.book import Book
from gamekit.draws.engine import Engine
from gamekit.draws.gate import Gate
from gamekit.draws.ledger import Ledger
from gamekit.draws.owed import Debts
from gamekit.draws.recovery import Recovery
from gamekit.draws.service import Drawn, Draws, Refused
from gamekit.draws.units import Units
from gamekit.entropy import Entropy, SystemEntropy
from gamekit.players.resolver import Resolver
from gamekit.players.service import Players
from gamekit.registry import load_games
from gamekit.storage.redis import open_redis
from gamekit.storage.sql import open_database
from gamekit.storage.vault import Vault

SECRET = "s" * 40
"""What vaults of tests are locked with."""
SLUG = "spring"
CHANNEL = "messenger"


@dataclass(slots=True)
class SetClock:
    """A clock that stands still until a test moves it."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def move(self, by: timedelta) -> None:
        self.moment += by


class SeededEntropy:
    """Bytes that follow from a seed, so that a test of chance sees the same draws at every run."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._reads = 0

    def bytes(self, length: int) -> bytes:
        self._reads += 1
        return shake_256(f"{self._seed}/{self._reads}".encode()).digest(length)


class Process:
    """What one process holds between its routes and its servers. Several over the same servers are several processes."""

    def __init__(
        self,
        sql_url: str,
        redis_url: str,
        *,
        clock: Clock,
        entropy: Entropy | None = None,
        connected: Collection[str] = (CHANNEL,),
        reservation_seconds: int = 8,
    ) -> None:
        entropy, vault, games = entropy or SystemEntropy(), Vault(SECRET), load_games()
        self.sql = open_database(sql_url, pool_size=4)
        self.redis = open_redis(redis_url)
        self.gate, self.ledger, self.units = Gate(self.redis), Ledger(self.sql), Units(self.sql)
        self.book, self.resolver = Book(self.sql, vault), Resolver(self.sql, clock)
        self.recovery = Recovery(
            self.sql, book=self.book, gate=self.gate, ledger=self.ledger, units=self.units, clock=clock
        )
        self.engine = Engine(
            book=self.book,
            gate=self.gate,
            ledger=self.ledger,
            recovery=self.recovery,
            resolver=self.resolver,
            clock=clock,
            entropy=entropy,
            owed=Debts(connected).owed,
            reservation_seconds=reservation_seconds,
        )
        self.draws = Draws(
            self.sql,
            engine=self.engine,
            book=self.book,
            ledger=self.ledger,
            resolver=self.resolver,
            clock=clock,
            games=games,
        )
        self.campaigns = Campaigns(
            self.sql, vault=vault, clock=clock, entropy=entropy, games=games, units=self.units, pools=Pools()
        )
        self.coupons = Coupons(self.sql, clock, self.campaigns)
        self.players = Players(self.sql, clock)

    async def open(self, document: CampaignDocument, *, codes: Mapping[str, int] | None = None) -> None:
        """Saves and publishes a campaign, with so many codes in the pools of its prizes."""
        await self.campaigns.apply(document)
        for prize, number in (codes or {}).items():
            await self.add_codes(prize, 1, number, slug=document.slug)
        await self.campaigns.publish(document.slug)

    async def add_codes(self, prize: str, first: int, last: int, *, slug: str = SLUG) -> None:
        """Imports the codes <PRIZE>-<first> to <PRIZE>-<last>, in this order."""
        lines = "".join(f"{prize.upper()}-{number}\n" for number in range(first, last + 1))
        await self.coupons.import_codes(slug, prize, io.BytesIO(lines.encode()))

    async def draw(
        self,
        player: str,
        key: str,
        count: int = 1,
        *,
        slug: str = SLUG,
        kind: RunKind = RunKind.LIVE,
        channel: str = CHANNEL,
        source: str | None = "api:1",
    ) -> Drawn | Refused:
        """One request, with a body hash that follows from what is asked, as the routes make it."""
        asked = sha256(f"{channel}/{player}/{count}".encode()).hexdigest()[:32]
        return await self.draws.draw(
            slug, kind, channel=channel, external_id=player, source=source, key=key, count=count, body_hash=asked
        )

    async def drawn(self, player: str, key: str, count: int = 1, **options: Any) -> Drawn:
        """A request that must be answered with draws."""
        answer = await self.draw(player, key, count, **options)
        assert isinstance(answer, Drawn), answer
        return answer

    async def refused(self, player: str, key: str, count: int = 1, **options: Any) -> Refused:
        """A request that must be refused."""
        answer = await self.draw(player, key, count, **options)
        assert isinstance(answer, Refused), answer
        return answer

    async def grant(self, player: str, chances: int, reason: str, *, slug: str = SLUG) -> None:
        """Gives a player chances in the live run."""
        await self.players.grant(
            slug, RunKind.LIVE, channel=CHANNEL, external_id=player, chances=chances, reason_key=reason
        )

    async def view(self, kind: RunKind = RunKind.LIVE, *, slug: str = SLUG) -> RunView:
        """The run as it is now, with its seed."""
        return await self.book.reload((slug, kind))

    async def export(self, kind: RunKind = RunKind.LIVE, *, slug: str = SLUG) -> list[bytes]:
        """The lines of the run's exported ledger."""
        return b"".join([chunk async for chunk in self.draws.export(slug, kind)]).splitlines()

    async def close(self) -> None:
        """Ends the draws under way, then the connections."""
        await self.engine.close()
        await self.redis.aclose()
        await self.sql.dispose()


@contextlib.asynccontextmanager
async def process(sql_url: str, redis_url: str, **options: Any) -> AsyncIterator[Process]:
    """A `Process`, closed at the end."""
    one = Process(sql_url, redis_url, **options)
    try:
        yield one
    finally:
        await one.close()


def campaign(
    prizes: list[dict[str, Any]], *, slug: str = SLUG, fallback: dict[str, Any] | None = None, **fields: Any
) -> CampaignDocument:
    """A campaign of these prizes and a fallback; a prize is a gift of weight 1 unless it says otherwise.

    The fallback has weight 0, so that it comes out only instead of another prize.
    """
    common = {"kind": "gift", "name": {"en": "A prize"}, "weight": 1}
    thanks = {"key": "thanks", "kind": "nothing", "name": {"en": "Thank you"}, "weight": 0, "fallback": True}
    return parse_document(
        {
            "slug": slug,
            "game": "wheel",
            "timezone": "Asia/Taipei",
            "name": {"en": "Spring"},
            **fields,
            "prizes": [*({**common, **prize} for prize in prizes), {**thanks, **(fallback or {})}],
        }
    )
