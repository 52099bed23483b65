"""What every admin page shares: who asks and in which language, the frame around the page, and what stops a request.

Pages are for people, so what goes wrong with a request is a page too, in the reader's language.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from admin.services import AdminServices
from admin.session import PATH, Session, Sessions
from gamekit.accounts.models import Role
from gamekit.accounts.service import Account
from gamekit.errors import Forbidden, MalformedRequest, NotFound
from gamekit.http.body import read_body, require_media_type
from gamekit.http.i18n import accepted_languages, choose_language, load_catalogues
from gamekit.http.pages import Pages
from gamekit.http.security import STAFF_PAGE, require_same_origin

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HOME = f"{PATH}/campaigns"
SIGN_IN = f"{PATH}/sign-in"
LANGUAGE_COOKIE = "gamekit_admin_language"
FORM_BYTES = 16 * 1024
READERS = frozenset({Role.OWNER, Role.MARKETER, Role.SUPPORT})
"""Who may see campaigns and their draws."""

# Visible ASCII without a backslash, which browsers read as a slash.
_OWN_PAGE = re.compile(rf"{PATH}(?:[/?][!-\[\]-~]{{0,900}})?")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: who asks, and in which language they read."""

    request: Request
    session: Session
    account: Account | None
    language: str
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LanguageLink:
    """A way to read the same page in another language."""

    tag: str
    name: str
    short: str
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What `base.html` needs around every page."""

    language: str
    style: str
    languages: tuple[LanguageLink, ...]
    home: str
    email: str | None
    """None before signing in."""
    role: str
    token: str
    """Goes into every form."""
    may_read: bool
    """Whether campaigns are for this user."""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """The context of `message.html`: a page that only says something."""

    frame: Frame
    words: Mapping[str, str]
    heading: str
    body: str


Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Desk:
    """Receives requests and renders pages."""

    def __init__(self, services: AdminServices) -> None:
        self.services = services
        self.sessions = Sessions(services.session_key, services.clock, services.entropy, services.public_url)
        self.catalogues = load_catalogues("admin")
        self._pages = Pages("admin")

    async def visit(self, request: Request) -> Visit:
        """The request with its session; a new session where it has none in force."""
        session = self.sessions.find(request)
        account = None
        if session is not None and session.user_id is not None:
            account = await self.services.users.find(session.user_id)
            if account is None or account.stamp != session.stamp:
                account = session = None
        wanted = [request.cookies.get(LANGUAGE_COOKIE), *accepted_languages(request.headers.get("accept-language", ""))]
        language = choose_language(wanted, tuple(self.catalogues))
        return Visit(request, session or self.sessions.start(None), account, language, self.catalogues[language])

    def page(self, handler: Handler) -> Endpoint:
        """An endpoint for whoever may see campaigns; others are asked to sign in, or told why not."""

        async def endpoint(request: Request) -> Response:
            visit = await self.visit(request)
            if visit.account is None:
                query = f"?{request.url.query}" if request.url.query else ""
                return redirect(f"{SIGN_IN}?{urlencode({'next': request.url.path + query})}")
            if visit.account.role not in READERS:
                return self.message(visit, "nothing_here", HTTPStatus.FORBIDDEN)
            try:
                return await handler(visit)
            except NotFound:
                return self.message(visit, "not_found", HTTPStatus.NOT_FOUND)

        return endpoint

    async def form(self, visit: Visit) -> Mapping[str, str]:
        """The fields of the form that was sent, checked to come from a page of ours but not of which session.

        Raises `Forbidden`, `TooLarge`, `UnsupportedMediaType` or `MalformedRequest`.
        """
        request = visit.request
        require_same_origin(request, self.services.public_url)
        headers = dict(request.scope["headers"])
        require_media_type(headers, "application/x-www-form-urlencoded")
        body = await read_body(headers, request.receive, limit=FORM_BYTES)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError as error:
            raise MalformedRequest("The form could not be read.") from error
        return dict(pairs)

    def render(self, visit: Visit, template: str, context: DataclassInstance, status: int = 200) -> Response:
        response = self._pages.render(template, context, headers=STAFF_PAGE, status=int(status))
        response.headers["Content-Language"] = visit.language
        return response

    def message(self, visit: Visit, name: str, status: int) -> Response:
        """A page that says the texts `<name>_title` and `<name>_body`."""
        words = visit.words
        context = MessagePage(self.frame(visit), words, words[f"{name}_title"], words[f"{name}_body"])
        return self.render(visit, "message.html", context, status)

    def frame(self, visit: Visit, here: str | None = None) -> Frame:
        """`here`: the page's address, where it is not the request's."""
        account, url = visit.account, visit.request.url
        here = here or url.path + (f"?{url.query}" if url.query else "")
        return Frame(
            language=visit.language,
            style=self.services.assets.url("admin", "admin.css"),
            languages=tuple(
                LanguageLink(
                    tag=tag,
                    name=words["language_name"],
                    short=words["language_short"],
                    url=f"{PATH}/language/{tag}?{urlencode({'next': here})}",
                    current=tag == visit.language,
                )
                for tag, words in sorted(self.catalogues.items(), reverse=True)
            ),
            home=HOME,
            email=account.email if account else None,
            role=visit.words[f"role_{account.role.value}"] if account else "",
            token=visit.session.token,
            may_read=account is not None and account.role in READERS,
        )


def redirect(url: str) -> RedirectResponse:
    """To be followed with GET. `url` is an address of ours."""
    return RedirectResponse(url, HTTPStatus.SEE_OTHER.value, {"Cache-Control": "no-store"})


def own_page(url: str) -> str:
    """`url` where it is an admin page that one may be sent to, else the first page. Never an address elsewhere."""
    return url if _OWN_PAGE.fullmatch(url) else HOME


def require_token(visit: Visit, form: Mapping[str, str]) -> None:
    """Raises `Forbidden` where the form is not of this session."""
    if not visit.session.owns(form.get("token", "")):
        raise Forbidden("This form is no longer valid; open the page again.")
