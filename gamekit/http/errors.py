"""One shape for every error: `application/problem+json` (RFC 9457) with a stable `code`.

Our own errors, Starlette's 404 and 405 and a database that is away each have theirs. Anything else is a 500 that tells a
correlation id and nothing more, while the log has the whole of it under the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Scope

from gamekit.entropy import Entropy
from gamekit.errors import GamekitError, Problem, Unavailable
from gamekit.ids import token

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "/api/docs#problem-"
"""Every problem type is an address of ours, where the docs page explains it (RFC 9457, 3.1.1: a full path)."""

_CODES = {
    400: "malformed_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take this method; `Allow` names those it takes.",
}
_log = structlog.get_logger(__name__)


def title(code: str) -> str:
    """The short name of a problem, the same at every occurrence: `no_chances_left` is "No chances left"."""
    return code.replace("_", " ").capitalize()


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[Problem] = (),
    instance: str | None = None,
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, object] | None = None,
) -> Response:
    """The response for one problem; `extensions` are further members of the document (RFC 9457, 3.2)."""
    document: dict[str, object] = {
        "type": TYPE_BASE + code,
        "title": title(code),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if instance is not None:
        document["instance"] = instance
    if named := [{"field": one.field, "message": one.message} for one in errors]:
        document["errors"] = named
    document.update(extensions or {})
    response = Response(orjson.dumps(document), status, headers, MEDIA_TYPE)
    response.headers["cache-control"] = "no-store"
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = 'Bearer realm="gamekit"'
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        # The rest of the body may still be on its way: the connection cannot carry another request.
        response.headers["connection"] = "close"
    return response


def problem_of(error: GamekitError) -> Response:
    """The response for one of our own errors."""
    return problem(error.status, error.code, error.message, errors=error.problems, retry_after=error.retry_after)


def response_to(error: Exception, scope: Scope, entropy: Entropy) -> Response:
    """The response for whatever a handler raised; what was not meant for the caller goes to the log, with its trace."""
    if isinstance(error, GamekitError) and (error.status < 500 or isinstance(error, Unavailable)):
        return problem_of(error)
    if isinstance(error, HTTPException):
        return _http_exception(error)
    route = getattr(scope.get("route"), "path", None)
    if _is_away(error):
        _log.error("http.unavailable", method=scope["method"], route=route, exc_info=error)
        return problem_of(Unavailable())
    # A setting or a bug: its text is for the log, not for the caller.
    correlation = token(entropy, 12)
    _log.error("http.unhandled", id=correlation, method=scope["method"], route=route, exc_info=error)
    return _unhandled(correlation)


def handlers() -> dict[Any, ExceptionHandler]:
    """For a `Starlette` app that stands alone, without a `Front`: its `exception_handlers`, in the same shape."""

    async def answer(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _http_exception(error)
        assert isinstance(error, GamekitError)
        return problem_of(error)

    return {GamekitError: answer, HTTPException: answer}


def _unhandled(correlation: str) -> Response:
    return problem(
        500,
        "internal_error",
        f"Something went wrong inside gamekit. Please name {correlation} when you report it.",
        instance=f"urn:gamekit:error:{correlation}",
    )


def _http_exception(error: HTTPException) -> Response:
    phrase = HTTPStatus(error.status_code).phrase
    code = _CODES.get(error.status_code, phrase.lower().replace(" ", "_").replace("-", "_"))
    detail = _DETAILS.get(error.status_code) or error.detail or phrase
    return problem(error.status_code, code, detail, headers=error.headers)


def _is_away(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    # OSError is what a driver raises when it cannot connect: refused, timed out, no such socket, no such host.
    return isinstance(error, PoolTimeout | OSError)
