"""Column types that mean the same on PostgreSQL and SQLite."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

from gamekit.clock import from_micros, micros


class Instant(TypeDecorator[datetime]):
    """An aware moment: `timestamptz` on PostgreSQL, microseconds since 1970 on SQLite (which has no such type)."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> object:
        if value is None or dialect.name == "postgresql":
            return value
        return micros(value)

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:
        return from_micros(value) if isinstance(value, int) else value  # type: ignore[return-value]


def key_text(length: int = 255) -> String:
    """Text compared byte by byte, whatever the database's locale: for keys and ids."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


BigId = BigInteger().with_variant(Integer(), "sqlite")
"""An automatic 64-bit primary key (SQLite counts only in a column typed INTEGER)."""

Json = JSON().with_variant(JSONB(), "postgresql")
