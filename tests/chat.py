"""A product and an emulated platform, small enough for a test, talking over real HTTP on the loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import Router
from starlette.types import ASGIApp

from gamekit.bots.emulator.app import Emulator
from gamekit.bots.emulator.people import as_meta_writes
from gamekit.bots.emulator.state import EmulatedPage
from gamekit.bots.inbox import Inbox, InboxPolicy
from gamekit.bots.messenger.adapter import MessengerAdapter
from gamekit.bots.messenger.signature import sign
from gamekit.bots.messenger.webhook import routes
from gamekit.bots.metrics import BotMetrics
from gamekit.bots.models import InboundEvent
from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.channels.service import Channels, ConnectedChannel
from gamekit.clock import SystemClock
from gamekit.deliveries.message import Message, TagAction
from gamekit.deliveries.metrics import DeliveryMetrics
from gamekit.deliveries.models import Delivery
from gamekit.deliveries.relay import Composer, Relay, RelayPolicy, compose_plain
from gamekit.deliveries.repository import Outbox, Owed
from gamekit.entropy import SystemEntropy
from gamekit.http.front import Front
from gamekit.players.models import Player
from gamekit.storage.vault import Vault

PSID = "1423587017700273"
PAGE = EmulatedPage("messenger", "404217156637689", "app-secret-of-the-test", "verify-me", "page-token")
CHANNEL = ConnectedChannel(
    PAGE.channel, "messenger", PAGE.page_id, PAGE.app_secret, PAGE.verify_token, PAGE.access_token
)
OTHER_PAGE = EmulatedPage("messenger-2", "707356222221168", PAGE.app_secret, PAGE.verify_token, "other-token")
FIXTURES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "contract/fixtures/messenger_webhooks.json").read_text()
)


FAST = RelayPolicy(first_delay=0.02, longest_delay=0.2, poll_seconds=0.05)


@dataclass(frozen=True, slots=True)
class Live:
    """A campaign as the book lists it."""

    slug: str
    document: CampaignDocument


@dataclass(slots=True)
class Book:
    """A campaign book that a test fills; `failures` more calls fail first."""

    live: list[Live] = field(default_factory=list)
    failures: int = 0

    async def live_campaigns(self) -> Sequence[Live]:
        if self.failures:
            self.failures -= 1
            raise OSError("SQL is away")
        return self.live


def live(slug: str = "summer-wheel", *, keywords: Sequence[str] = ("抽獎",), refs: Sequence[str] = ("summer",)) -> Live:
    """A small campaign."""
    data = {
        "slug": slug,
        "game": "wheel",
        "timezone": "Asia/Taipei",
        "name": {"zh-Hant": "夏日輪盤", "en": "Summer wheel"},
        "triggers": {"keywords": list(keywords), "refs": list(refs)},
        "prizes": [{"key": "thanks", "kind": "nothing", "fallback": True, "weight": 1, "name": {"en": "Thank you"}}],
    }
    return Live(slug, parse_document(data))


def play_link(slug: str, channel: str, external_id: str) -> tuple[str, datetime]:
    return f"http://127.0.0.1:9/play/{slug}?t={channel}.{external_id}", datetime(2026, 12, 1, tzinfo=UTC)


async def plain(owed: Owed) -> Message | TagAction:
    """A composer for bodies that say it all."""
    said = compose_plain(owed)
    if said is None:
        raise LookupError("draw")
    return said


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve `app` on a free port of the loopback address; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def emulated(webhook_url: str = "http://127.0.0.1:9/none", **options: bool) -> AsyncIterator[httpx2.AsyncClient]:
    """An emulated platform with two Pages of one app, and a client for its controls."""
    emulator = Emulator(
        (PAGE, OTHER_PAGE), webhook_url=webhook_url, clock=SystemClock(), entropy=SystemEntropy(), **options
    )
    async with served(emulator.app) as url, httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Product:
    """What the webhook's routes need, and the relay beside it."""

    engine: AsyncEngine
    channels: Channels
    inbox: Inbox
    relay: Relay
    clock: SystemClock
    bot_metrics: BotMetrics
    registry: CollectorRegistry
    book: Book

    @property
    def app(self) -> ASGIApp:
        return Front(Router(routes(self)), SystemEntropy())

    async def deliveries(self) -> list[Any]:
        return await rows(self.engine, Delivery)

    async def inbound(self) -> list[Any]:
        return await rows(self.engine, InboundEvent)

    async def players(self) -> list[Any]:
        return await rows(self.engine, Player)


async def rows(engine: AsyncEngine, model: Any) -> list[Any]:
    """All rows of a table, by id."""
    async with engine.connect() as connection:
        return list((await connection.execute(select(model.__table__).order_by(model.__table__.c.id))).all())


def relay_for(
    engine: AsyncEngine,
    client: httpx2.AsyncClient,
    *,
    policy: RelayPolicy = FAST,
    compose: Composer = plain,
    registry: CollectorRegistry | None = None,
) -> Relay:
    """A relay that sends to the emulated platform behind `client`."""
    adapter = MessengerAdapter(client, graph_url=str(client.base_url), graph_version="v26.0", timeout_seconds=1.0)
    return Relay(
        Outbox(engine),
        channels_of(engine),
        {"messenger": adapter},
        compose,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        metrics=DeliveryMetrics(registry or CollectorRegistry()),
        policy=policy,
    )


def channels_of(engine: AsyncEngine) -> Channels:
    return Channels(engine, Vault("k" * 32), SystemClock())


async def product(engine: AsyncEngine, client: httpx2.AsyncClient, *, attempts: int = 10) -> Product:
    """A product with one campaign and the Page connected; nothing is started."""
    registry = CollectorRegistry()
    metrics, book, channels = BotMetrics(registry), Book([live()]), channels_of(engine)
    await channels.connect(CHANNEL)
    relay = relay_for(engine, client, registry=registry)
    inbox = Inbox(
        engine,
        book,
        play_link,
        clock=SystemClock(),
        metrics=metrics,
        on_owed=relay.notify,
        policy=InboxPolicy(
            poll_seconds=0.05, first_delay=0.02, longest_delay=0.1, lease_seconds=1.0, attempts=attempts
        ),
    )
    return Product(engine, channels, inbox, relay, SystemClock(), metrics, registry, book)


@contextlib.asynccontextmanager
async def running(worker: Inbox | Relay) -> AsyncIterator[None]:
    worker.start()
    try:
        yield
    finally:
        await worker.stop(grace_seconds=2)


async def until(holds: Callable[[], Awaitable[object]], *, seconds: float = 15.0) -> None:
    """Wait until `holds` is true."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


def signed(payload: object, secret: str = PAGE.app_secret) -> dict[str, Any]:
    """The keyword arguments of a POST that Meta would make."""
    body = payload if isinstance(payload, bytes) else as_meta_writes(payload)  # type: ignore[arg-type]
    return {
        "content": body,
        "headers": {"X-Hub-Signature-256": sign(body, secret), "Content-Type": "application/json"},
    }


def text_update(text: str, *, mid: str = "mid.1", psid: str = PSID, at: int = 1_790_000_000_000) -> dict[str, Any]:
    return {
        "sender": {"id": psid},
        "recipient": {"id": PAGE.page_id},
        "timestamp": at,
        "message": {"mid": mid, "text": text},
    }


def envelope(*updates: Any, page: str = PAGE.page_id) -> dict[str, Any]:
    return {"object": "page", "entry": [{"id": page, "time": 1_790_000_000_000, "messaging": list(updates)}]}
