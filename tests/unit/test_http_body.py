"""Request bodies: their limits, their media types, and how a wrong one is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from gamekit.api.schemas import DrawRequest, body_hash
from gamekit.errors import (
    InvalidInput,
    MalformedRequest,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)
from gamekit.http.body import (
    field_path,
    parse,
    parse_json,
    read_body,
    refuse_repeated_names,
    require_media_type,
    stream_body,
)


def sending(pieces: Iterable[bytes], *, gone: bool = False) -> Receive:
    """A client that sends these pieces one after another, and then perhaps goes away."""
    parts = list(pieces)
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if gone:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    return receive


def draw(**changes: object) -> bytes:
    return json.dumps({"player": {"channel": "messenger", "id": "1"}, **changes}).encode()


@pytest.mark.parametrize("pieces", [[b"abc"], [b"", b"a", b"bc"], [b"abc", b""]])
async def test_a_body_is_the_same_however_it_comes(pieces: list[bytes]) -> None:
    """One piece or several, with empty ones between: the body is their sum."""
    assert await read_body({}, sending(pieces), limit=3) == b"abc"
    assert b"".join([piece async for piece in stream_body({}, sending(pieces), limit=3, seconds=1)]) == b"abc"


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"ab", b"cd"], [b"", b"abc", b"d", b"e"]])
async def test_a_body_over_the_limit_is_refused_while_it_is_read(pieces: list[bytes]) -> None:
    """A chunked body says no length, so it is counted."""
    with pytest.raises(TooLarge, match="at most 3 bytes"):
        await read_body({}, sending(pieces), limit=3)
    with pytest.raises(TooLarge):
        assert [piece async for piece in stream_body({}, sending(pieces), limit=3, seconds=1)]


async def test_a_body_that_announces_too_much_is_refused_before_it_is_read() -> None:
    """Content-Length is believed where it says too much."""
    with pytest.raises(TooLarge):
        await read_body({b"content-length": b"4"}, sending([b"abcd"]), limit=3)


async def test_a_client_that_leaves_in_the_middle_is_no_error_of_ours() -> None:
    """Half a body is never taken for a whole one."""
    with pytest.raises(ClientDisconnect):
        await read_body({}, sending([b"ab"], gone=True), limit=10)


async def test_a_body_that_drips_is_given_up() -> None:
    """Between two pieces a client may not wait for ever."""

    async def receive() -> Message:
        return await anext(messages)

    async def slowly() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": b"a", "more_body": True}
        await asyncio.sleep(60)

    messages = slowly()
    with pytest.raises(RequestTimeout):
        await read_body({}, receive, seconds=0.01)


@pytest.mark.parametrize(
    "given_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_in_utf_8_is_read(given_type: str) -> None:
    """Case and parameters of Content-Type do not matter, as long as the charset is UTF-8."""
    require_media_type({b"content-type": given_type.encode()}, "application/json")


@pytest.mark.parametrize("given_type", ["", "text/plain", "application/json; charset=big5", "\xff"])
def test_another_media_type_is_refused(given_type: str) -> None:
    """What is not JSON in UTF-8 is not guessed at."""
    with pytest.raises(UnsupportedMediaType):
        require_media_type({b"content-type": given_type.encode("latin-1")}, "application/json")


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (draw(count=0), "count", "at least 1"),
        (draw(count=11), "count", "at most 10"),
        (draw(count=10**30), "count", "at most 10"),
        (draw(count="1"), "count", "a valid integer"),
        (draw(count=1.5), "count", "a valid integer"),
        (draw(count=True), "count", "a valid integer"),
        (draw(run="prod"), "run", "'live' or 'test'"),
        (draw(cuont=1), "cuont", "is not known here"),
        (b"{}", "player", "is missing"),
        (b"[]", "body", "must be an object"),
        (b'{"player": 5}', "player", "must be an object"),
        (draw(player={"id": "1"}), "player.channel", "is missing"),
        (draw(player={"channel": "Messenger", "id": "1"}), "player.channel", "a-z, 0-9"),
        (draw(player={"channel": "messenger\n", "id": "1"}), "player.channel", "a-z, 0-9"),
        (draw(player={"channel": "m", "id": ""}), "player.id", "at least 1 character"),
        (draw(player={"channel": "m", "id": "x" * 201}), "player.id", "at most 200 characters"),
        (draw(player={"channel": "m", "id": "a\nb"}), "player.id", "no control characters"),
        (draw(player={"channel": "m", "id": "a\u2028b"}), "player.id", "no control characters"),
        (draw(player={"channel": "m", "id": 5}), "player.id", "a valid string"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(body: bytes, field: str, says: str) -> None:
    """Each fault has its field's path and a sentence a person can act on."""
    with pytest.raises(InvalidInput) as raised:
        parse(DrawRequest, body)
    found = {problem.field: problem.message for problem in raised.value.problems}
    assert says in found[field]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"a": "\xff"}', b"[" * 5000, b'{"player": "\\ud800"}', b"nul"]
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    """Broken JSON, other encodings, half surrogates and endless nesting are one kind of problem, with both readers."""
    with pytest.raises(MalformedRequest):
        parse(DrawRequest, body)
    if b"ud800" not in body:
        with pytest.raises(MalformedRequest):
            parse_json(body)


