"""Reading request bodies: never more than a route accepts, never slower than it allows, and checked in one pass.

A body is refused as 413 before it is read where it says its length, and while it is read where it does not. JSON
goes straight into a Pydantic model; whatever is wrong is named field by field, in words that say what would be right.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from gamekit.errors import InvalidInput, MalformedRequest, Problem, RequestTimeout, TooLarge, UnsupportedMediaType
from gamekit.http.patterns import MEANINGS

JSON_LIMIT = 64 * 1024
BODY_SECONDS = 30.0
DRAIN_BYTES = 4 * 1024 * 1024
"""How much of a refused body is read and dropped, so that an ordinary client gets to see the answer."""
MOST_PROBLEMS = 50
LONGEST_NAME = 64

Headers = Mapping[bytes, bytes]
Model = TypeVar("Model", bound=BaseModel)


def require_media_type(headers: Headers, *accepted: str) -> None:
    """Raises `UnsupportedMediaType` where Content-Type is none of `accepted`, or names a charset other than UTF-8."""
    media_type, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    if media_type.strip().lower() not in accepted:
        raise UnsupportedMediaType(f"Send Content-Type: {' or '.join(accepted)}.")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType("Send the body in UTF-8.")


async def read_body(
    headers: Headers, receive: Receive, *, limit: int = JSON_LIMIT, seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body. Raises `TooLarge`, `RequestTimeout`, `MalformedRequest` or `ClientDisconnect`."""
    if _announced(headers) > limit:
        raise await _refused(receive, limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        # The usual body is one piece that is already here: no timer, no copy.
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise await _refused(receive, limit, more=False)
        return body
    return b"".join([piece async for piece in _pieces(message, receive, limit, seconds)])


async def stream_body(headers: Headers, receive: Receive, *, limit: int, seconds: float) -> AsyncIterator[bytes]:
    """The body piece by piece, under the same rules as `read_body`."""
    if _announced(headers) > limit:
        raise await _refused(receive, limit)
    async for piece in _pieces(await receive(), receive, limit, seconds):
        yield piece


def parse(model: type[Model], body: bytes) -> Model:
    """The model that a JSON body stands for.

    Raises `MalformedRequest` where the body is no JSON in UTF-8, or says a name twice, and `InvalidInput` naming every
    field that is wrong.
    """
    try:
        return model.__pydantic_validator__.validate_json(body)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise refused_fields(error) from None


def parse_json(body: bytes) -> Any:
    """What a JSON body stands for, where no model reads it. Raises `MalformedRequest`."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_once_each, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except (RecursionError, ValueError) as error:
        raise MalformedRequest(f"The body is not JSON that can be read: {error}.") from None


def refuse_repeated_names(body: bytes, *, names: int) -> None:
    """Raises `MalformedRequest` where an object of the JSON `body` says a name twice; `names` is how many were read.

    Each name has a colon, so as many colons as names leaves no room for a second saying: that is nearly every body.
    """
    if body.count(b":") != names:
        parse_json(body)


def check(model: type[Model], values: Mapping[str, Any], *, where: str = "") -> Model:
    """The model that texts from a query stand for. Raises `InvalidInput`; `where` comes before the field's name."""
    try:
        return model.model_validate_strings(dict(values))
    except ValidationError as error:
        raise refused_fields(error, where=where) from None


def refused_fields(error: ValidationError, *, where: str = "") -> MalformedRequest | InvalidInput:
    """Our own error for Pydantic's, one problem per fault, with the path of each field written `prizes[1].weight`."""
    faults = error.errors(include_url=False, include_context=True, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return MalformedRequest(f"The body is not JSON in UTF-8: {faults[0]['msg'].removeprefix('Invalid JSON: ')}.")
    problems = tuple(
        Problem(where + (field_path(fault["loc"]) or "body"), _sentence(fault)) for fault in faults[:MOST_PROBLEMS]
    )
    return InvalidInput(problems=problems)


def field_path(location: Iterable[str | int]) -> str:
    """`("prizes", 1, "weight")` as `prizes[1].weight`."""
    path = ""
    for step in location:
        # An unknown name is the caller's own text, of any length.
        path += f"[{step}]" if isinstance(step, int) else f".{step[:LONGEST_NAME]}" if path else step[:LONGEST_NAME]
    return path


def _sentence(fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not known here; check its spelling or leave it out"
        case "string_pattern_mismatch":
            return MEANINGS.get(context["pattern"], f"must match {context['pattern']}")
        case "enum" | "literal_error":
            return f"must be {context['expected']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_too_short":
            return f"must have at least {context['min_length']} character{'s' if context['min_length'] > 1 else ''}"
        case "model_type" | "dict_type":
            return "must be an object"
    message = fault["msg"]
    return (
        message.removeprefix("Input should be ").join(("must be ", ""))
        if message.startswith("Input should be ")
        else message
    )


async def _pieces(message: Message, receive: Receive, limit: int, seconds: float) -> AsyncIterator[bytes]:
    deadline = asyncio.get_running_loop().time() + seconds
    read = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        read += len(piece)
        more = message.get("more_body", False)
        if read > limit:
            raise await _refused(receive, limit, more=more)
        if piece:
            yield piece
        if not more:
            return
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout from None


async def _refused(receive: Receive, limit: int, *, more: bool = True) -> TooLarge:
    """The refusal of a body that is too large, once what an ordinary client still sends was dropped."""
    dropped = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more and dropped < DRAIN_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        pass
    return TooLarge(f"The body may have at most {limit} bytes.")


def _announced(headers: Headers) -> int:
    announced = headers.get(b"content-length", b"0")
    # The server has already refused what is no number.
    return int(announced) if announced.isdigit() else 0


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedRequest(f"The body says {json.dumps(twice[:60])} twice in one object; say each name once.")
    return found


def _no_constant(name: str) -> Any:
    raise MalformedRequest(f"The body is not JSON: {name} is no JSON number.")
