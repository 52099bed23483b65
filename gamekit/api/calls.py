"""One call of the API: what a handler may ask of it, and the two small answers it gives.

Reading is lazy and in one pass, since drawing is the hot path; every failure is raised as our own error, which
`gamekit.http.errors` turns into the one shape.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from gamekit.api.keys import Key
from gamekit.api.schemas import Request
from gamekit.api.services import ApiServices
from gamekit.errors import InvalidInput, MalformedRequest, Problem
from gamekit.http.body import (
    check,
    parse,
    parse_json,
    read_body,
    refuse_repeated_names,
    require_media_type,
    stream_body,
)

Model = TypeVar("Model", bound=BaseModel)
RequestModel = TypeVar("RequestModel", bound=Request)
RawHeaders = tuple[tuple[bytes, bytes], ...]

IDEMPOTENCY_KEY = re.compile(rb"[ -~]{1,200}")
MOST_QUERY_FIELDS = 20


class Call:
    """A request whose route is found and whose key is checked."""

    __slots__ = ("_query", "_receive", "headers", "key", "path", "services")

    def __init__(
        self,
        *,
        services: ApiServices,
        key: Key,
        path: Mapping[str, str],
        headers: Mapping[bytes, bytes],
        query: BaseModel,
        receive: Receive,
    ) -> None:
        self.services = services
        self.key = key
        self.path = path
        self.headers = headers
        self._query = query
        self._receive = receive

    def query(self, model: type[Model]) -> Model:
        """What was asked for in the address, which the route's own model has checked."""
        assert isinstance(self._query, model)
        return self._query

    def idempotency_key(self) -> str:
        """Raises `InvalidInput` where the header is missing or is not 1 to 200 printable characters."""
        given = self.headers.get(b"idempotency-key")
        if given is None or not IDEMPOTENCY_KEY.fullmatch(given):
            message = "is missing; send" if given is None else "must be"
            problem = Problem(
                "Idempotency-Key", f"{message} 1 to 200 printable ASCII characters, a new key for each request"
            )
            raise InvalidInput(problems=(problem,))
        return given.decode("ascii")

    async def body(self, model: type[RequestModel], *, limit: int) -> RequestModel:
        """The JSON body as its model."""
        if self.headers.get(b"content-type") != b"application/json":
            require_media_type(self.headers, "application/json")
        body = await read_body(self.headers, self._receive, limit=limit)
        found = parse(model, body)
        refuse_repeated_names(body, names=found.names())
        return found

    async def json_object(self, *, limit: int) -> dict[str, Any]:
        """The JSON body, an object that something other than a model of ours reads."""
        require_media_type(self.headers, "application/json")
        found = parse_json(await read_body(self.headers, self._receive, limit=limit))
        if not isinstance(found, dict):
            raise InvalidInput(problems=(Problem("body", "must be an object"),))
        return found

    def stream(self, *accepted: str, limit: int, seconds: float) -> AsyncIterator[bytes]:
        """The body of one of the accepted media types, piece by piece."""
        require_media_type(self.headers, *accepted)
        return stream_body(self.headers, self._receive, limit=limit, seconds=seconds)


class JsonAnswer:
    """A JSON answer that is sent with as little work as ASGI allows."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, body: bytes, headers: RawHeaders = ()) -> None:
        self._status = status
        self._body = body
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
            (b"cache-control", b"no-store"),
            *self._headers,
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def answer(model: BaseModel, status: int = 200) -> JsonAnswer:
    """The answer that a model stands for."""
    return JsonAnswer(status, model.__pydantic_serializer__.to_json(model))


def raw_answer(content: object, status: int = 200, headers: RawHeaders = ()) -> JsonAnswer:
    """The answer for what is already made of JSON's own types."""
    return JsonAnswer(status, orjson.dumps(content), headers)


def read_query(model: type[BaseModel], query_string: bytes) -> BaseModel:
    """What an address asks for. Raises `InvalidInput` or `MalformedRequest`."""
    if not query_string:
        return model()
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS, errors="strict"
        )
    except ValueError:
        raise MalformedRequest("The address's query cannot be read; percent-encode it as UTF-8.") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name[:64] for name in names if names.count(name) > 1})
        raise InvalidInput(problems=tuple(Problem(f"query.{name}", "is given more than once") for name in twice))
    return check(model, values, where="query.")
