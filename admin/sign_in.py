"""Signing in and out, and the choice of a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from admin.frame import HOME, LANGUAGE_COOKIE, SIGN_IN, Desk, Frame, Visit, own_page, redirect, require_token
from admin.session import PATH
from gamekit.accounts.passwords import LONGEST
from gamekit.accounts.service import LONGEST_EMAIL, Account, SignInRefused
from gamekit.errors import Forbidden, RateLimited
from gamekit.http.sessions import keep_cookie

LANGUAGE_SECONDS = 400 * 24 * 3600
"""The longest a browser keeps a cookie (RFC 6265bis, 5.5)."""


@dataclass(frozen=True, slots=True)
class SignInPage:
    """The context of `sign-in.html`."""

    frame: Frame
    words: Mapping[str, str]
    action: str
    next: str
    """Where to go afterwards."""
    email: str
    """As it was typed."""
    error: str | None
    email_error: str | None
    password_error: str | None
    longest_email: int
    longest_password: int


class SignInRoutes:
    """The handlers around signing in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def page(self, request: Request) -> Response:
        """GET /admin/sign-in."""
        visit = await self._desk.visit(request)
        goal = own_page(request.query_params.get("next", HOME))
        if visit.account is not None:
            return redirect(goal)
        return self._page(visit, goal)

    async def sign_in(self, request: Request) -> Response:
        """POST /admin/sign-in: e-mail, password, token and where to go next."""
        visit = await self._desk.visit(request)
        try:
            form = await self._desk.form(visit)
        except Forbidden:
            return self._desk.message(visit, "forged", HTTPStatus.FORBIDDEN)
        goal, email, password = own_page(form.get("next", HOME)), form.get("email", ""), form.get("password", "")
        words = visit.words
        try:
            require_token(visit, form)
        except Forbidden:
            return self._page(visit, goal, email=email, error=words["form_expired"], status=HTTPStatus.FORBIDDEN)
        if not (email.strip() and password):
            return self._page(
                visit,
                goal,
                email=email,
                email_error=None if email.strip() else words["email_missing"],
                password_error=None if password else words["password_missing"],
                status=HTTPStatus.UNPROCESSABLE_ENTITY,
            )
        found = await self._attempt(request, email, password)
        if isinstance(found, Account):
            response: Response = redirect(goal)
            self._desk.sessions.keep(response, self._desk.sessions.start(found))
            return response
        if found.wait:
            error = words["too_many"].replace("{minutes}", str(-(-found.wait // 60)))
            response = self._page(visit, goal, email=email, error=error, status=HTTPStatus.TOO_MANY_REQUESTS)
            response.headers["Retry-After"] = str(found.wait)
            return response
        return self._page(visit, goal, email=email, error=words["wrong"], status=HTTPStatus.FORBIDDEN)

    async def sign_out(self, request: Request) -> Response:
        """POST /admin/sign-out."""
        visit = await self._desk.visit(request)
        try:
            form = await self._desk.form(visit)
            if visit.account is not None:
                require_token(visit, form)
        except Forbidden:
            return self._desk.message(visit, "forged", HTTPStatus.FORBIDDEN)
        response = redirect(SIGN_IN)
        self._desk.sessions.end(response)
        return response

    async def language(self, request: Request) -> Response:
        """GET /admin/language/{tag}: remembers the language and goes back. Changes nothing but what this browser reads."""
        response = redirect(own_page(request.query_params.get("next", HOME)))
        tag = request.path_params["tag"]
        if tag in self._desk.catalogues:
            secure = self._desk.services.public_url.startswith("https:")
            keep_cookie(response, LANGUAGE_COOKIE, tag, path=PATH, seconds=LANGUAGE_SECONDS, secure=secure)
        return response

    async def _attempt(self, request: Request, email: str, password: str) -> Account | SignInRefused:
        address = request.client.host if request.client else ""
        try:
            return await self._desk.services.sign_in.attempt(email, password, address=address)
        except RateLimited as error:
            return SignInRefused(error.retry_after or 1)

    def _page(
        self,
        visit: Visit,
        goal: str,
        *,
        email: str = "",
        error: str | None = None,
        email_error: str | None = None,
        password_error: str | None = None,
        status: int = HTTPStatus.OK,
    ) -> Response:
        here = SIGN_IN if goal == HOME else f"{SIGN_IN}?{urlencode({'next': goal})}"
        context = SignInPage(
            frame=self._desk.frame(visit, here),
            words=visit.words,
            action=SIGN_IN,
            next=goal,
            email=email,
            error=error,
            email_error=email_error,
            password_error=password_error,
            longest_email=LONGEST_EMAIL,
            longest_password=LONGEST,
        )
        response = self._desk.render(visit, "sign-in.html", context, status)
        self._desk.sessions.keep(response, visit.session)
        return response
