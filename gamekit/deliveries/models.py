"""The outbox."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, text
from sqlmodel import Field, SQLModel

from gamekit.storage.types import BigId, Instant, Json, key_text


class DeliveryState(StrEnum):
    """`pending` and `sending` are on their way; every other state is final and says why."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    WINDOW_CLOSED = "window_closed"
    UNREACHABLE = "unreachable"
    OPTED_OUT = "opted_out"
    REJECTED = "rejected"
    EXPIRED = "expired"


class DeliveryKind(StrEnum):
    MESSAGE = "message"
    TAG = "tag"


class Delivery(SQLModel, table=True):
    """One message or tag owed to a player on a platform.

    `body` says what is owed, not how it looks: a relay renders it when it sends. For a win it names the draw,
    so that no coupon code is copied into the outbox.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(
            "deliveries_due",
            "due_at",
            postgresql_where=text("state IN ('pending', 'sending')"),
            sqlite_where=text("state IN ('pending', 'sending')"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    channel: str = Field(sa_column=Column(key_text(64), nullable=False))
    player_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    kind: str = Field(sa_column=Column(key_text(16), nullable=False))
    body: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    state: str = Field(
        default=DeliveryState.PENDING, sa_column=Column(key_text(16), nullable=False, server_default="pending")
    )
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    reason: str | None = Field(default=None, sa_column=Column(key_text(500)))
    """Why the last attempt did not end in `sent`."""
    platform_id: str | None = Field(default=None, sa_column=Column(key_text(200)))
    """The platform's id of the message sent."""
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    due_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    """When to try next; while `sending`, when the attempt is given up as unknown."""
    ended_at: datetime | None = Field(default=None, sa_column=Column(Instant))
