"""Signed play links: a chat's button that says who is tapping, and for how long.

The token is encrypted (and so authenticated), not only signed: the address is seen by platforms, previews, proxies
and whoever it is forwarded to, and must not tell a person's platform id. Reading a link changes nothing; binding it
to a browser is `gamekit.players.bindings`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote

from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.errors import GamekitError
from gamekit.http.sessions import Sealer

_FORMAT = 1


class LinkInvalid(GamekitError):
    """This play link was not made here, or it was cut off; open the newest one from the chat."""

    code = "link_invalid"
    status = 400


class LinkExpired(GamekitError):
    """This play link is no longer valid; ask for a new one in the chat."""

    code = "link_expired"
    status = 410

    def __init__(self, link: PlayLink) -> None:
        super().__init__()
        self.link = link


@dataclass(frozen=True, slots=True)
class PlayLink:
    """What a play link says."""

    token_id: str
    """64 hex characters; names the link without being able to open it."""
    slug: str
    kind: str
    """The run: live or test."""
    channel: str
    external_id: str
    expires_at: datetime
    locale: str | None
    """The language the player's platform told us, where it did."""


class Links:
    """Makes and reads play links."""

    def __init__(self, key: bytes, clock: Clock, entropy: Entropy, public_url: str) -> None:
        """`key`: `Vault.key("play link")`."""
        self._sealer = Sealer(key, entropy)
        self._clock = clock
        self._public_url = public_url.rstrip("/")

    def make(
        self, slug: str, kind: str, *, channel: str, external_id: str, ttl: timedelta, locale: str | None = None
    ) -> tuple[str, datetime]:
        """The address that opens the campaign's game for this player, and when it stops doing so (whole seconds)."""
        ends = int((self._clock.now() + ttl).timestamp())
        secret = json.dumps(
            [_FORMAT, ends, slug, kind, channel, external_id, locale], ensure_ascii=False, separators=(",", ":")
        ).encode()
        url = f"{self._public_url}/play/{quote(slug, safe='')}?t={self._sealer.seal(secret)}"
        return url, datetime.fromtimestamp(ends, UTC)

    def read(self, token: str) -> PlayLink:
        """What the link's `t` says. Raises `LinkInvalid`, or `LinkExpired` (which still carries the link)."""
        secret = self._sealer.find_secret(token)
        if secret is None:
            raise LinkInvalid
        form, ends, slug, kind, channel, external_id, locale = json.loads(secret)
        if form != _FORMAT:
            raise LinkInvalid
        expires_at = datetime.fromtimestamp(ends, UTC)
        link = PlayLink(sha256(token.encode()).hexdigest(), slug, kind, channel, external_id, expires_at, locale)
        if expires_at <= self._clock.now():
            raise LinkExpired(link)
        return link
