"""The admin pages for a test: every real part over a fresh database and an empty gate, and a browser without a screen."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path

import httpx2
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from starlette.routing import Router
from starlette.types import ASGIApp

from admin.routes import routes
from admin.services import AdminServices
from gamekit.accounts import repository
from gamekit.accounts.models import Role
from gamekit.accounts.service import SignIn, Users
from gamekit.campaigns.models import RunKind
from gamekit.draws.book import Book
from gamekit.draws.recent import RecentDraws
from gamekit.draws.service import Drawn
from gamekit.http.assets import Assets
from gamekit.http.front import Front
from gamekit.main import Gamekit
from gamekit.storage.sql import writing
from tests.api import Client, stand

URL = "http://test"
EMAIL = "mei@example.com"
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Office:
    """The pages, and the parts behind them."""

    app: ASGIApp
    gamekit: Gamekit
    api: Client

    def browser(self, language: str = "en", url: str = URL) -> httpx2.AsyncClient:
        """A browser of its own, with no cookies yet. Close it after use."""
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url=url, headers={"Accept-Language": language})

    async def draw(self, slug: str, player: str, key: str) -> Drawn:
        """One draw of a player, through the engine."""
        drawn = await self.gamekit.draws.draw(
            slug,
            RunKind.LIVE,
            channel="messenger",
            external_id=player,
            source="test",
            key=key,
            count=1,
            body_hash="0" * 32,
        )
        assert isinstance(drawn, Drawn)
        return drawn


@contextlib.asynccontextmanager
async def office(sql_url: str, redis_url: str, folder: Path, *, public_url: str = URL) -> AsyncIterator[Office]:
    """Starts the parts and stops them at the end."""
    async with stand(sql_url, redis_url, folder) as standing:
        gamekit = standing.gamekit
        records = gamekit.records
        assets, users = Assets({"admin": "admin"}), Users(records.sql, records.clock)
        services = AdminServices(
            users=users,
            sign_in=SignIn(users, gamekit.redis, records.clock),
            campaigns=records.campaigns,
            recent_draws=RecentDraws(records.sql, Book(records.sql, records.vault)).latest,
            assets=assets,
            clock=records.clock,
            entropy=records.entropy,
            session_key=records.vault.key("admin session"),
            public_url=public_url,
        )
        app = Front(Router([*routes(services), assets.route()]), records.entropy)
        yield Office(app, gamekit, standing.client)


async def send(
    browser: httpx2.AsyncClient, page: httpx2.Response, action: str, *, origin: str | None = URL, **fields: str
) -> httpx2.Response:
    """Submits the form of `page` that goes to `action`, as a browser does: its hidden fields and what was typed."""
    form = re.search(rf'<form method="post" action="{action}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    assert form, f"no form to {action}"
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[1]))
    data = {**{name: unescape(value) for name, value in hidden.items()}, **fields}
    return await browser.post(action, data=data, headers={"Origin": origin} if origin else {})


async def sign_in(browser: httpx2.AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> httpx2.Response:
    """Opens the sign-in page and sends it filled in."""
    page = await browser.get("/admin/sign-in")
    return await send(browser, page, "/admin/sign-in", email=email, password=password)


async def add_users(place: Office) -> None:
    """One user of each role, all with the same password: mei@ owns, the others are named by their role."""
    records = place.gamekit.records
    async with writing(records.sql) as connection:
        for role in Role:
            email = EMAIL if role is Role.OWNER else f"{role.value}@example.com"
            await repository.add_user(
                connection, email=email, password_hash=_password_hash(), role=role, now=records.clock.now()
            )


@cache
def _password_hash() -> str:
    """Made once for the whole run: making it is meant to take long."""
    return PasswordHash((Argon2Hasher(),)).hash(PASSWORD)
