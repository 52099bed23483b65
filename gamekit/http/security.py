"""What a browser may do with our pages, and which requests to them are refused as forged."""

from __future__ import annotations

from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.requests import Request

from gamekit.errors import Forbidden

PLATFORMS = (
    "https://www.facebook.com",
    "https://web.facebook.com",
    "https://www.messenger.com",
    "https://l.messenger.com",
    "https://liff.line.me",
)
"""Who may show a player's page in a frame: chats on a desktop do."""

_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


def _policy(frame_ancestors: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "media-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            f"frame-ancestors {frame_ancestors}",
        )
    )


PLAYER_PAGE = MappingProxyType(
    {
        **_COMMON,
        "Content-Security-Policy": _policy(" ".join(("'self'", *PLATFORMS))),
        # The link in the address carries a token until the page has exchanged it.
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
)
"""Headers of every page a player sees."""

STAFF_PAGE = MappingProxyType(
    {
        **_COMMON,
        "Content-Security-Policy": _policy("'none'"),
        # Not no-referrer: with it browsers send `Origin: null` with a form, and the origin check would refuse it.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
"""Headers of every page a marketer sees."""

PRIVATE_JSON = MappingProxyType({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
"""Headers of every answer that is about one person."""


def require_same_origin(request: Request, public_url: str) -> None:
    """Refuse a state-changing request that another site's page made. Raises `Forbidden`.

    A browser sends `Origin` with every POST (WHATWG Fetch, "append a request `Origin` header"). It must name the
    public address, or the host the request itself was sent to.
    """
    origin = request.headers.get("origin")
    if origin:
        host = request.headers.get("host", "").lower()
        if origin.lower() in {_origin(public_url), f"http://{host}", f"https://{host}"}:
            return
    elif request.headers.get("sec-fetch-site") == "same-origin":
        return
    raise Forbidden("This request must come from the page itself.")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
