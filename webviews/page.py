"""The play page itself: one HTML document per campaign and language, and the campaign's colours.

Opening it binds and draws nothing: chats fetch links for their previews.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gamekit.campaigns.document import localized
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.service import Published
from gamekit.errors import CampaignNotFound
from gamekit.http.pages import Pages
from gamekit.http.security import PLAYER_PAGE
from gamekit.players.links import LinkExpired, LinkInvalid, PlayLink
from webviews.face import Faces, OddsLine, odds_lines
from webviews.services import WebviewServices
from webviews.session import Sessions
from webviews.theme import theme_css

# What cannot be a slug or a version is not asked of the database, which knows smaller numbers and no NUL.
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class PlayPage:
    """The context of `play.html`."""

    language: str
    title: str
    brand: str
    words: Mapping[str, str]
    """The page's own texts."""
    fragment: str
    """The game's template."""
    styles: tuple[str, ...]
    script: str
    game_script: str
    data: str
    """JSON for the script: what it must know before its first request."""
    odds: tuple[OddsLine, ...]
    odds_note: str
    terms: str
    privacy: str


@dataclass(frozen=True, slots=True)
class MessagePage:
    """The context of `message.html`: a page that only says something."""

    language: str
    styles: tuple[str, ...]
    heading: str
    body: str


class PageRoutes:
    """The handlers that answer with a document."""

    def __init__(self, services: WebviewServices, sessions: Sessions, faces: Faces) -> None:
        self._services = services
        self._sessions = sessions
        self._faces = faces
        self._pages = Pages("webviews", more={key: game.manifest.package for key, game in services.games.items()})

    async def page(self, request: Request) -> Response:
        """GET /play/{slug}: the page. Binds nothing, since previews fetch links too."""
        slug = request.path_params["slug"]
        link = self._glance(request.query_params.get("t", ""), slug)
        session = self._sessions.find(request, slug)
        kind = RunKind(link.kind) if link else session.kind if session else RunKind.LIVE
        try:
            published = await self._services.campaigns.published(_slug(request), kind)
        except CampaignNotFound as error:
            return self._message(request, error.status)
        language = self._faces.language(request, link or session, published.document)
        channel = link.channel if link else session.channel if session else None
        context = await self._context(published, kind, language, channel)
        return self._pages.render("play.html", context, headers=PLAYER_PAGE)

    async def theme(self, request: Request) -> Response:
        """GET /theme/{slug}/{version}.css: the campaign's colours."""
        kind = RunKind.TEST if request.query_params.get("run") == RunKind.TEST else RunKind.LIVE
        version = request.path_params["version"]
        if not _VERSION.fullmatch(version):
            raise CampaignNotFound
        published = await self._services.campaigns.published(_slug(request), kind, int(version))
        look = published.document.look
        # A wiped test run counts its versions from 1 again; a live version never changes.
        kept = "public, max-age=31536000, immutable" if kind is RunKind.LIVE else "no-store"
        headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
        return Response(theme_css(look.b1, look.b2), media_type="text/css", headers=headers)

    async def _context(self, published: Published, kind: RunKind, language: str, channel: str | None) -> PlayPage:
        document, assets, game = published.document, self._services.assets, published.document.game
        words = self._faces.words[language]
        run = "?run=test" if kind is RunKind.TEST else ""
        refs, keywords = document.triggers.refs, document.triggers.keywords
        chat = await self._services.chats.find_chat_url(channel, refs[0] if refs else None) if channel else None
        data = {
            "slug": document.slug,
            "timezone": document.timezone,
            "test": kind is RunKind.TEST,
            "words": dict(words),
            "face": self._faces.face(published, language),
            "chat": chat,
            "keyword": keywords[0] if keywords else None,
            "game": assets.url(game, "game.js"),
            "sound": assets.url("webviews", "sound.js"),
        }
        return PlayPage(
            language=language,
            title=localized(document.name, language),
            brand=localized(document.look.brand, language) if document.look.brand else "",
            words=words,
            fragment=f"{game}:play.html",
            styles=(
                assets.url(f"play-{game}", "play.css"),
                f"/theme/{document.slug}/{published.version}.css{run}",
            ),
            script=assets.url("webviews", "play.js"),
            game_script=assets.url(game, "game.js"),
            data=orjson.dumps(data).decode(),
            odds=odds_lines(document, language),
            odds_note=words["odds_note"].replace("{fallback}", localized(document.fallback.name, language)),
            terms=localized(document.terms, language) if document.terms else "",
            privacy=localized(document.privacy, language) if document.privacy else "",
        )

    def _message(self, request: Request, status: int) -> Response:
        language = self._faces.language(request, None, None)
        words = self._faces.words[language]
        styles = (self._services.assets.url("webviews", "play.css"),)
        context = MessagePage(language, styles, words["missing_title"], words["missing_body"])
        return self._pages.render("message.html", context, headers=PLAYER_PAGE, status=status)

    def _glance(self, token: str, slug: str) -> PlayLink | None:
        """What a link says of its run and language, also when it is over; never who may play."""
        try:
            link = self._services.links.read(token)
        except LinkExpired as error:
            link = error.link
        except LinkInvalid:
            return None
        return link if link.slug == slug else None


def _slug(request: Request) -> str:
    slug = str(request.path_params["slug"])
    if not _SLUG.fullmatch(slug):
        raise CampaignNotFound
    return slug
