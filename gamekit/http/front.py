"""The outermost layer of the app: every request passes it, and whatever goes wrong is answered here.

It is one thin layer, since each layer costs every draw: it times and counts, turns whatever was raised into the one error
shape, and hands the addresses that must be quick to their own app without asking any other route.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gamekit.entropy import Entropy
from gamekit.http.errors import response_to
from gamekit.http.metrics import count

SLOW_SECONDS = 2.0
QUIET = "gamekit.quiet"
"""A handler puts this into its scope where it changes something too often to log each time, such as drawing."""
GONE = 499
"""Counted where nothing was answered, as the client had left."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _READING | {"POST", "PUT", "PATCH", "DELETE"}
_log = structlog.get_logger(__name__)


class Front:
    """Wraps a Starlette `Router`, whose 404 and 405 it answers too."""

    def __init__(
        self,
        app: ASGIApp,
        entropy: Entropy,
        *,
        first: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        """`first`: apps by how an address begins."""
        self._app = app
        self._entropy = entropy
        self._first = tuple((first or {}).items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette's router raises its 404 and 405 where it finds an app, and answers them in plain text where not.
        scope["app"] = self
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        began = perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._lead(scope["path"])(scope, receive, watched)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - this is the last place that can answer
            response = response_to(error, scope, self._entropy)
            # Half an answer cannot be taken back: returning without its end makes the server cut the connection.
            if not status:
                await response(scope, receive, watched)
        finally:
            self._note(scope, status or GONE, perf_counter() - began)

    def _lead(self, path: str) -> ASGIApp:
        for beginning, app in self._first:
            if path.startswith(beginning):
                return app
        return self._app

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        count(method, route, status, seconds)
        if status >= 500 or seconds > SLOW_SECONDS:
            _log.warning("http.request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
        elif method not in _READING and QUIET not in scope:
            _log.info("http.request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