@pytest.mark.parametrize("body", [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"9" * 5000 + b"}"])
def test_numbers_that_json_does_not_have_are_malformed(body: bytes) -> None:
    """NaN, infinity and numbers without measure are refused, not passed on."""
    with pytest.raises(MalformedRequest):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"player": {"channel": "m", "id": "1"}, "player": {"channel": "m", "id": "2"}}',
        b'{"player": {"channel": "m", "id": "1", "id": "2"}}',
        b'{"player": {"channel": "m", "id": "1"}, "count": 1, "co\\u0075nt": 2}',
    ],
)
def test_a_name_said_twice_is_refused(body: bytes) -> None:
    """Two programs could read such a body in two ways."""
    with pytest.raises(MalformedRequest, match="twice"):
        refuse_repeated_names(body, names=parse(DrawRequest, body).names())


def test_a_colon_in_a_value_is_no_second_name() -> None:
    """The quick count of colons errs only towards a closer look."""
    body = draw(player={"channel": "m", "id": "a:b::c"}, count=2)
    refuse_repeated_names(body, names=parse(DrawRequest, body).names())


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_a_player_id_or_is_refused_by_name(text: str) -> None:
    """No text breaks the reader: it is taken as it is, or `player.id` is named."""
    body = draw(player={"channel": "m", "id": text})
    refused: tuple[str, ...] = ()
    try:
        found = parse(DrawRequest, body)
    except InvalidInput as error:
        refused = tuple(problem.field for problem in error.problems)
    else:
        refuse_repeated_names(body, names=found.names())
        assert found.player.id == text
    assert refused in {(), ("player.id",)}


def test_a_body_of_10_kb_names_is_answered_shortly() -> None:
    """What a caller made up is not sent back at length."""
    with pytest.raises(InvalidInput) as raised:
        parse(DrawRequest, draw(**{f"{'x' * 10_000}{number}": 1 for number in range(200)}))
    assert sum(len(problem.field) for problem in raised.value.problems) < 5000


def test_equal_requests_have_equal_hashes() -> None:
    """White space, order and defaults do not make another request; player and count do."""
    first = parse(DrawRequest, b'{"player":{"channel":"m","id":"1"}}')
    second = parse(DrawRequest, b'{ "run": "live", "count": 1,\n "player": {"id": "1", "channel": "m"} }')
    assert first == second
    hashes = {body_hash("m", "1", 1), body_hash("m", "1", 2), body_hash("m", "11", 1), body_hash("m1", "1", 1)}
    assert len(hashes) == 4
    assert all(len(one) == 32 for one in hashes)


def test_paths_are_written_as_in_the_campaign_file() -> None:
    """Lists by position, tables by dots."""
    assert field_path(("prizes", 1, "weight")) == "prizes[1].weight"
    assert field_path(()) == ""
