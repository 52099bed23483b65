"""gamekit in this process, over a database and a gate of its own, built by the composition root and asked from inside."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from prometheus_client import REGISTRY

from gamekit.campaigns import repository
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import parse_document
from gamekit.campaigns.service import Campaigns
from gamekit.campaigns.views import RunView
from gamekit.config import load_settings
from gamekit.coupons.repository import Pools
from gamekit.draws.calls import Landed
from gamekit.main import Gamekit, build
from gamekit.plugin import CampaignView, GameOptions, Layout, Manifest, Outcome, Reveal
from gamekit.storage.sql import reading
from gamekit.testing.servers import PostgresServer, ValkeyServer, valkey
from tests.bench.rivals import FALLBACK, STOCK, WEIGHTS
from tests.bench.samples import rate

CALLERS = 1_000
CHANNEL = "messenger"
LIMITS = {"total": 1_000_000, "per_day": 10_000}
"""Limits that nobody reaches, so that they are counted and no draw is refused."""
BODY_HASH = "0" * 32
SECRET_KEY = "bench " * 6

_marks = count(1)


class Board:
    """A game for any number of prizes; nothing is ever shown here."""

    manifest: ClassVar[Manifest] = Manifest("board", "tests", {}, {}, min_prizes=1, max_prizes=200, several=True)
    Options: ClassVar[type[GameOptions]] = GameOptions

    def layout(self, campaign: CampaignView, options: GameOptions) -> Layout:
        return {}

    def present(self, outcome: Outcome, layout: Layout, options: GameOptions, seed: bytes) -> Reveal:
        return {}


@dataclass(slots=True)
class Stand:
    """One engine with what it stands on."""

    gamekit: Gamekit
    campaigns: Campaigns
    gate: ValkeyServer
    sql_url: str
    answered: int = 0
    """Draws made here."""

    async def publish(self, slug: str, **changes: Any) -> RunView:
        """Publishes the campaign that the rivals draw from too, with `changes`."""
        await self.campaigns.apply(parse_document(document(slug, **changes)), dry_run=False)
        await self.campaigns.publish(slug)
        return await self.view(slug)

    async def view(self, slug: str) -> RunView:
        async with reading(self.gamekit.records.sql) as connection:
            view = await repository.load_view(connection, self.gamekit.records.vault, slug, RunKind.LIVE)
        assert view is not None
        return view

    async def draw(self, slug: str, player: str, key: str) -> None:
        """One draw. Raises where it was refused."""
        answer = await self.gamekit.engine.draw(
            (slug, RunKind.LIVE), (CHANNEL, player), source="api:bench", key=key, count=1, body_hash=BODY_HASH
        )
        assert isinstance(answer, Landed), answer
        self.answered += 1

    def sampler(
        self, slug: str, seconds: float, *, player: Callable[[str, int, int], str] | None = None
    ) -> Callable[[], Awaitable[float]]:
        """A sample of draws per second by 1,000 callers.

        `player` names the player of a call, by the sample, the caller and how many calls it made; by default each caller
        is one player who comes back.
        """

        async def sample() -> float:
            mark = f"{next(_marks)}"

            async def call(caller: int, made: int) -> None:
                name = f"p{caller + 1}" if player is None else player(mark, caller, made)
                await self.draw(slug, name, f"{mark}-{caller}-{made}")

            return await rate(CALLERS, seconds, call)

        return sample


def document(slug: str, **changes: Any) -> dict[str, Any]:
    """Four stocked prizes and the fallback, half of the draws each, and limits per player."""
    data: dict[str, Any] = {
        "slug": slug,
        "game": Board.manifest.key,
        "timezone": "Asia/Taipei",
        "name": {"en": "Bench"},
        "chances": LIMITS,
        "prizes": prizes(WEIGHTS),
    }
    return data | changes


def prizes(weights: Mapping[str, int], *, stock: int = STOCK) -> list[dict[str, Any]]:
    """Prizes as in a campaign file; the one called `thanks` is the fallback."""
    made: list[dict[str, Any]] = []
    for key, weight in weights.items():
        own: dict[str, Any] = (
            {"kind": "nothing", "fallback": True} if key == FALLBACK else {"kind": "gift", "stock": stock}
        )
        made.append({"key": key, "name": {"en": key}, "weight": weight, **own})
    return made


@contextlib.asynccontextmanager
async def stand(postgres: PostgresServer) -> AsyncIterator[Stand]:
    """An engine over a fresh database and an empty gate, with recovery working behind it as in production."""
    with ExitStack() as stack:
        url = stack.enter_context(postgres.fresh_database())
        gate = stack.enter_context(valkey())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gamekit-bench-")))
        gamekit = _build(url, gate.url, folder)
        records = gamekit.records
        campaigns = Campaigns(
            records.sql,
            vault=records.vault,
            clock=records.clock,
            entropy=records.entropy,
            games={Board.manifest.key: Board()},
            units=records.units,
            pools=Pools(),
        )
        await gamekit.start()
        recovery = asyncio.create_task(gamekit.recovery.run())
        try:
            yield Stand(gamekit, campaigns, gate, url)
        finally:
            recovery.cancel()
            await asyncio.gather(recovery, return_exceptions=True)
            await gamekit.stop()


def _build(sql_url: str, redis_url: str, folder: Path) -> Gamekit:
    known = set(REGISTRY._collector_to_names)
    settings = load_settings(
        secret_key=SECRET_KEY, database_url=sql_url, redis_url=redis_url, data_dir=folder, relay=False
    )
    gamekit = build(settings)
    for metric in set(REGISTRY._collector_to_names) - known:
        # A process has one app; a bench has several side by side.
        REGISTRY.unregister(metric)
    return gamekit
