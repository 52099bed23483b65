"""The whole app for a test: every real part over a fresh database and an empty gate, asked over ASGI or a socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from starlette.types import ASGIApp

from gamekit.api.keys import Scope
from gamekit.config import load_settings
from gamekit.main import Gamekit, app_of, build

SLUG = "summer-wheel"
PLAYER = {"channel": "messenger", "id": "1423587017700273"}
_numbers = count()


def campaign(slug: str = SLUG, **changes: Any) -> dict[str, Any]:
    """A campaign whose first prize has three codes' worth of stock and always wins while it lasts."""
    return {
        "slug": slug,
        "game": "wheel",
        "timezone": "Asia/Taipei",
        "name": {"zh-Hant": "夏日輪盤", "en": "Summer wheel"},
        "chances": {"total": 5},
        "prizes": [
            {
                "key": "latte",
                "kind": "coupon",
                "weight": 1000,
                "codes": "pool",
                "stock": 3,
                "name": {"zh-Hant": "拿鐵買一送一", "en": "Latte, two for one"},
            },
            {"key": "thanks", "kind": "nothing", "fallback": True, "weight": 0, "name": {"en": "Thank you"}},
        ],
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Client:
    """A program that uses the API with one key."""

    web: httpx2.AsyncClient
    secret: str

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One call below /api/v1/."""
        headers = {"Authorization": f"Bearer {self.secret}", **options.pop("headers", {})}
        return await self.web.request(method, f"/api/v1/{path}", headers=headers, **options)

    async def draw(
        self, key: str | None = None, *, slug: str = SLUG, headers: dict[str, str] | None = None, **body: Any
    ) -> httpx2.Response:
        """One draw request; without `key` under one of its own."""
        named = {"Idempotency-Key": f"draw-{next(_numbers)}" if key is None else key, **(headers or {})}
        return await self.ask("POST", f"campaigns/{slug}/draws", json={"player": PLAYER, **body}, headers=named)

    async def save(self, document: dict[str, Any], *, publish: bool = True) -> None:
        """Saves a campaign, and publishes it."""
        slug = document["slug"]
        assert (await self.ask("PUT", f"campaigns/{slug}", json=document)).is_success
        if publish:
            assert (await self.ask("POST", f"campaigns/{slug}/publish")).is_success


@dataclass(frozen=True, slots=True)
class Stand:
    """A running app with a client that may do everything."""

    app: ASGIApp
    gamekit: Gamekit
    client: Client

    async def another(self, *scopes: Scope, rate_per_minute: int = 100_000) -> Client:
        """A client with a new key of these scopes."""
        made = await self.gamekit.records.keys.create("another", scopes, rate_per_minute=rate_per_minute)
        return Client(self.client.web, made.secret)


@contextlib.asynccontextmanager
async def stand(sql_url: str, redis_url: str, folder: Path, *, scopes: Iterable[str] = Scope) -> AsyncIterator[Stand]:
    """Builds the app through the composition root, starts it, and stops it at the end."""
    settings = load_settings(
        secret_key="s" * 32, database_url=sql_url, redis_url=redis_url, data_dir=folder, relay=False
    )
    gamekit = build(settings)
    app = app_of(gamekit)
    await gamekit.start()
    try:
        made = await gamekit.records.keys.create("test", scopes)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=30) as web:
            yield Stand(app, gamekit, Client(web, made.secret))
    finally:
        await gamekit.stop()
