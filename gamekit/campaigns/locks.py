"""The lock of a run: many commits share it, a change of epoch holds it alone.

On SQLite every writing transaction is alone anyway, so there is nothing to take.
"""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.storage.sql import is_postgres


def lock_key(run_id: str) -> int:
    """The run's number among PostgreSQL's advisory locks: a signed 64-bit integer."""
    return int.from_bytes(blake2b(run_id.encode(), digest_size=8).digest(), "big", signed=True)


async def exclusive(connection: AsyncConnection, *run_ids: str) -> None:
    """Waits until no commit of the runs is under way, and keeps others out until the transaction ends.

    Several are taken in the order in which commits take them, so that nobody waits in a circle.
    """
    if is_postgres(connection):
        for key in sorted(map(lock_key, run_ids)):
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
