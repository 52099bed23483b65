"""The table of API keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Integer
from sqlmodel import Field, SQLModel

from gamekit.storage.types import Instant, key_text


class ApiKey(SQLModel, table=True):
    """A key another program draws with. Only its SHA-256 is kept; a key is 160 random bits, so no salt is needed."""

    __tablename__ = "api_keys"

    id: str = Field(sa_column=Column(key_text(16), primary_key=True))
    """Names the API client in the ledger: a draw's source is `api:<id>`."""
    name: str = Field(sa_column=Column(key_text(100), nullable=False))
    digest: str = Field(sa_column=Column(key_text(64), nullable=False, unique=True))
    scopes: str = Field(sa_column=Column(key_text(64), nullable=False))
    """Comma-separated: draw, read, manage, redeem."""
    rate_per_minute: int = Field(sa_column=Column(Integer, nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(Instant))
