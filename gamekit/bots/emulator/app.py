"""The emulated platform as an app: the Graph API, a person's side, scripted failures, and the chat simulator.

For demos and tests. It is reached over HTTP like the real one, and knows nothing of the product's inside. It keeps no
secret and asks for none but the Pages' tokens: serve it on the loopback address only.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gamekit.bots.emulator.graph import BODY_LIMIT, Graph
from gamekit.bots.emulator.people import Act, People
from gamekit.bots.emulator.script import Rules, Script
from gamekit.bots.emulator.simulator import STATIC, Simulator
from gamekit.bots.emulator.state import EmulatedPage, Platform
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.http.body import parse, read_body
from gamekit.http.errors import handlers


class Emulator:
    """An emulated platform with its Pages; `app` serves it. Served inside another app, `close` must be called."""

    def __init__(
        self,
        pages: tuple[EmulatedPage, ...],
        *,
        webhook_url: str,
        clock: Clock,
        entropy: Entropy,
        strict: bool = False,
        https_only: bool = False,
    ) -> None:
        """`strict`: people who never wrote are unknown, see `Script.strict`.

        `https_only`: refuse buttons that open http:// pages, as the real platform does; a demo has no others.
        """
        self._platform = Platform(pages)
        self._rules = Rules(strict=strict)
        # What the product is reached by in a demo is on this machine: no proxy of the environment is asked.
        self._client = httpx2.AsyncClient(trust_env=False)
        self._people = People(
            self._platform, self._rules, clock=clock, entropy=entropy, client=self._client, webhook_url=webhook_url
        )
        graph = Graph(self._platform, self._rules, clock, entropy, https_only=https_only)
        simulator = Simulator(self._platform, self._people, clock)
        self.app = Starlette(
            routes=[
                Route("/", simulator.show, methods=["GET"], name="simulator"),
                Route("/say", simulator.say, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
                Route("/_sent", self._sent, methods=["GET", "DELETE"]),
                Route("/_script", self._script, methods=["GET", "POST"]),
                Route("/_user", self._user, methods=["POST"]),
                Route("/_reset", self._reset, methods=["POST"]),
                *graph.routes(),
            ],
            exception_handlers=handlers(),
            lifespan=self._lifespan,
        )

    async def close(self) -> None:
        await self._client.aclose()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await self.close()

    async def _sent(self, request: Request) -> Response:
        """Everything accepted, oldest first; DELETE forgets it."""
        if request.method == "DELETE":
            self._platform.sent.clear()
            return Response(status_code=204)
        return JSONResponse(list(self._platform.sent))

    async def _script(self, request: Request) -> Response:
        """Change what goes wrong; answers the failures still to come."""
        if request.method == "POST":
            script = parse(Script, await _body(request))
            self._people.change(script)
            self._rules.change(script)
        return JSONResponse(
            {
                "fail": [failure.model_dump(mode="json", exclude_none=True) for failure in self._rules.failures],
                "webhooks": self._rules.webhooks.model_dump(),
                "token": "refused" if self._rules.token_refused else "accepted",
                "strict": self._rules.strict,
            }
        )

    async def _user(self, request: Request) -> Response:
        """Do something as a person; answers what became of the webhooks."""
        return JSONResponse(await self._people.act(parse(Act, await _body(request))))

    async def _reset(self, request: Request) -> Response:
        """Forget everything but the Pages."""
        self._platform.reset()
        self._rules.reset()
        self._people.reset()
        return Response(status_code=204)


async def _body(request: Request) -> bytes:
    return await read_body(dict(request.scope["headers"]), request.receive, limit=BODY_LIMIT)
