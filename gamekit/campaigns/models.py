"""Tables of campaigns, their runs, odds versions and stock."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary
from sqlmodel import Field, SQLModel

from gamekit.storage.types import BigId, Instant, Json, key_text


class CampaignState(StrEnum):
    """What was decided about a campaign. Whether a published one is *scheduled* or past its end follows from the clock."""

    DRAFT = "draft"
    PUBLISHED = "published"
    PAUSED = "paused"
    ENDED = "ended"


class RunKind(StrEnum):
    LIVE = "live"
    TEST = "test"


class Campaign(SQLModel, table=True):
    """One promotion. `document` is the campaign as a file, validated, as last saved."""

    __tablename__ = "campaigns"

    id: int | None = Field(default=None, sa_column=Column(BigId, primary_key=True))
    slug: str = Field(sa_column=Column(key_text(64), nullable=False, unique=True))
    state: str = Field(sa_column=Column(key_text(16), nullable=False, default=CampaignState.DRAFT))
    document: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    updated_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(Instant))


class Run(SQLModel, table=True):
    """A campaign's live or test life. `epoch` grows whenever the gate must forget what it knew."""

    __tablename__ = "runs"
    __table_args__ = (Index("runs_of_campaign", "campaign_id", "kind", unique=True),)

    id: str = Field(sa_column=Column(key_text(16), primary_key=True))
    campaign_id: int = Field(sa_column=Column(BigInteger, ForeignKey("campaigns.id"), nullable=False))
    kind: str = Field(sa_column=Column(key_text(8), nullable=False))
    epoch: int = Field(sa_column=Column(BigInteger, nullable=False))
    seed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """The 32-byte seed, encrypted."""
    commitment: str = Field(sa_column=Column(key_text(64), nullable=False))
    """SHA-256 of the seed, hex."""
    alias_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """The key, encrypted, that turns a player into the run's own random name for them."""
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class OddsVersion(SQLModel, table=True):
    """A frozen campaign document: prizes, weights, game, options, look and texts. Stock is not part of it."""

    __tablename__ = "odds_versions"

    run_id: str = Field(sa_column=Column(key_text(16), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    document: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    fallback: str = Field(sa_column=Column(key_text(64), nullable=False))
    """The key of the prize that never runs out."""
    odds_hash: str = Field(sa_column=Column(key_text(64), nullable=False))
    """SHA-256 of the canonical JSON of keys and weights, hex."""
    starts_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    """From when releases count: the document's opening, or the run's first publication where it names none."""
    epoch: int = Field(sa_column=Column(BigInteger, nullable=False))
    """The epoch that published it."""
    published_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class StockLevel(SQLModel, table=True):
    """From an epoch on, how many units of a prize exist. The row with the highest epoch is in force; none is ever changed."""

    __tablename__ = "stock_levels"

    run_id: str = Field(sa_column=Column(key_text(16), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    prize: str = Field(sa_column=Column(key_text(64), primary_key=True))
    epoch: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    stock: int | None = Field(default=None, sa_column=Column(BigInteger))
    """None: without limit."""
    changed_at: datetime = Field(sa_column=Column(Instant, nullable=False))
