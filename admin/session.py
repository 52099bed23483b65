"""Who is signed in to the admin pages, sealed into a cookie that only they get.

Every visitor has a session, also before signing in: its token is in each form, so that no other page can make a browser
send one (OWASP CSRF Prevention Cheat Sheet, "Signed Double-Submit Cookie"). A session ends by itself, when the browser
signs out, and everywhere when the user's password changes.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from gamekit.accounts.service import Account
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.http.sessions import Sealer, keep_cookie

COOKIE = "gamekit_admin"
PATH = "/admin"
LASTS = timedelta(hours=12)
TOKEN_BYTES = 24
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's visit."""

    token: str
    """48 hex characters that every form of this session carries."""
    user_id: int | None
    """None before signing in."""
    stamp: str
    """The user's `Account.stamp` at sign-in."""
    ends_at: datetime

    def owns(self, token: str) -> bool:
        """Whether a form with this token came from a page of this session."""
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "replace"))


class Sessions:
    """Makes and reads sessions."""

    def __init__(self, key: bytes, clock: Clock, entropy: Entropy, public_url: str) -> None:
        self._sealer = Sealer(key, entropy)
        self._clock = clock
        self._entropy = entropy
        self._secure = public_url.startswith("https:")

    def start(self, account: Account | None) -> Session:
        """A new session under a new token: nothing of the one before lives on."""
        token = self._entropy.bytes(TOKEN_BYTES).hex()
        ends_at = (self._clock.now() + LASTS).replace(microsecond=0)
        if account is None:
            return Session(token, None, "", ends_at)
        return Session(token, account.id, account.stamp, ends_at)

    def find(self, request: Request) -> Session | None:
        """The request's session; None where there is none, or it is over."""
        secret = self._sealer.find_secret(request.cookies.get(COOKIE, ""))
        if secret is None:
            return None
        form, ends, token, user_id, stamp = json.loads(secret)
        ends_at = datetime.fromtimestamp(ends, UTC)
        if form != _FORMAT or ends_at <= self._clock.now():
            return None
        return Session(token, user_id, stamp, ends_at)

    def keep(self, response: Response, session: Session) -> None:
        secret = json.dumps([_FORMAT, int(session.ends_at.timestamp()), session.token, session.user_id, session.stamp])
        sealed = self._sealer.seal(secret.encode())
        keep_cookie(response, COOKIE, sealed, path=PATH, seconds=int(LASTS.total_seconds()), secure=self._secure)

    def end(self, response: Response) -> None:
        """The browser forgets its session."""
        response.delete_cookie(COOKIE, path=PATH, secure=self._secure, httponly=True, samesite="lax")
