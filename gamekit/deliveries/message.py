"""The neutral message: what is said to a player, before any platform's shape and limits.

Owns the closed set of messages and their JSON. Refuses to know a platform: an adapter renders a message and
keeps its platform's limits by shortening, so that no text is too long to be sent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from gamekit.errors import InvalidInput, Problem

MAX_BUTTONS = 3


@dataclass(frozen=True, slots=True)
class OpenGame:
    """A button that opens a game's page inside the chat."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class OpenLink:
    """A button that opens a page."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class SendBack:
    """A button that sends `payload` back to us when tapped."""

    title: str
    payload: str


Button = OpenGame | OpenLink | SendBack


@dataclass(frozen=True, slots=True)
class Text:
    """Plain words."""

    text: str


@dataclass(frozen=True, slots=True)
class Buttons:
    """Words with one to three buttons."""

    text: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon: a code, a link to it, or both."""

    title: str
    code: str | None = None
    url: str | None = None
    subtitle: str | None = None
    url_title: str | None = None
    pre_message: str | None = None
    image_url: str | None = None


Message = Text | Buttons | Coupon


@dataclass(frozen=True, slots=True)
class TagAction:
    """A label to put on the player at the platform. Putting it on twice does nothing more."""

    tag: str


def message_to_json(message: Message) -> dict[str, Any]:
    """`message` as JSON-ready values; `message_from_json` is its inverse."""
    match message:
        case Text(text):
            return {"type": "text", "text": text}
        case Buttons(text, buttons):
            return {"type": "buttons", "text": text, "buttons": [_button_to_json(button) for button in buttons]}
        case Coupon():
            fields = {name: getattr(message, name) for name in _COUPON_FIELDS}
            return {"type": "coupon"} | {name: value for name, value in fields.items() if value is not None}
    assert_never(message)


def message_from_json(data: object) -> Message:
    """The message that `data` describes. Raises `InvalidInput` naming the field at fault."""
    match _mapping(data, "message"):
        case {"type": "text"} as fields:
            return Text(_words(fields, "text", "message"))
        case {"type": "buttons", "buttons": list(buttons)} as fields:
            if not 1 <= len(buttons) <= MAX_BUTTONS:
                raise _invalid("message.buttons", f"must have 1 to {MAX_BUTTONS} buttons")
            made = tuple(_button_from_json(button, f"message.buttons[{i}]") for i, button in enumerate(buttons))
            return Buttons(_words(fields, "text", "message"), made)
        case {"type": "coupon"} as fields:
            coupon = Coupon(
                title=_words(fields, "title", "message"),
                **{name: _optional(fields, name) for name in _COUPON_FIELDS if name != "title"},
            )
            if coupon.code is None and coupon.url is None:
                raise _invalid("message.code", "must be given where the coupon has no url")
            return coupon
    raise _invalid("message.type", "must be text, buttons (with a list of buttons) or coupon")


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` UTF-16 units, cut at a word where there is one near, with an ellipsis.

    Platforms do not say how they count; UTF-16 units are the strictest count in use. A letter is not parted from
    its accents, nor a joined emoji from its parts.
    """
    if _units(text) <= limit:
        return text
    kept = used = 0
    for character in text:
        used += _units(character)
        if used > limit - 1:
            break
        kept += 1
    cut = kept
    while cut > 0 and _joined(text, cut):
        cut -= 1
    head = text[: cut or kept]
    if cut < len(text) and not text[cut].isspace():
        word = max(head.rfind(" "), head.rfind("\n"), head.rfind("\u3000"))
        if word >= len(head) // 2:
            head = head[:word]
    return head.rstrip() + "…"


_COUPON_FIELDS = ("title", "code", "url", "subtitle", "url_title", "pre_message", "image_url")
_JOINER = "\u200d"


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _joined(text: str, at: int) -> bool:
    """Whether cutting `text` at `at` would part one shown character."""
    after, before = text[at], text[at - 1]
    return (
        unicodedata.combining(after) != 0
        or after in (_JOINER, "\ufe0e", "\ufe0f", "\u20e3")
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or before == _JOINER
    )


def _button_to_json(button: Button) -> dict[str, str]:
    match button:
        case OpenGame(title, url):
            return {"type": "open_game", "title": title, "url": url}
        case OpenLink(title, url):
            return {"type": "open_link", "title": title, "url": url}
        case SendBack(title, payload):
            return {"type": "send_back", "title": title, "payload": payload}
    assert_never(button)


def _button_from_json(data: object, at: str) -> Button:
    match _mapping(data, at):
        case {"type": "open_game"} as fields:
            return OpenGame(_words(fields, "title", at), _words(fields, "url", at))
        case {"type": "open_link"} as fields:
            return OpenLink(_words(fields, "title", at), _words(fields, "url", at))
        case {"type": "send_back"} as fields:
            return SendBack(_words(fields, "title", at), _words(fields, "payload", at))
    raise _invalid(f"{at}.type", "must be open_game, open_link or send_back")


def _mapping(data: object, at: str) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise _invalid(at, "must be an object")
    return data


def _words(fields: Mapping[str, object], name: str, at: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _invalid(f"{at}.{name}", "must be text that is not blank")
    return value


def _optional(fields: Mapping[str, object], name: str) -> str | None:
    return None if fields.get(name) is None else _words(fields, name, "message")


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(problems=(Problem(field, message),))
