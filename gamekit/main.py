"""The composition root: builds every part of a process and starts and stops them in order.

Beside the command line it is the only module that knows the pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import httpx2
import structlog
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from admin.routes import routes as admin_routes
from admin.services import AdminServices
from gamekit.accounts.service import SignIn, Users
from gamekit.api.dispatch import PREFIX
from gamekit.api.keys import Keys
from gamekit.api.routes import api_app, api_pages
from gamekit.api.services import ApiServices
from gamekit.bots.inbox import Inbox
from gamekit.bots.messenger import webhook
from gamekit.bots.messenger.adapter import MessengerAdapter
from gamekit.bots.metrics import BotMetrics
from gamekit.campaigns.service import Campaigns
from gamekit.channels.service import Channels
from gamekit.clock import Clock, SystemClock
from gamekit.config import Settings
from gamekit.coupons.repository import Pools
from gamekit.coupons.service import Coupons
from gamekit.deliveries.metrics import DeliveryMetrics
from gamekit.deliveries.pump import end
from gamekit.deliveries.relay import Relay
from gamekit.deliveries.repository import Outbox
from gamekit.draws.book import Book
from gamekit.draws.engine import Engine
from gamekit.draws.gate import Gate
from gamekit.draws.ledger import Ledger
from gamekit.draws.messages import WinComposer
from gamekit.draws.owed import Debts
from gamekit.draws.recent import RecentDraws
from gamekit.draws.recovery import Recovery
from gamekit.draws.service import Draws
from gamekit.draws.units import Units
from gamekit.entropy import Entropy, SystemEntropy
from gamekit.http.front import Front
from gamekit.http.health import Finding, health_routes
from gamekit.http.limits import RateLimiter
from gamekit.http.metrics import exposition
from gamekit.players.bindings import LinkBindings
from gamekit.players.links import Links
from gamekit.players.resolver import Resolver
from gamekit.players.service import Players
from gamekit.plugin import Game
from gamekit.registry import load_games
from gamekit.storage.embedded import EmbeddedValkey
from gamekit.storage.migrate import require_head
from gamekit.storage.redis import RedisClient, open_redis
from gamekit.storage.sql import open_database, reading
from gamekit.storage.vault import Vault
from webviews.routes import page_assets
from webviews.routes import routes as page_routes
from webviews.services import WebviewServices

log = structlog.get_logger(__name__)

LINK_TTL = timedelta(hours=24)
MOST_SKEW = timedelta(seconds=1)
OUTBOX_LATE_SECONDS = 300.0
HOUSEKEEPING_SECONDS = 1.0
FORGETTING_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Records:
    """What needs SQL alone: enough for commands that change campaigns, keys, codes and channels."""

    settings: Settings
    clock: Clock
    entropy: Entropy
    vault: Vault
    sql: AsyncEngine
    games: Mapping[str, Game]
    units: Units
    campaigns: Campaigns
    coupons: Coupons
    players: Players
    channels: Channels
    keys: Keys
    links: Links

    def play_link(self, slug: str, channel: str, external_id: str) -> tuple[str, datetime]:
        """A player's own link to a campaign's live run, and when it stops working."""
        return self.links.make(slug, "live", channel=channel, external_id=external_id, ttl=LINK_TTL)


@dataclass(slots=True)
class Gamekit:
    """Every part of one process. `start` before use, `stop` after."""

    records: Records
    redis: RedisClient
    embedded: EmbeddedValkey | None
    draws: Draws
    engine: Engine
    recovery: Recovery
    bindings: LinkBindings
    limits: RateLimiter
    outbox: Outbox
    relay: Relay
    inbox: Inbox
    bot_metrics: BotMetrics
    delivery_metrics: DeliveryMetrics
    book: Book
    http: httpx2.AsyncClient
    connected: set[str]
    _tasks: list[asyncio.Task[None]]

    async def start(self) -> None:
        """Checks the database, then starts the work behind the requests. Raises `MigrationNeeded`."""
        await require_head(self.records.sql)
        _collect_garbage_seldom()
        await self._note_channels()
        self._tasks.append(asyncio.create_task(self._keep_house(), name="housekeeping"))
        if self.records.settings.relay:
            self._tasks.append(asyncio.create_task(self.recovery.run(), name="recovery"))
            self.relay.start()
            self.inbox.start()

    async def stop(self) -> None:
        """Lets every draw under way get its answer, then stops the work behind and closes the connections."""
        await self.engine.close()
        if self.records.settings.relay:
            await self.inbox.stop()
            await self.relay.stop()
        await end(*self._tasks)
        await self.records.keys.close()
        await self.http.aclose()
        await self.redis.aclose()
        await self.records.sql.dispose()
        if self.embedded is not None:
            await asyncio.to_thread(self.embedded.stop)

    async def find_chat_url(self, channel: str, ref: str | None) -> str | None:
        """An address that opens the chat of this channel; None where there is none."""
        connected = await self.records.channels.find(channel)
        if connected is None or connected.platform != webhook.PLATFORM:
            return None
        return f"https://m.me/{connected.account_id}" + (f"?ref={ref}" if ref else "")

    async def _note_channels(self) -> None:
        known = {channel.key for channel in await self.records.channels.all()}
        self.connected |= known
        self.connected &= known

    async def _keep_house(self) -> None:
        """What must be looked at again and again; whatever is away now is tried again a moment later."""
        loop = asyncio.get_running_loop()
        chores = (self._revive, self._note_channels, self._end_overdue, self._measure)
        forget_at = loop.time()
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            for chore in chores:
                await self._try(chore)
            if loop.time() >= forget_at:
                await self._try(self._forget_links)
                forget_at = loop.time() + FORGETTING_SECONDS

    async def _try(self, chore: Callable[[], Awaitable[None]]) -> None:
        try:
            await chore()
        except Exception as error:  # noqa: BLE001 - drivers raise many kinds; housekeeping must outlive them all
            log.warning("chore_postponed", chore=chore.__name__.strip("_"), error=type(error).__name__)

    async def _forget_links(self) -> None:
        await self.bindings.forget_expired()

    async def _revive(self) -> None:
        if self.embedded is not None and self.embedded.pid is None:
            await asyncio.to_thread(self.embedded.start)

    async def _end_overdue(self) -> None:
        for slug in await self.records.campaigns.end_overdue():
            log.info("campaign_ended", campaign=slug)

    async def _measure(self) -> None:
        now = self.records.clock.now()
        self.delivery_metrics.oldest.set(await self.outbox.oldest_seconds(now))
        self.bot_metrics.waiting.set(await self.inbox.oldest_seconds())

    async def check_sql(self) -> Finding:
        clock_query = "SELECT clock_timestamp()" if self.records.sql.dialect.name == "postgresql" else "SELECT NULL"
        async with reading(self.records.sql) as connection:
            theirs = (await connection.execute(text(clock_query))).scalar_one()
        if theirs is not None and abs(theirs - self.records.clock.now()) > MOST_SKEW:
            return Finding(False, "this machine's clock and the database's differ by more than 1 s")
        return Finding(True)

    async def check_redis(self) -> Finding:
        await self.redis.ping()
        return Finding(True)

    async def check_migrations(self) -> Finding:
        await require_head(self.records.sql)
        return Finding(True)

    async def check_outbox(self) -> Finding:
        """Late deliveries are worth an alarm, but no reason to send players elsewhere: every process has the same outbox."""
        age = await self.outbox.oldest_seconds(self.records.clock.now())
        return Finding(True, f"oldest {age:.0f} s" + (", late" if age > OUTBOX_LATE_SECONDS else ""))


def open_records(settings: Settings) -> Records:
    """The parts that need SQL alone; connects on first use."""
    clock, entropy = SystemClock(), SystemEntropy()
    vault = Vault(settings.secret_key.get_secret_value())
    sql = open_database(settings.sql_url, pool_size=settings.sql_pool_size)
    games, units = load_games(), Units(sql)
    campaigns = Campaigns(sql, vault=vault, clock=clock, entropy=entropy, games=games, units=units, pools=Pools())
    return Records(
        settings=settings,
        clock=clock,
        entropy=entropy,
        vault=vault,
        sql=sql,
        games=games,
        units=units,
        campaigns=campaigns,
        coupons=Coupons(sql, clock, campaigns),
        players=Players(sql, clock),
        channels=Channels(sql, vault, clock),
        keys=Keys(sql, clock, entropy),
        links=Links(vault.key("play link"), clock, entropy, settings.public_url),
    )


def _collect_garbage_seldom() -> None:
    """A draw makes some hundred short-lived objects and no cycles; looking for cycles every 700 costs a fifth of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@cache
