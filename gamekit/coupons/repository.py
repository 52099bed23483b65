"""SQL of coupon pools.

An import is staged in temporary tables, which only its own connection sees, and lands in one transaction. Codes are
numbered on from the pool's last unit; `lock_imports` keeps two imports apart, so that numbers have no gaps.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gamekit.storage.sql import is_postgres
from gamekit.storage.types import Instant

_IMPORT_LOCK = (0x67616D65, 1)
"""Two numbers, so that it is none of the runs' locks, which have one."""

_POOL_SIZES = text("""
    WITH RECURSIVE pools (prize) AS (
        SELECT min(prize) FROM coupons WHERE campaign_id = :campaign
        UNION ALL
        SELECT (SELECT min(prize) FROM coupons WHERE campaign_id = :campaign AND prize > pools.prize)
        FROM pools WHERE pools.prize IS NOT NULL
    )
    SELECT prize, (SELECT max(unit) FROM coupons WHERE campaign_id = :campaign AND coupons.prize = pools.prize)
    FROM pools WHERE prize IS NOT NULL
""")
_NUMBER = """
    CREATE TEMPORARY TABLE numbered_codes AS
    SELECT row_number() OVER (ORDER BY line) AS position, code
    FROM (SELECT min(line) AS line, code FROM staged_codes GROUP BY code) AS once
    WHERE NOT EXISTS (SELECT 1 FROM coupons WHERE coupons.code = once.code)
"""
_INSERT = text("""
    INSERT INTO coupons (campaign_id, prize, unit, code, imported_at)
    SELECT :campaign, :prize, :base + position, code, :now
    FROM numbered_codes WHERE position > :after AND position <= :upto ORDER BY position
""").bindparams(bindparam("now", type_=Instant))
_REPEATED = text("""
    SELECT line FROM (
        SELECT line, code, row_number() OVER (PARTITION BY code ORDER BY line) AS nth FROM staged_codes
    ) AS counted
    WHERE nth > 1 OR NOT EXISTS (SELECT 1 FROM numbered_codes WHERE numbered_codes.code = counted.code)
    ORDER BY line LIMIT :most
""")


class Pools:
    """How many codes each prize's pool holds."""

    async def pool_sizes(self, connection: AsyncConnection, campaign_id: int) -> dict[str, int]:
        """Codes per prize. Pools are dense, so the last unit is the count, and nothing is counted."""
        rows = await connection.execute(_POOL_SIZES, {"campaign": campaign_id})
        return {prize: int(size) for prize, size in rows}


async def open_staging(connection: AsyncConnection) -> None:
    """Begins an import on this connection; `drop_staging` ends it."""
    collation = 'COLLATE "C"' if is_postgres(connection) else ""
    await connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE staged_codes (line bigint NOT NULL, code text {collation} NOT NULL)"
    )


async def stage(connection: AsyncConnection, codes: list[tuple[int, str]]) -> None:
    """Adds codes with their line numbers."""
    if is_postgres(connection):
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.copy_records_to_table("staged_codes", records=codes, columns=("line", "code"))
    else:
        await connection.exec_driver_sql("INSERT INTO staged_codes (line, code) VALUES (?, ?)", codes)


async def lock_imports(connection: AsyncConnection) -> None:
    """Waits until no other import is under way, until the transaction ends. SQLite writes one at a time anyway."""
    if is_postgres(connection):
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(:a, :b)"), dict(zip("ab", _IMPORT_LOCK, strict=True))
        )


async def number_staged(connection: AsyncConnection) -> int:
    """Puts the staged codes that are new in order, each once; how many they are. Hold the import lock."""
    if is_postgres(connection):
        await connection.exec_driver_sql("ANALYZE staged_codes")
    await connection.exec_driver_sql(_NUMBER)
    if is_postgres(connection):
        await connection.exec_driver_sql("ANALYZE numbered_codes")
    return int(await connection.scalar(text("SELECT count(*) FROM numbered_codes")) or 0)


async def insert_numbered(
    connection: AsyncConnection, *, campaign_id: int, prize: str, base: int, after: int, upto: int, now: datetime
) -> None:
    """Adds the new codes at positions `after` + 1 to `upto` to the pool, as units `base` + position."""
    values = {"campaign": campaign_id, "prize": prize, "base": base, "after": after, "upto": upto, "now": now}
    await connection.execute(_INSERT, values)


async def repeated_lines(connection: AsyncConnection, *, most: int) -> tuple[int, ...]:
    """The first lines whose code stands earlier in the file or in any pool."""
    return tuple((await connection.execute(_REPEATED, {"most": most})).scalars())


async def drop_staging(connection: AsyncConnection) -> None:
    """Ends an import, whether it landed or not."""
    await connection.exec_driver_sql("DROP TABLE IF EXISTS numbered_codes")
    await connection.exec_driver_sql("DROP TABLE IF EXISTS staged_codes")
