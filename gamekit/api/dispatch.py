"""From an address to its operation, through one door: method, key, scope, rate, query, then the handler.

Addresses are matched segment by segment as they were sent, before percent-decoding, so that a player's id may hold a
slash (`%2F`). Finding a route costs a few dictionary look-ups however many there are.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gamekit.api import keys
from gamekit.api.calls import Call, read_query
from gamekit.api.keys import Key
from gamekit.api.services import ApiServices
from gamekit.errors import (
    CampaignNotFound,
    DrawNotFound,
    Forbidden,
    GamekitError,
    InvalidInput,
    NotFound,
    PrizeNotFound,
    Problem,
    RateLimited,
    Unauthorized,
)
from gamekit.http.front import QUIET
from gamekit.http.patterns import CHANNEL, KEY, MEANINGS, PRINTABLE

PREFIX = "/api/v1/"
_BEGINNING = PREFIX.encode()
Handler = Callable[[Call], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True)
class PathField:
    """A part of an address that differs from call to call. `missing` is told for one that cannot exist."""

    pattern: str
    longest: int
    description: str
    example: str
    missing: type[GamekitError] | None = None


PATH_FIELDS: Mapping[str, PathField] = {
    "slug": PathField(KEY, 64, "The campaign's slug.", "summer-wheel", CampaignNotFound),
    "key": PathField(KEY, 64, "The prize's key.", "latte", PrizeNotFound),
    "draw": PathField(r"^[0-9a-z-]+$", 80, "The draw's id.", "0c7h3k9m2p4r-1-7-2r8k4m0c7h3k", DrawNotFound),
    "channel": PathField(CHANNEL, 64, "The connected channel's key.", "messenger"),
    "id": PathField(PRINTABLE, 200, "The player's id on that channel.", "1423587017700273"),
    "tag": PathField(PRINTABLE, 64, "The tag.", "won-latte"),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one address: all that the dispatcher, the OpenAPI document and the docs page know of it."""

    id: str
    method: str
    path: str
    """What follows `PREFIX`."""
    summary: str
    scope: keys.Scope
    handler: Handler
    query: type[BaseModel]
    answers: Mapping[int, type[BaseModel] | str | None]
    """Per status a model of JSON, another media type, or None for no body."""
    body: type[BaseModel] | str | None = None
    """A model of JSON, or another media type."""
    headers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Codes beyond those that every operation may answer."""
    description: str = ""
    quiet: bool = False
    """Too frequent to be logged one by one; the ledger has it anyway."""


@dataclass(slots=True)
class _Node:
    """One segment of the addresses."""

    segments: dict[bytes, _Node] = field(default_factory=dict)
    any: _Node | None = None
    name: str = ""
    """What the segment below `any` stands for."""
    template: str = ""
    operations: dict[str, Operation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Template:
    """Tells Starlette's scope, and so the metrics, which address was meant."""

    path: str


class Dispatcher:
    """The ASGI app of every operation."""

    def __init__(self, operations: Iterable[Operation], services: ApiServices) -> None:
        self._services = services
        self._root = _Node()
        self._templates: dict[str, _Template] = {}
        self._patterns = {name: re.compile(one.pattern) for name, one in PATH_FIELDS.items()}
        for operation in operations:
            self._add(operation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        node, path = self._find(scope)
        method = scope["method"]
        operation = node.operations.get("GET" if method == "HEAD" else method)
        scope["route"] = self._templates[node.template]
        if operation is None:
            raise HTTPException(405, headers={"Allow": ", ".join(_allowed(node))})
        if operation.quiet:
            scope[QUIET] = True
        headers: dict[bytes, bytes] = dict(scope["headers"])
        key = await self._authorised(operation, headers)
        for name, value in path.items():
            self._check(name, value)
        query = read_query(operation.query, scope["query_string"])
        call = Call(services=self._services, key=key, path=path, headers=headers, query=query, receive=receive)
        answer = await operation.handler(call)
        await answer(scope, receive, send)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for segment in operation.path.split("/"):
            if segment.startswith("{"):
                node.any = node.any or _Node()
                node.name = segment.strip("{}")
                node = node.any
            else:
                node = node.segments.setdefault(segment.encode(), _Node())
        node.template = PREFIX + operation.path
        node.operations[operation.method] = operation
        self._templates[node.template] = _Template(node.template)

    def _find(self, scope: Scope) -> tuple[_Node, dict[str, str]]:
        node = self._root
        path: dict[str, str] = {}
        for segment in scope["raw_path"].partition(_BEGINNING)[2].split(b"/"):
            below = node.segments.get(segment)
            if below is None:
                below = node.any
                if below is None or not segment:
                    raise NotFound
                path[node.name] = _decoded(segment)
            node = below
        if not node.operations:
            raise NotFound
        return node, path

    async def _authorised(self, operation: Operation, headers: Mapping[bytes, bytes]) -> Key:
        scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
        if scheme != b"Bearer" and scheme.lower() != b"bearer":
            raise Unauthorized
        key = await self._services.keys.find(secret.strip())
        if key is None:
            raise Unauthorized("This API key is not valid, or it was revoked.")
        if wait := await self._services.limits.admit(key.id, key.rate_per_minute):
            raise RateLimited(retry_after=wait)
        if operation.scope not in key.scopes:
            raise Forbidden(f"This key lacks the scope {operation.scope.value!r}.")
        return key

    def _check(self, name: str, value: str) -> None:
        rule = PATH_FIELDS[name]
        if len(value) > rule.longest or not self._patterns[name].fullmatch(value):
            if rule.missing is not None:
                raise rule.missing
            meaning = MEANINGS[rule.pattern]
            raise InvalidInput(
                problems=(Problem(f"path.{name}", f"{meaning}, and have at most {rule.longest} characters"),)
            )


def _allowed(node: _Node) -> list[str]:
    return sorted({*node.operations, *(("HEAD",) if "GET" in node.operations else ())})


def _decoded(segment: bytes) -> str:
    if b"%" in segment:
        segment = unquote_to_bytes(segment)
    try:
        return segment.decode()
    except UnicodeDecodeError:
        raise NotFound from None