def _process_metrics() -> tuple[BotMetrics, DeliveryMetrics]:
    """Counters belong to the process, however often its parts are built."""
    return BotMetrics(REGISTRY), DeliveryMetrics(REGISTRY)


def build(settings: Settings) -> Gamekit:
    """Every part of a process. Starts the embedded gate where it is used; connects to the rest on first use."""
    records = open_records(settings)
    sql, clock, entropy = records.sql, records.clock, records.entropy
    embedded = None if settings.redis_url else EmbeddedValkey(settings.data_dir)
    redis = open_redis(embedded.start() if embedded else settings.redis_url)
    ledger, gate, book, resolver = Ledger(sql), Gate(redis), Book(sql, records.vault), Resolver(sql, clock)
    recovery = Recovery(sql, book=book, gate=gate, ledger=ledger, units=records.units, clock=clock)
    connected: set[str] = set()
    engine = Engine(
        book=book,
        gate=gate,
        ledger=ledger,
        recovery=recovery,
        resolver=resolver,
        clock=clock,
        entropy=entropy,
        owed=Debts(connected).owed,
        reservation_seconds=settings.reservation_seconds,
    )
    draws = Draws(sql, engine=engine, book=book, ledger=ledger, resolver=resolver, clock=clock, games=records.games)
    http, outbox = httpx2.AsyncClient(), Outbox(sql)
    bot_metrics, delivery_metrics = _process_metrics()
    adapter = MessengerAdapter(http, graph_url=settings.graph_url, graph_version=settings.graph_version)
    relay = Relay(
        outbox,
        records.channels,
        {webhook.PLATFORM: adapter},
        WinComposer(draws),
        clock=clock,
        entropy=entropy,
        metrics=delivery_metrics,
    )
    engine.delivered = relay.notify

    return Gamekit(
        records=records,
        redis=redis,
        embedded=embedded,
        draws=draws,
        engine=engine,
        recovery=recovery,
        bindings=LinkBindings(sql, clock),
        limits=RateLimiter(redis, clock),
        outbox=outbox,
        relay=relay,
        inbox=Inbox(sql, records.campaigns, records.play_link, clock=clock, metrics=bot_metrics, on_owed=relay.notify),
        bot_metrics=bot_metrics,
        delivery_metrics=delivery_metrics,
        book=book,
        http=http,
        connected=connected,
        _tasks=[],
    )


