"""gamekit's draw engine as a process would build it, over real servers that a test may break."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.engine import make_url

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.campaigns.service import Campaigns
from gamekit.campaigns.views import RunView
from gamekit.coupons.repository import Pools
from gamekit.coupons.service import Coupons
from gamekit.draws.book import Book
from gamekit.draws.calls import Answer, Landed
from gamekit.draws.engine import Engine
from gamekit.draws.export import export_lines
from gamekit.draws.gate import Gate
from gamekit.draws.ledger import Ledger
from gamekit.draws.owed import Debts
from gamekit.draws.recovery import Recovery
from gamekit.draws.units import Units
from gamekit.entropy import SystemEntropy
from gamekit.players.resolver import Resolver
from gamekit.players.service import Players
from gamekit.registry import load_games
from gamekit.storage.redis import open_redis
from gamekit.storage.sql import open_database
from gamekit.storage.vault import Vault
from gamekit.testing.proxy import Proxy, proxied
from gamekit.testing.servers import ValkeyServer

SECRET = "a secret of the fault runs, long enough"
SOURCE = "api:1"
RESERVATION_SECONDS = 1
GAMES = load_games()


@dataclass(slots=True)
class ShiftedClock:
    """The machine's time, moved by as much as a test likes."""

    offset: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


@dataclass(slots=True)
class App:
    """What one process holds. Several of them over the same databases are several processes."""

    sql_url: str
    redis_url: str
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    gate_class: type[Gate] = Gate
    ledger_class: type[Ledger] = Ledger
    pool_size: int = 4
    sql_proxy: Proxy | None = None
    redis_proxy: Proxy | None = None

    def __post_init__(self) -> None:
        vault, entropy = Vault(SECRET), SystemEntropy()
        self.sql = open_database(self.sql_url, pool_size=self.pool_size)
        self.redis = open_redis(self.redis_url)
        self.gate, self.ledger = self.gate_class(self.redis), self.ledger_class(self.sql)
        self.book = Book(self.sql, vault)
        units = Units(self.sql)
        self.recovery = Recovery(
            self.sql, book=self.book, gate=self.gate, ledger=self.ledger, units=units, clock=self.clock
        )
        self.engine = Engine(
            book=self.book,
            gate=self.gate,
            ledger=self.ledger,
            recovery=self.recovery,
            resolver=Resolver(self.sql, self.clock),
            clock=self.clock,
            entropy=entropy,
            owed=Debts({"messenger"}).owed,
            reservation_seconds=RESERVATION_SECONDS,
        )
        self.campaigns = Campaigns(
            self.sql,
            vault=vault,
            clock=self.clock,
            entropy=entropy,
            games=GAMES,
            units=units,
            pools=Pools(),
        )
        self.coupons = Coupons(self.sql, self.clock, self.campaigns)
        self.players = Players(self.sql, self.clock)

    sql: Any = field(init=False)
    redis: Any = field(init=False)
    gate: Gate = field(init=False)
    ledger: Ledger = field(init=False)
    book: Book = field(init=False)
    recovery: Recovery = field(init=False)
    engine: Engine = field(init=False)
    campaigns: Campaigns = field(init=False)
    coupons: Coupons = field(init=False)
    players: Players = field(init=False)

    async def draw(
        self, slug: str, player: str, key: str, count: int = 1, *, kind: RunKind = RunKind.LIVE, body: str | None = None
    ) -> Answer:
        """One request of a player, from the one API client there is."""
        return await self.engine.draw(
            (slug, kind),
            ("messenger", player),
            source=SOURCE,
            key=key,
            count=count,
            body_hash=f"{player}/{count}" if body is None else body,
        )

    async def landed(self, slug: str, player: str, key: str, count: int = 1) -> Landed:
        """A draw that must succeed."""
        answer = await self.draw(slug, player, key, count)
        assert isinstance(answer, Landed), answer
        return answer

    async def start(self, document: CampaignDocument, *, codes: dict[str, int] | None = None) -> str:
        """Saves and publishes a campaign, with so many codes in the pools of its prizes."""
        await self.campaigns.apply(document)
        for prize, number in (codes or {}).items():
            await self.add_codes(document.slug, prize, 0, number)
        await self.campaigns.publish(document.slug)
        return document.slug

    async def add_codes(self, slug: str, prize: str, first: int, number: int) -> None:
        lines = "".join(f"{slug}-{prize}-{place:06}\n" for place in range(first, first + number))
        await self.coupons.import_codes(slug, prize, io.BytesIO(lines.encode()))

    async def view(self, slug: str, kind: RunKind = RunKind.LIVE) -> RunView:
        return await self.book.reload((slug, kind))

    async def export(self, slug: str, kind: RunKind = RunKind.LIVE) -> list[bytes]:
        chunks = [chunk async for chunk in export_lines(self.sql, self.book, slug, kind)]
        return b"".join(chunks).splitlines()

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.engine.close()
        await self.redis.aclose()
        await self.sql.dispose()


@contextlib.asynccontextmanager
async def running(sql_url: str, redis_url: str, **options: Any) -> AsyncIterator[App]:
    """One process, closed at the end."""
    app = App(sql_url, redis_url, **options)
    try:
        yield app
    finally:
        await app.close()


@contextlib.asynccontextmanager
async def recovering(app: App) -> AsyncIterator[None]:
    """The app's recovery at work in the background, as in a server."""
    task = asyncio.create_task(app.recovery.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextmanager
def breakable(sql_url: str, valkey: ValkeyServer) -> Iterator[dict[str, Any]]:
    """Options of `App` under which its connections go through proxies (SQLite has none)."""
    with ExitStack() as stack:
        redis_proxy = stack.enter_context(proxied(valkey.host, valkey.port))
        options: dict[str, Any] = {
            "sql_url": sql_url,
            "redis_url": f"redis://{redis_proxy.host}:{redis_proxy.port}/0",
            "redis_proxy": redis_proxy,
        }
        url = make_url(sql_url)
        if url.drivername.startswith("postgresql"):
            port = int(str(url.query.get("port") or url.port))
            sql_proxy = stack.enter_context(proxied("127.0.0.1", port))
            through = url.set(host=sql_proxy.host, port=sql_proxy.port, query={})
            options |= {"sql_url": through.render_as_string(hide_password=False), "sql_proxy": sql_proxy}
        yield options


def campaign(slug: str, prizes: list[dict[str, Any]], *, fallback_weight: int = 0, **fields: Any) -> CampaignDocument:
    """A campaign with these prizes and a fallback; a prize is a gift of weight 10 unless it says otherwise."""
    common = {"kind": "gift", "name": {"en": "Prize"}, "weight": 10}
    nothing = {
        "key": "thanks",
        "kind": "nothing",
        "name": {"en": "Thanks"},
        "weight": fallback_weight,
        "fallback": True,
    }
    return parse_document(
        {
            "slug": slug,
            "game": "wheel",
            "timezone": "Asia/Taipei",
            "name": {"en": "Fault run"},
            **fields,
            "prizes": [*({**common, **prize} for prize in prizes), nothing],
        }
    )
