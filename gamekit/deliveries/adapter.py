"""What a platform must do for the relay, and how it tells what became of a message.

Owns no connection and no platform; an adapter never raises for what a platform answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gamekit.channels.service import ConnectedChannel
from gamekit.deliveries.message import Message


class Verdict(StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    RETRY = "retry"
    """The platform surely did nothing; trying again may help."""
    UNKNOWN = "unknown"
    """It may have been done: the request was written, and no answer tells."""
    WINDOW_CLOSED = "window_closed"
    UNREACHABLE = "unreachable"
    OPTED_OUT = "opted_out"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class SendResult:
    """The verdict of one attempt, with its reason unless it was sent."""

    verdict: Verdict
    reason: str | None = None
    platform_id: str | None = None
    """The platform's id of the message."""
    hold_seconds: float = 0.0
    """How long the whole channel should rest."""
    counts: bool = True
    """Whether a retry uses up one of the delivery's attempts; not where the fault lies with the channel."""
    token_refused: bool = False
    """The channel's access token no longer works: a person must act."""


class Adapter(Protocol):
    """Sends to one platform. Both methods return within the relay's lease, whatever the network does."""

    async def send(self, channel: ConnectedChannel, recipient: str, message: Message) -> SendResult:
        """Send `message` once. `Verdict.UNKNOWN` wherever the platform may have accepted it without saying so."""
        ...

    async def tag(self, channel: ConnectedChannel, recipient: str, tag: str) -> SendResult:
        """Put `tag` on the recipient; safe to repeat."""
        ...
