"""The outermost layer: one error shape whatever happens, and nothing of the inside told."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import IntegrityError, OperationalError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from structlog.testing import capture_logs

from gamekit.entropy import SystemEntropy
from gamekit.errors import ConfigError, InvalidInput, Problem, RateLimited, TooLarge, Unauthorized, Unavailable
from gamekit.http.errors import MEDIA_TYPE, title
from gamekit.http.front import Front


def client(*errors: Exception) -> httpx2.AsyncClient:
    """A client of an app whose /0, /1, … raise these."""

    def raiser(error: Exception) -> Route:
        async def raise_it(_: Request) -> Response:
            raise error

        return Route(f"/{errors.index(error)}", raise_it)

    async def fine(_: Request) -> Response:
        return PlainTextResponse("fine")

    routes = [*(raiser(error) for error in errors), Route("/fine", fine)]
    routes.append(Route("/people/{name}", fine, methods=["PUT"]))
    front = Front(Router(routes), SystemEntropy())
    transport = httpx2.ASGITransport(app=front, raise_app_exceptions=True)
    return httpx2.AsyncClient(transport=transport, base_url="http://test")


def document(response: httpx2.Response) -> dict[str, Any]:
    """The problem, once it is sure that it is one."""
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    assert set(found) >= {"type", "title", "status", "detail", "code"}
    assert found["status"] == response.status_code
    assert found["title"] == title(found["code"])
    assert found["type"] == f"/api/docs#problem-{found['code']}"
    return found


async def test_addresses_and_methods_that_are_not_there() -> None:
    """404 and 405 have the one shape, and 405 names what is allowed."""
    async with client() as web:
        missing = await web.get("/nothing")
        assert (missing.status_code, document(missing)["code"]) == (404, "not_found")
        wrong = await web.delete("/fine")
        assert (wrong.status_code, document(wrong)["code"]) == (405, "method_not_allowed")
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_our_errors_tell_their_code_and_fields() -> None:
    """Fields, Retry-After and WWW-Authenticate come with the errors that have them."""
    problems = (Problem("count", "must be at most 10"),)
    errors = InvalidInput(problems=problems), RateLimited(retry_after=7), Unauthorized(), Unavailable(), TooLarge()
    async with client(*errors) as web:
        invalid, limited, unknown, away, large = [await web.get(f"/{index}") for index in range(5)]
    assert document(invalid)["errors"] == [{"field": "count", "message": "must be at most 10"}]
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert (unknown.status_code, unknown.headers["www-authenticate"]) == (401, 'Bearer realm="gamekit"')
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert (large.status_code, large.headers["connection"]) == (413, "close")
    for response in (limited, unknown, away, large):
        assert "errors" not in document(response)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("secret"), ConfigError("secret"), IntegrityError("secret", {}, ValueError("secret"))]
)
async def test_a_bug_tells_a_number_and_nothing_else(error: Exception) -> None:
    """The answer names the log's entry; the log has the error, the route and no address."""
    async with client(error) as web:
        with capture_logs() as logs:
            response = await web.get("/0?player=1423587017700273")
    found = document(response)
    assert (response.status_code, found["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    (entry,) = [entry for entry in logs if entry["event"] == "http.unhandled"]
    assert found["instance"] == f"urn:gamekit:error:{entry['id']}"
    assert entry["exc_info"] is error
    assert entry["route"] == "/0"
    assert "1423587017700273" not in json.dumps(logs, default=str)


@pytest.mark.parametrize(
    "error", [OperationalError("x", {}, OSError()), ConnectionRefusedError(), FileNotFoundError(), TimeoutError()]
)
async def test_a_database_that_is_away_is_503(error: Exception) -> None:
    """It passes by itself, so the caller is told to come again."""
    async with client(error) as web:
        response = await web.get("/0")
    assert (response.status_code, document(response)["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"


async def test_half_an_answer_is_not_mended() -> None:
    """Where the answer had begun, no second one is written into it, and its end is never sent."""
    sent: list[dict[str, Any]] = []

    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/"}

    async def receive() -> Any:
        return {"type": "http.request"}

    await Front(breaks, SystemEntropy())(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]


async def test_requests_are_counted_by_route_and_never_by_address() -> None:
    """A player's id must not become a metric or a line of the log."""
    async with client() as web:
        with capture_logs() as logs:
            await web.put("/people/1423587017700273")
            await web.get("/nothing/1423587017700273")
    labels = {"method": "PUT", "route": "/people/{name}", "status": "200"}
    assert REGISTRY.get_sample_value("gamekit_http_requests_total", labels) == 1
    assert REGISTRY.get_sample_value(
        "gamekit_http_requests_total", {"method": "GET", "route": "unmatched", "status": "404"}
    )
    assert "1423587017700273" not in json.dumps(logs, default=str)
    assert [(entry["event"], entry["route"]) for entry in logs] == [("http.request", "/people/{name}")]
