"""What the play page talks to: session, state and draws. The server decides, the browser reveals.

The browser says which key it draws under and which version it shows; nothing else it says is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from gamekit.draws.service import Refused
from gamekit.errors import InvalidInput, Problem, RateLimited
from gamekit.http.body import parse, read_body, require_media_type
from gamekit.http.errors import problem
from gamekit.http.front import QUIET
from gamekit.http.security import PRIVATE_JSON, require_same_origin
from gamekit.players.bindings import LinkBoundElsewhere
from gamekit.players.links import LinkExpired, LinkInvalid, PlayLink
from webviews.face import Faces
from webviews.services import WebviewServices
from webviews.session import PlayerSession, Sessions

PER_MINUTE = 120
"""Requests of one player to the page's own routes; a page that retries with back-off stays far below."""
LONGEST_KEY = 200

_STATES = {"draft": "not_started", "scheduled": "not_started", "paused": "paused", "ended": "ended"}
_REFUSED = {"not_eligible": HTTPStatus.FORBIDDEN}


class SessionBody(BaseModel):
    """`POST /play/{slug}/session`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    t: Annotated[str, Field(max_length=4096)]
    browser: Annotated[str | None, Field(pattern=r"^[0-9a-f]{48}$")] = None
    """The browser's own secret, where its cookie was lost and the page still knows it."""


class DrawBody(BaseModel):
    """`POST /play/{slug}/draws`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1, le=2**31)]
    """The odds version the page shows; a draw of another version comes with its layout."""
    count: Annotated[int, Field(ge=1, le=10)] = 1


class PlayRoutes:
    """The handlers that answer with JSON."""

    def __init__(self, services: WebviewServices, sessions: Sessions, faces: Faces) -> None:
        self._services = services
        self._sessions = sessions
        self._faces = faces

    async def session(self, request: Request) -> Response:
        """POST /play/{slug}/session: a link becomes a session, and belongs to this browser from now on."""
        slug = request.path_params["slug"]
        body = await self._read(request, SessionBody)
        browser = self._sessions.browser(request, body.browser)
        try:
            link = self._services.links.read(body.t)
        except LinkExpired as error:
            # Whoever plays here already may go on; the old link is only how they came back.
            if not self._plays_here(request, slug, error.link):
                raise
            link = error.link
        else:
            if link.slug != slug:
                raise LinkInvalid
            await self._bind(request, slug, link, browser)
        session, sealed = self._sessions.start(link)
        await self._admit(session)
        state = await self._state(request, session, shown=_shown(request))
        response = _json({"session": sealed, "browser": browser, "state": state})
        self._sessions.keep(response, slug=slug, sealed=sealed, browser=browser)
        return response

    async def state(self, request: Request) -> Response:
        """GET /play/{slug}/state: where the player stands, and the last draw, seen or not."""
        session = self._sessions.require(request, request.path_params["slug"])
        await self._admit(session)
        return _json(await self._state(request, session, shown=_shown(request)))

    async def draw(self, request: Request) -> Response:
        """POST /play/{slug}/draws: one request to draw, safe to repeat under its Idempotency-Key."""
        request.scope[QUIET] = True
        body = await self._read(request, DrawBody)
        session = self._sessions.require(request, request.path_params["slug"])
        await self._admit(session)
        key = request.headers.get("idempotency-key", "")
        if not (1 <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
            message = f"must be 1 to {LONGEST_KEY} printable characters, new for every tap and the same for its repeats"
            raise InvalidInput(problems=(Problem("Idempotency-Key", message),))
        if body.count > 1:
            await self._require_several(session)
        result = await self._services.draws.draw(
            session.slug,
            session.kind,
            channel=session.channel,
            external_id=session.external_id,
            source=None,
            key=key,
            count=body.count,
            # The version is left out: a page that learned of a new one repeats the same request.
            body_hash=sha256(b'{"count":%d}' % body.count).hexdigest()[:32],
        )
        if isinstance(result, Refused):
            return _refusal(result)
        answer: dict[str, Any] = {"draws": list(result.draws), "chances_left": result.chances_left}
        version = result.draws[0]["odds_version"]
        if version != body.version:
            published = await self._services.campaigns.published(session.slug, session.kind, version)
            answer["face"] = self._faces.face(published, self._faces.language(request, session, published.document))
        status = HTTPStatus.OK if result.replayed else HTTPStatus.CREATED
        replayed = {"Idempotent-Replayed": "true"} if result.replayed else {}
        return _json(answer, status, replayed)

    def _plays_here(self, request: Request, slug: str, link: PlayLink) -> bool:
        session = self._sessions.find(request, slug)
        return session is not None and session == self._sessions.start(link)[0]

    async def _bind(self, request: Request, slug: str, link: PlayLink, browser: str) -> None:
        try:
            await self._services.bindings.bind(link, browser)
        except LinkBoundElsewhere:
            # A browser where the same person already plays by another link is theirs as well.
            if not self._plays_here(request, slug, link):
                raise

    async def _state(self, request: Request, session: PlayerSession, *, shown: int | None) -> dict[str, Any]:
        services = self._services
        published = await services.campaigns.published(session.slug, session.kind)
        standing = await services.draws.standing(
            session.slug, session.kind, channel=session.channel, external_id=session.external_id
        )
        document = published.document
        name = _STATES.get(standing.state, "ready")
        if name == "ready" and standing.chances_left is not None and standing.chances_left <= 0:
            name = "no_chances_left"
        state: dict[str, Any] = {
            "state": name,
            "now": services.clock.now(),
            "starts_at": _iso(document.starts_at),
            "ends_at": _iso(document.ends_at),
            "chances_left": standing.chances_left,
            "next_chance_at": _iso(standing.next_chance_at),
            "version": published.version,
            "player": session.alias,
            "latest": list(standing.latest),
        }
        language = self._faces.language(request, session, document)
        if published.version != shown:
            state["face"] = self._faces.face(published, language)
        if standing.latest and (version := standing.latest[0]["odds_version"]) != published.version:
            earlier = await services.campaigns.published(session.slug, session.kind, version)
            state["latest_face"] = self._faces.face(earlier, language)
        return state

    async def _read(self, request: Request, model: type[Any]) -> Any:
        require_same_origin(request, self._services.public_url)
        headers = dict(request.scope["headers"])
        require_media_type(headers, "application/json")
        return parse(model, await read_body(headers, request.receive))

    async def _admit(self, session: PlayerSession) -> None:
        wait = await self._services.limits.admit(f"play:{session.alias}", PER_MINUTE)
        if wait:
            raise RateLimited(retry_after=wait)

    async def _require_several(self, session: PlayerSession) -> None:
        published = await self._services.campaigns.published(session.slug, session.kind)
        if not self._services.games[published.document.game].manifest.several:
            raise InvalidInput(problems=(Problem("count", "must be 1 for this game"),))


def _shown(request: Request) -> int | None:
    version = request.query_params.get("version", "")
    return int(version) if version.isascii() and version.isdigit() and len(version) < 19 else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _json(answer: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(answer)
    return Response(body, status, {**PRIVATE_JSON, **(headers or {})}, "application/json")


def _refusal(refused: Refused) -> Response:
    code = str(refused.code)
    detail = f"{code.replace('_', ' ').capitalize()}; nothing was used up."
    return problem(
        _REFUSED.get(code, HTTPStatus.CONFLICT),
        code,
        detail,
        extensions={"next_chance_at": _iso(refused.next_chance_at)},
    )
