"""Messenger's webhook envelope into neutral events.

Pure, and it never raises for what an envelope holds: an event of an unknown type is counted and passed over, and so is
a broken one, without harm to its neighbours. Facts: Messenger Platform, webhooks, 2026-05-05; the shape of page
comments is what many implementations agree on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from gamekit.bots.events import Commented, Inbound, LinkOpened, MediaSent, Tapped, TextSent, What
from gamekit.errors import MalformedRequest, TooLarge

MAX_UPDATES = 1_000
"""Meta's own limit for one call."""
MAX_TEXT = 2_000
MAX_REF = 2_083
MAX_KEY = 100

_PASSED_OVER = (
    "delivery",
    "read",
    "reaction",
    "optin",
    "template",
    "pass_thread_control",
    "take_thread_control",
)

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parsed:
    """The events of one call, oldest first, and how many were passed over, by reason."""

    events: tuple[Inbound, ...]
    ignored: Counter[str]


class _PassOver(Exception):
    """This event is none for us; the argument is the reason."""


def read_envelope(body: bytes) -> Fields:
    """The webhook's JSON object. Raises `MalformedRequest` where there is none.

    Tolerant where one event could spoil the others: repeated names, numbers too large to read and halves of surrogate
    pairs are let through here, and judged event by event.
    """
    try:
        data = json.loads(body, parse_int=_number, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body is not JSON; a webhook sends an object with `object` and `entry`.") from error
    if not isinstance(data, dict):
        raise MalformedRequest("The body must be a JSON object with `object` and `entry`.")
    return data


def parse(envelope: Fields, pages: Mapping[str, str], *, received_at: datetime) -> Parsed:
    """The events of an envelope. `pages` maps ids of the Pages this call may speak for to their channels' keys.

    Raises `TooLarge` where there are more than `MAX_UPDATES` events.
    """
    ignored: Counter[str] = Counter()
    events = []
    if envelope.get("object") != "page":
        ignored["object"] += 1
        return Parsed((), ignored)
    updates = list(_updates(envelope, ignored))
    if len(updates) > MAX_UPDATES:
        raise TooLarge(f"One call may bring at most {MAX_UPDATES:,} events.")
    for page, field, update in updates:
        try:
            if page not in pages:
                raise _PassOver("page")
            make = _comment if field == "changes" else _message
            events.append(make(update, page, pages[page], received_at))
        except _PassOver as reason:
            ignored[str(reason)] += 1
    events.sort(key=lambda event: (event.at, event.dedupe_key))
    return Parsed(tuple(events), ignored)


def _updates(envelope: Fields, ignored: Counter[str]) -> Iterator[tuple[str, str, Fields]]:
    """Every update with its Page and the list it came in."""
    for entry in _list(envelope.get("entry")):
        known = False
        for field in ("messaging", "changes"):
            for update in _list(entry.get(field)) if isinstance(entry, dict) else ():
                known = True
                if isinstance(update, dict):
                    yield _clean(entry.get("id"), 64) or "", field, update
                else:
                    ignored["broken"] += 1
        if not known:
            ignored["entry"] += 1


def _message(update: Fields, page: str, channel: str, received_at: datetime) -> Inbound:
    sender = _clean(_object(update.get("sender")).get("id"), 200)
    at = _moment(update.get("timestamp"), per_second=1_000, latest=received_at)
    kind, what, mid = _what(update)
    if sender == page:
        raise _PassOver("own")
    if not sender or at is None:
        raise _PassOver("broken")
    # Without a mid an event is known by who, when and what (webhooks: dedupe is the receiver's work).
    key = f"mid:{mid}" if mid else _digest(page, sender, str(update.get("timestamp")), kind, repr(what))
    return Inbound(channel, sender, at, _short(key), what)


def _what(update: Fields) -> tuple[str, What, str | None]:
    """The name of the event's own key, what it says, and its mid."""
    if "message" in update:
        return _written(_object(update["message"]))
    if "postback" in update:
        postback = _object(update["postback"])
        payload = _clean(postback.get("payload"), 1_000)
        if not payload:
            raise _PassOver("broken")
        tapped = Tapped(payload, _clean(postback.get("title"), 200), _ref(postback))
        return "postback", tapped, _clean(postback.get("mid"), 1_000)
    if "referral" in update:
        ref = _ref(update)
        if not ref:
            raise _PassOver("broken")
        return "referral", LinkOpened(ref), None
    if "reaction" in update and _object(update["reaction"]).get("action") != "unreact":
        return "reaction", MediaSent(), None
    raise _PassOver(next((known for known in _PASSED_OVER if known in update), "unknown"))


def _written(message: Fields) -> tuple[str, What, str | None]:
    if message.get("is_echo"):
        raise _PassOver("echo")
    mid = _clean(message.get("mid"), 1_000)
    text, ref = _clean(message.get("text"), MAX_TEXT), _ref(message)
    payload = _clean(_object(message.get("quick_reply")).get("payload"), 1_000)
    if text or payload or ref:
        return "message", TextSent(text or "", payload, ref), mid
    if "attachments" in message or "sticker_id" in message:
        return "message", MediaSent(), mid
    raise _PassOver("message" if mid else "broken")


def _comment(update: Fields, page: str, channel: str, received_at: datetime) -> Inbound:
    value = _object(update.get("value"))
    if update.get("field") != "feed" or value.get("item") != "comment" or value.get("verb") != "add":
        raise _PassOver("change")
    author, comment_id = _clean(_object(value.get("from")).get("id"), 200), _clean(value.get("comment_id"), 200)
    at = _moment(value.get("created_time"), per_second=1, latest=received_at)
    if author == page:
        raise _PassOver("own")
    if not author or not comment_id or at is None:
        raise _PassOver("broken")
    what = Commented(comment_id, _clean(value.get("post_id"), 200), _clean(value.get("message"), MAX_TEXT) or "")
    return Inbound(channel, author, at, _short(f"comment:{comment_id}"), what)


def _ref(holder: Fields) -> str | None:
    return _clean(_object(holder.get("referral")).get("ref"), MAX_REF)


def _clean(value: object, limit: int) -> str | None:
    """Text that any database takes, at most `limit` characters; None where there is none. Ids may come as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        return None
    whole = value[:limit].replace("\x00", "\ufffd")
    return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _moment(value: object, *, per_second: int, latest: datetime) -> datetime | None:
    """A platform's time stamp, not later than when it came in: a fast clock must not lengthen a window."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 100_000_000_000 * per_second:
        return None
    seconds, rest = divmod(value, per_second)
    return min(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1_000_000 // per_second), latest)


def _digest(*parts: str) -> str:
    return "hash:" + sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _short(key: str) -> str:
    return key if len(key) <= MAX_KEY and key.isascii() and key.isprintable() else _digest(key)


def _object(value: object) -> Fields:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(digits: str) -> int | None:
    """A whole number of a size that any id or time has; anything else counts as absent."""
    return int(digits) if len(digits) <= 20 and digits.lstrip("-").isdigit() else None
