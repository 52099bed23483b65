from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response

from admin.frame import HOME, own_page
from admin.session import COOKIE, LASTS, Session, Sessions
from gamekit.accounts.models import Role
from gamekit.accounts.service import Account
from gamekit.entropy import SystemEntropy

MEI = Account(7, "mei@example.com", Role.OWNER, "0123456789abcdef")


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 12, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def sessions(clock: Hands, *, key: bytes = b"k" * 32, public_url: str = "https://play.example.com") -> Sessions:
    return Sessions(key, clock, SystemEntropy(), public_url)


def kept(of: Sessions, session: Session) -> str:
    """The Set-Cookie header that keeps a session."""
    response = Response()
    of.keep(response, session)
    return response.headers["set-cookie"]


def request(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", cookie.partition(";")[0].encode())]})


def test_a_session_comes_back_until_it_ends() -> None:
    """Half a day after signing in the cookie is worth nothing any more."""
    clock = Hands()
    own = sessions(clock)
    session = own.start(MEI)
    cookie = kept(own, session)
    assert own.find(request(cookie)) == session
    clock.moment += LASTS - timedelta(seconds=1)
    assert own.find(request(cookie)) == session
    clock.moment += timedelta(seconds=1)
    assert own.find(request(cookie)) is None


def test_a_cookie_made_elsewhere_is_no_session() -> None:
    """Another key's cookie, a changed one and none at all are the same: nobody."""
    clock = Hands()
    own = sessions(clock)
    cookie = kept(own, own.start(MEI))
    value = cookie.partition("=")[2].partition(";")[0]
    changed = value[:-1] + ("A" if value[-1] != "A" else "B")
    assert sessions(clock, key=b"K" * 32).find(request(cookie)) is None
    for wrong in (changed, value[1:], "", "null", "e30", "x" * 10_000):
        assert own.find(request(f"{COOKIE}={wrong}")) is None


@pytest.mark.parametrize(
    ("public_url", "secure"), [("https://play.example.com", True), ("http://127.0.0.1:8000", False)]
)
def test_the_cookie_is_for_the_admin_pages_alone(public_url: str, secure: bool) -> None:
    """No script reads it, no other site sends it, no other path gets it, and over https nothing else carries it."""
    own = sessions(Hands(), public_url=public_url)
    parts = {part.strip().lower() for part in kept(own, own.start(None)).split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/admin", "max-age=43200"} <= parts
    assert ("secure" in parts) is secure


def test_a_form_belongs_to_its_session() -> None:
    """Every session has its own token; no other text is it."""
    own = sessions(Hands())
    one, other = own.start(None), own.start(MEI)
    assert one.owns(one.token)
    assert not one.owns(other.token)
    for wrong in ("", one.token[:-1], one.token.upper(), "\ud800", "é"):
        assert not one.owns(wrong)


@pytest.mark.parametrize("url", ["/admin", HOME, f"{HOME}/summer-wheel?x=1&y=%2F%2F", "/admin?a", "/admin/"])
def test_own_pages_may_be_next(url: str) -> None:
    """After signing in one lands where one wanted to go."""
    assert own_page(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://evil.example/admin",
        "//evil.example/admin",
        "/\\evil.example",
        "/admin\\..\\..\\evil",
        "/adminevil.example",
        "/admin@evil.example",
        "/admin/\n//evil.example",
        "/admin/\t/evil.example",
        " /admin",
        "/play/summer-wheel",
        "javascript:alert(1)",
        "/admin/路",
        "/admin/" + "a" * 1_000,
    ],
)
def test_nothing_else_may_be_next(url: str) -> None:
    """An address elsewhere, or one a browser could read as elsewhere, becomes the first page."""
    assert own_page(url) == HOME
