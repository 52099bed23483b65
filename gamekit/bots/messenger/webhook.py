"""`/hooks/messenger`: Meta's check of the address, and its events.

A call is answered as soon as its events are stored: Meta allows 5 s and takes a Page off after an hour of failures.
Nothing is stored unless the raw body is signed with a connected Page's app secret, and then only events of that
app's Pages. A signed body that is no JSON object is refused with 400 rather than swallowed: Meta sends none, so it comes
from someone's tool, who should see it. Everything else that was signed is answered 200, whatever could not be used of
it: Meta would send the same bytes again.
"""

from __future__ import annotations

import hmac
from collections import Counter
from typing import Protocol

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gamekit.bots.inbox import Inbox
from gamekit.bots.messenger.parse import parse, read_envelope
from gamekit.bots.messenger.signature import is_signed
from gamekit.bots.metrics import BotMetrics
from gamekit.channels.service import Channels
from gamekit.clock import Clock
from gamekit.errors import Forbidden
from gamekit.http.body import read_body

PLATFORM = "messenger"
BODY_LIMIT = 1024 * 1024
BODY_SECONDS = 10.0
MAX_CHALLENGE = 1_000

_log = structlog.get_logger()


class Services(Protocol):
    """What the webhook needs of the process."""

    @property
    def channels(self) -> Channels: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def bot_metrics(self) -> BotMetrics: ...


def routes(services: Services) -> list[Route]:
    """The routes of Messenger's webhook."""
    metrics = services.bot_metrics

    async def verify(request: Request) -> PlainTextResponse:
        asked = request.query_params
        token, challenge = asked.get("hub.verify_token", "").encode(), asked.get("hub.challenge", "")
        known = [channel.verify_token.encode() for channel in await services.channels.of_platform(PLATFORM)]
        matches = [hmac.compare_digest(token, one) for one in known]
        if asked.get("hub.mode") != "subscribe" or not any(matches) or not 0 < len(challenge) <= MAX_CHALLENGE:
            metrics.refused.labels(PLATFORM, "verify").inc()
            raise Forbidden("hub.mode must be subscribe, and hub.verify_token that of a connected Page.")
        return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})

    async def receive(request: Request) -> PlainTextResponse:
        body = await read_body(dict(request.scope["headers"]), request.receive, limit=BODY_LIMIT, seconds=BODY_SECONDS)
        header = request.headers.get("x-hub-signature-256", "").encode("latin-1")
        channels = await services.channels.of_platform(PLATFORM)
        signers = {secret for secret in {channel.app_secret for channel in channels} if is_signed(body, secret, header)}
        if not signers:
            metrics.refused.labels(PLATFORM, "signature").inc()
            raise Forbidden("X-Hub-Signature-256 is not this body's signature with a connected Page's app secret.")
        pages = {channel.account_id: channel.key for channel in channels if channel.app_secret in signers}
        parsed = parse(read_envelope(body), pages, received_at=services.clock.now())
        new = await services.inbox.accept(parsed.events)
        for kind, count in Counter(event.kind for event in parsed.events).items():
            metrics.received.labels(PLATFORM, kind).inc(count)
        metrics.duplicates.labels(PLATFORM).inc(len(parsed.events) - new)
        for reason, count in parsed.ignored.items():
            metrics.ignored.labels(PLATFORM, reason).inc(count)
        if parsed.ignored:
            _log.info("webhook_events_ignored", platform=PLATFORM, ignored=dict(parsed.ignored))
        return PlainTextResponse("EVENT_RECEIVED")

    async def hook(request: Request) -> PlainTextResponse:
        return await (receive if request.method == "POST" else verify)(request)

    return [Route("/hooks/messenger", hook, methods=["GET", "POST"])]
