"""The ledger. Each right to something is a number, and a unique index proves it is used once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, text
from sqlmodel import Field, SQLModel

from gamekit.storage.types import Instant, Json, key_text


def _proof(name: str, *columns: str, where: str = "") -> Index:
    condition = text("NOT void" + where)
    return Index(name, *columns, unique=True, postgresql_where=condition, sqlite_where=condition)


class Draw(SQLModel, table=True):
    """One decided draw, or a void: a reservation that must never land.

    (run, epoch, seq) is the stamp the gate gave it; a void takes the stamp, so that a late commit of the
    same reservation cannot. Rows are only ever added.
    """

    __tablename__ = "draws"
    __table_args__ = (
        _proof("one_outcome_per_request", "run_id", "source", "key", "draw_index"),
        _proof("one_draw_per_chance", "run_id", "player_id", "chance"),
        _proof(
            "one_draw_per_day_number", "run_id", "player_id", "day", "day_number", where=" AND day_number IS NOT NULL"
        ),
        _proof("one_draw_per_unit", "run_id", "prize", "unit", where=" AND unit IS NOT NULL"),
    )

    run_id: str = Field(sa_column=Column(key_text(16), primary_key=True))
    epoch: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    nonce: str = Field(sa_column=Column(key_text(16), nullable=False))
    """The reservation's random mark; part of the draw's id."""
    void: bool = Field(sa_column=Column(Boolean, nullable=False))
    source: str = Field(sa_column=Column(key_text(64), nullable=False))
    key: str = Field(sa_column=Column(key_text(200), nullable=False))
    draw_index: int = Field(sa_column=Column(SmallInteger, nullable=False))
    body_hash: str = Field(sa_column=Column(key_text(32), nullable=False))
    """First 16 bytes of the SHA-256 of what was asked, hex; the same key with another body is refused."""
    player_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    chance: int = Field(sa_column=Column(BigInteger, nullable=False))
    granted: bool = Field(sa_column=Column(Boolean, nullable=False))
    """The chance came from a grant, not from the base allowance."""
    day: int | None = Field(default=None, sa_column=Column(Integer))
    """The player's local day as yyyymmdd, where a daily limit is set and the chance is not granted."""
    day_number: int | None = Field(default=None, sa_column=Column(Integer))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    picked: str = Field(sa_column=Column(key_text(64), nullable=False))
    prize: str = Field(sa_column=Column(key_text(64), nullable=False))
    unit: int | None = Field(default=None, sa_column=Column(BigInteger))
    reason: str | None = Field(default=None, sa_column=Column(key_text(16)))
    """Why the prize is not the picked one."""
    created_at: datetime = Field(sa_column=Column(Instant, nullable=False))


class UnitMark(SQLModel, table=True):
    """How far the ledger's units of a prize were looked through: every unit up to `upto` is issued but the `missing`.

    It is true for ever once written (draws are only added), and it keeps a re-sync quick on a long ledger.
    """

    __tablename__ = "unit_marks"

    run_id: str = Field(sa_column=Column(key_text(16), primary_key=True))
    prize: str = Field(sa_column=Column(key_text(64), primary_key=True))
    upto: int = Field(sa_column=Column(BigInteger, nullable=False))
    missing: list[int] = Field(sa_column=Column(Json, nullable=False))
