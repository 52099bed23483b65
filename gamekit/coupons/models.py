"""Tables of coupon pools."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey
from sqlmodel import Field, SQLModel

from gamekit.storage.types import Instant, key_text


class Coupon(SQLModel, table=True):
    """One code of a prize's pool: code *n* belongs to unit *n*. Rows are dense, numbered under the live run's lock."""

    __tablename__ = "coupons"

    campaign_id: int = Field(sa_column=Column(BigInteger, ForeignKey("campaigns.id"), primary_key=True))
    prize: str = Field(sa_column=Column(key_text(64), primary_key=True))
    unit: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    code: str = Field(sa_column=Column(key_text(100), nullable=False, unique=True))
    imported_at: datetime = Field(sa_column=Column(Instant, nullable=False))
