"""The inbox of webhook events: accepted means stored here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Integer, text
from sqlmodel import Field, SQLModel

from gamekit.storage.types import BigId, Instant, Json, key_text


class InboundEvent(SQLModel, table=True):
    """One event a platform sent us. `dedupe_key` is the platform's message id where it has one."""

    __tablename__ = "inbound_events"
    __table_args__ = (
        Index("inbound_once", "channel", "dedupe_key", unique=True),
        Index(
            "inbound_waiting",
            "id",
            postgresql_where=text("handled_at IS NULL"),
            sqlite_where=text("handled_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    channel: str = Field(sa_column=Column(key_text(64), nullable=False))
    dedupe_key: str = Field(sa_column=Column(key_text(128), nullable=False))
    event: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    """The neutral event, as JSON."""
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    failure: str | None = Field(default=None, sa_column=Column(key_text(500)))
    """Why it was given up."""
    received_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    due_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    handled_at: datetime | None = Field(default=None, sa_column=Column(Instant))
