"""What happened in a chat, whatever the platform: frozen values with a JSON form for the inbox.

A platform's parser makes them from a webhook. They hold only clean text: what no database takes (NUL, halves of
surrogate pairs) was replaced on the way in, and everything is cut to a length.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gamekit.clock import from_micros, micros


@dataclass(frozen=True, slots=True)
class TextSent:
    """The player wrote, or tapped a quick reply (which has a payload)."""

    text: str
    payload: str | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class Tapped:
    """The player tapped a button that sends something back. Get Started is one; its `ref` is the link's."""

    payload: str
    title: str | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """The player came to an existing thread by a link."""

    ref: str


@dataclass(frozen=True, slots=True)
class MediaSent:
    """The player sent something without words: a picture, a sticker, a voice message, a reaction."""


@dataclass(frozen=True, slots=True)
class Commented:
    """Someone commented on a post. They are not yet a player: the name a comment goes by is no chat identity."""

    comment_id: str
    post_id: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Followed:
    """The player added the account as a friend."""


What = TextSent | Tapped | LinkOpened | MediaSent | Commented | Followed

_TYPES: dict[str, type[What]] = {
    "text": TextSent,
    "tap": Tapped,
    "link": LinkOpened,
    "media": MediaSent,
    "comment": Commented,
    "follow": Followed,
}
_NAMES = {made: name for name, made in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event of one person on one channel."""

    channel: str
    sender: str
    at: datetime
    """When it happened, as the platform says."""
    dedupe_key: str
    """The same for the same event, however often the platform sends it."""
    what: What

    @property
    def kind(self) -> str:
        """text, tap, link, media, comment or follow."""
        return _NAMES[type(self.what)]

    @property
    def is_chat(self) -> bool:
        """Whether the sender is a player in a chat, and the event opens the messaging window.

        A comment opens none until the person replies: Messenger's pages disagree, so the cautious reading holds
        (send-messages 2026-05-05, private-replies 2026-04-16).
        """
        return not isinstance(self.what, Commented)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values; `inbound_from_json` is the inverse."""
        what = {name: value for name, value in asdict(self.what).items() if value is not None}
        return {"kind": self.kind, "sender": self.sender, "at": micros(self.at), "what": what}


def inbound_from_json(data: dict[str, Any], *, channel: str, dedupe_key: str) -> Inbound:
    """The event as stored. Raises LookupError, TypeError or ValueError where the data is none."""
    what = _TYPES[data["kind"]](**data["what"])
    return Inbound(channel, data["sender"], from_micros(data["at"]), dedupe_key, what)
