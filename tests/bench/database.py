"""Bare connections for SQL of the bench's own."""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy.engine import make_url


async def connect(sql_url: str) -> asyncpg.Connection:
    return await asyncpg.connect(**address(sql_url))


def address(sql_url: str) -> dict[str, Any]:
    """Where asyncpg finds the database of a URL that names a Unix socket."""
    url = make_url(sql_url)
    return {
        "host": url.query["host"],
        "port": int(str(url.query["port"])),
        "user": url.username,
        "database": url.database,
    }
