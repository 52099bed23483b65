"""The table of admin users."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from gamekit.storage.types import BigId, Instant, key_text


class Role(StrEnum):
    OWNER = "owner"
    MARKETER = "marketer"
    SUPPORT = "support"
    TILL = "till"


class User(SQLModel, table=True):
    """Someone who signs in to the admin pages. `email` is kept in lower case."""

    __tablename__ = "users"

    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    email: str = Field(sa_column=Column(key_text(254), nullable=False, unique=True))
    password_hash: str = Field(sa_column=Column(key_text(255), nullable=False))
    role: str = Field(sa_column=Column(key_text(16), nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
