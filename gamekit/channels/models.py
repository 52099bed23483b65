"""The table of connected channels."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel

from gamekit.storage.types import Instant, key_text


class Channel(SQLModel, table=True):
    """A connected Page or account, known by its key; the first of a platform has the platform's name."""

    __tablename__ = "channels"

    key: str = Field(sa_column=Column(key_text(64), primary_key=True))
    platform: str = Field(sa_column=Column(key_text(16), nullable=False))
    account_id: str = Field(sa_column=Column(key_text(64), nullable=False, unique=True))
    """The Page's id."""
    credentials: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """Encrypted JSON: app_secret, verify_token, access_token."""
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
