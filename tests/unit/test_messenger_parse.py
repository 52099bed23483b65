from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamekit.bots.emulator.people import as_meta_writes
from gamekit.bots.events import Commented, LinkOpened, MediaSent, Tapped, TextSent
from gamekit.bots.messenger.parse import MAX_UPDATES, Parsed, parse, read_envelope
from gamekit.bots.messenger.signature import is_signed, sign
from gamekit.errors import MalformedRequest, TooLarge
from tests.chat import FIXTURES, PAGE, envelope, text_update

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def read(payload: dict[str, Any]) -> Parsed:
    pages = {entry["id"]: "messenger" for entry in payload["entry"] if isinstance(entry.get("id"), str)}
    return parse(read_envelope(as_meta_writes(payload)), pages, received_at=NOW)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("text_message", TextSent("Sharp tools make good work.")),
        ("image_message", MediaSent()),
        ("like_sticker_message", MediaSent()),
        ("quick_reply_message", TextSent("Red", "DEVELOPER_DEFINED_PAYLOAD_FOR_PICKING_RED")),
        ("postback", Tapped("USER_DEFINED_PAYLOAD")),
        ("link_referral", LinkOpened("aaaa")),
        ("postback_referral", Tapped("__GET_STARTED__", "Get Started", "aaaa")),
        (
            "comment_add",
            Commented("139560936744456_139620233405726", "137542570280222_139560936744456", "Good"),
        ),
    ],
)
def test_events_for_us_are_read(name: str, what: object) -> None:
    """Each payload of a kind we use becomes its neutral event."""
    parsed = read(FIXTURES[name])
    assert [event.what for event in parsed.events] == [what]
    assert not parsed.ignored


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("delivery", "delivery"),
        ("read", "read"),
        ("echo_message", "echo"),
        ("pass_thread_control", "pass_thread_control"),
        ("optin", "optin"),
        ("comment_edited", "change"),
        ("reaction_add", "change"),
        ("sent_by_page", "own"),
    ],
)
def test_other_events_are_counted_and_passed_over(name: str, reason: str) -> None:
    """Echoes, the Page's own comments and kinds we do not use are counted by reason."""
    parsed = read(FIXTURES[name])
    assert parsed.events == ()
    assert parsed.ignored == {reason: 1}


def test_times_and_senders_are_taken_from_the_event() -> None:
    """An event says who, when to the millisecond, and under which key it is known."""
    (event,) = read(FIXTURES["text_message"]).events
    assert event.sender == "1423587017700273"
    assert event.at == datetime(2017, 4, 10, 3, 52, 43, 181_000, tzinfo=UTC)
    assert event.dedupe_key == "mid:mid.$cAAE1UUyiiwthh0NPrVbVf4HFNDGl"


def test_a_time_in_the_future_counts_as_now() -> None:
    """A platform's fast clock cannot lengthen a messaging window."""
    (event,) = read(envelope(text_update("x", at=4_000_000_000_000))).events
    assert event.at == NOW


def test_events_without_a_mid_are_told_apart() -> None:
    """Two different taps at one moment have two keys; the same one again has the same key."""
    update = FIXTURES["postback"]["entry"][0]["messaging"][0]
    other = copy.deepcopy(update)
    other["postback"]["payload"] = "ANOTHER"
    keys = [event.dedupe_key for event in read(envelope(update, other, update, page="1")).events]
    assert len(keys) == 3
    assert len(set(keys)) == 2
    assert all(key.startswith("hash:") and len(key) <= 128 for key in keys)


def test_a_broken_event_harms_no_other() -> None:
    """Of a batch with broken members, every valid event is read, oldest first."""
    broken: list[Any] = [None, 7, "x", [], {}, {"message": 1}, {"sender": {"id": "1"}, "message": {"text": "no time"}}]
    broken.append(text_update("huge", at=int("9" * 30)))
    parsed = read(envelope(*broken, text_update("late", mid="b", at=2_000), text_update("early", mid="a", at=1_000)))
    assert [event.what for event in parsed.events] == [TextSent("early"), TextSent("late")]
    assert parsed.ignored.total() == len(broken)


def test_text_is_made_fit_for_any_database() -> None:
    """NUL and halves of surrogate pairs are replaced; the words around them stay."""
    body = json.dumps(envelope(text_update("a\x00b\ud83dc 😀", mid="\x00" * 300))).encode()
    (event,) = parse(read_envelope(body), {PAGE.page_id: "messenger"}, received_at=NOW).events
    assert event.what == TextSent("a\ufffdb\ufffdc 😀")
    assert event.dedupe_key.startswith("hash:")


def test_events_of_other_pages_are_passed_over() -> None:
    """A Page that the signing app has not connected cannot speak."""
    parsed = parse(envelope(text_update("x"), page="999"), {PAGE.page_id: "messenger"}, received_at=NOW)
    assert parsed.ignored == {"page": 1}


def test_more_events_than_the_platform_sends_are_refused() -> None:
    """A thousand events are read; one more is too many."""
    updates = [text_update("x", mid=str(number)) for number in range(MAX_UPDATES)]
    assert len(read(envelope(*updates)).events) == MAX_UPDATES
    with pytest.raises(TooLarge):
        read(envelope(*updates, text_update("x", mid="last")))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"1", b"null", b"[" * 100_000, b'"x"'])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    """A body that is no JSON object is refused, however it is broken."""
    with pytest.raises(MalformedRequest):
        read_envelope(body)


def mutations(value: Any) -> st.SearchStrategy[Any]:
    """`value` with any of its parts replaced, dropped or surrounded by strange ones."""
    if isinstance(value, dict):
        kept = st.fixed_dictionaries({}, optional={key: mutations(inner) for key, inner in value.items()})
        whole = st.fixed_dictionaries({key: mutations(inner) for key, inner in value.items()})
        return whole | kept | json_values
    if isinstance(value, list):
        return st.lists(st.one_of(*map(mutations, value)), max_size=3) | json_values
    return st.just(value) | json_values


@given(st.sampled_from(sorted(FIXTURES)).flatmap(lambda name: mutations(FIXTURES[name])))
def test_no_envelope_raises(payload: Any) -> None:
    """Whatever is wrong in an envelope, it is read, and each event is either made or counted."""
    body = json.dumps({"object": "page", "entry": [payload]} if not isinstance(payload, dict) else payload).encode()
    parsed = parse(read_envelope(body), {PAGE.page_id: "messenger", "137542570280111": "messenger"}, received_at=NOW)
    for event in parsed.events:
        json.dumps(event.to_json()).encode()
        assert len(event.dedupe_key) <= 128
        assert event.sender


def test_a_signature_is_over_the_raw_bytes() -> None:
    """Meta's escaped form has another signature than the same JSON written with the characters themselves."""
    payload = envelope(text_update("抽獎"))
    escaped = as_meta_writes(payload)
    assert b"\\u62bd\\u734e" in escaped
    header = sign(escaped, "secret").encode()
    assert is_signed(escaped, "secret", header)
    assert not is_signed(json.dumps(payload, ensure_ascii=False).encode(), "secret", header)
    assert not is_signed(escaped, "other", header)
    assert not is_signed(escaped, "secret", b"")
    assert not is_signed(escaped, "secret", "sha256=é".encode("latin-1"))


def test_a_signature_is_the_known_one() -> None:
    """The signature equals HMAC-SHA256 test case 2 of RFC 4231."""
    expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign(b"what do ya want for nothing?", "Jefe") == expected
