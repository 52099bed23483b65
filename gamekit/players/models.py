"""Tables of players, their tags and granted chances."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer
from sqlmodel import Field, SQLModel

from gamekit.storage.types import BigId, Instant, key_text


class Player(SQLModel, table=True):
    """A person on one channel account. Deleting the row leaves only a meaningless number in the ledger."""

    __tablename__ = "players"
    __table_args__ = (Index("player_identity", "channel", "external_id", unique=True),)

    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    channel: str = Field(sa_column=Column(key_text(64), nullable=False))
    external_id: str = Field(sa_column=Column(key_text(200), nullable=False))
    """PSID, LINE userId, WhatsApp user id, or whatever the calling bot uses."""
    locale: str | None = Field(default=None, sa_column=Column(key_text(16)))
    window_expires_at: datetime | None = Field(default=None, sa_column=Column(Instant))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class PlayerTag(SQLModel, table=True):
    """A label on a player."""

    __tablename__ = "player_tags"

    player_id: int = Field(sa_column=Column(BigInteger, ForeignKey("players.id", ondelete="CASCADE"), primary_key=True))
    tag: str = Field(sa_column=Column(key_text(64), primary_key=True))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class Grant(SQLModel, table=True):
    """Extra chances given for a reason, once per reason."""

    __tablename__ = "grants"

    run_id: str = Field(sa_column=Column(key_text(16), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    player_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    reason_key: str = Field(sa_column=Column(key_text(200), primary_key=True))
    chances: int = Field(sa_column=Column(Integer, nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class BoundLink(SQLModel, table=True):
    """A play link and the browser that first exchanged it. The row tells neither the link nor the browser."""

    __tablename__ = "bound_links"

    token_id: str = Field(sa_column=Column(key_text(64), primary_key=True))
    """SHA-256 of the link's token, hex."""
    browser: str = Field(sa_column=Column(key_text(64), nullable=False))
    """SHA-256 of the browser's secret, hex."""
    player_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    bound_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    expires_at: datetime = Field(sa_column=Column(Instant, nullable=False, index=True))
    """The link's own end; afterwards the row may go."""