@dataclass(frozen=True, slots=True)
class _Hooks:
    """What webhooks need."""

    channels: Channels
    inbox: Inbox
    clock: Clock
    bot_metrics: BotMetrics


def build_app(settings: Settings, *, shared_metrics: Path | None = None) -> ASGIApp:
    """The whole web surface of a process."""
    return app_of(build(settings), shared_metrics=shared_metrics)


def app_of(gamekit: Gamekit, *, extra: tuple[BaseRoute, ...] = (), shared_metrics: Path | None = None) -> ASGIApp:
    """The web surface over parts that were built already; `extra` routes come first.

    `shared_metrics` is the folder in which several workers count together.
    """
    records = gamekit.records
    assets = page_assets(records.games)
    assets.add("admin", "admin")
    pages = WebviewServices(
        campaigns=records.campaigns,
        draws=gamekit.draws,
        chats=gamekit,
        limits=gamekit.limits,
        links=records.links,
        bindings=gamekit.bindings,
        games=records.games,
        assets=assets,
        clock=records.clock,
        entropy=records.entropy,
        session_key=records.vault.key("player session"),
        public_url=records.settings.public_url,
    )
    api = ApiServices(
        keys=records.keys,
        limits=gamekit.limits,
        draws=gamekit.draws,
        campaigns=records.campaigns,
        players=records.players,
        coupons=records.coupons,
        links=records.links,
    )
    users = Users(records.sql, records.clock)
    admin = AdminServices(
        users=users,
        sign_in=SignIn(users, gamekit.redis, records.clock),
        campaigns=records.campaigns,
        recent_draws=RecentDraws(records.sql, gamekit.book).latest,
        assets=assets,
        clock=records.clock,
        entropy=records.entropy,
        session_key=records.vault.key("admin session"),
        public_url=records.settings.public_url,
    )
    checks = {
        "sql": gamekit.check_sql,
        "redis": gamekit.check_redis,
        "migrations": gamekit.check_migrations,
        "outbox": gamekit.check_outbox,
    }

    @contextlib.asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await gamekit.start()
        yield
        await gamekit.stop()

    router = Router(
        [
            *extra,
            *api_pages(),
            *webhook.routes(_Hooks(records.channels, gamekit.inbox, records.clock, gamekit.bot_metrics)),
            *page_routes(pages),
            *admin_routes(admin),
            *health_routes(checks),
            exposition(shared=shared_metrics),
        ],
        lifespan=lifespan,
    )
    return Front(router, records.entropy, first={PREFIX: api_app(api)})
