"""A player's page session: who is playing which run, sealed into a cookie that only the play routes get.

The page also holds the sealed session in memory and sends it as `Authorization: Bearer`, because a chat on a desktop
shows the page in a frame, and there browsers withhold the cookie. It is worth no more than the cookie.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from gamekit.campaigns.models import RunKind
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.errors import GamekitError
from gamekit.http.sessions import Sealer, keep_cookie
from gamekit.players.links import PlayLink

LASTS = timedelta(days=7)
BROWSER_LASTS = timedelta(days=400)
"""The longest a browser keeps a cookie (RFC 6265bis, 5.5)."""
SESSION_COOKIE = "gamekit_play"
BROWSER_COOKIE = "gamekit_browser"
SECRET_BYTES = 24


class SessionNeeded(GamekitError):
    """Open the game from the chat: this page does not know yet who is playing."""

    code: ClassVar[str] = "session_needed"
    status: ClassVar[int] = 401


@dataclass(frozen=True, slots=True)
class PlayerSession:
    """Who plays what."""

    slug: str
    kind: RunKind
    channel: str
    external_id: str
    locale: str | None = field(compare=False)

    @property
    def alias(self) -> str:
        """Tells two players of one browser apart in the page's own memory; says nothing else."""
        return sha256(f"{self.slug}\n{self.kind}\n{self.channel}\n{self.external_id}".encode()).hexdigest()[:12]


class Sessions:
    """Makes and reads sessions."""

    def __init__(self, key: bytes, clock: Clock, entropy: Entropy, public_url: str) -> None:
        self._sealer = Sealer(key, entropy)
        self._clock = clock
        self._entropy = entropy
        self._secure = public_url.startswith("https:")

    def start(self, link: PlayLink) -> tuple[PlayerSession, str]:
        """A session for the link's player, and its sealed form."""
        session = PlayerSession(link.slug, RunKind(link.kind), link.channel, link.external_id, link.locale)
        ends = int((self._clock.now() + LASTS).timestamp())
        secret = json.dumps([ends, session.slug, session.kind, session.channel, session.external_id, session.locale])
        return session, self._sealer.seal(secret.encode())

    def find(self, request: Request, slug: str) -> PlayerSession | None:
        """The request's session for this campaign; None where there is none, or it is over."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        sealed = bearer if scheme.lower() == "bearer" else request.cookies.get(SESSION_COOKIE, "")
        secret = self._sealer.find_secret(sealed)
        if secret is None:
            return None
        ends, for_slug, kind, channel, external_id, locale = json.loads(secret)
        if for_slug != slug or datetime.fromtimestamp(ends, UTC) <= self._clock.now():
            return None
        return PlayerSession(for_slug, RunKind(kind), channel, external_id, locale)

    def require(self, request: Request, slug: str) -> PlayerSession:
        """Raises `SessionNeeded`."""
        session = self.find(request, slug)
        if session is None:
            raise SessionNeeded
        return session

    def browser(self, request: Request, remembered: str | None) -> str:
        """This browser's secret: from its cookie, from what the page remembers, or a new one."""
        return request.cookies.get(BROWSER_COOKIE) or remembered or self._entropy.bytes(SECRET_BYTES).hex()

    def keep(self, response: Response, *, slug: str, sealed: str, browser: str) -> None:
        seconds = int(LASTS.total_seconds())
        keep_cookie(response, SESSION_COOKIE, sealed, path=f"/play/{slug}", seconds=seconds, secure=self._secure)
        lasting = int(BROWSER_LASTS.total_seconds())
        keep_cookie(response, BROWSER_COOKIE, browser, path="/play", seconds=lasting, secure=self._secure)
