"""A long past for a campaign: players and ledger rows as the engine would have written them, loaded in bulk."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from gamekit.campaigns.views import RunView
from tests.bench.database import connect
from tests.bench.stand import CHANNEL

DRAWS_PER_PLAYER = 10
STARTED = timedelta(days=30)
"""How long ago the campaign opened."""

_PLAYERS = """
INSERT INTO players (channel, external_id, created_at)
SELECT $1, 'p' || n, $2::timestamptz FROM generate_series(1, $3::bigint) AS n
"""

# Draw n is player n mod players' next chance, on a day of its own; every tenth wins, each prize in turn, in order of units.
_DRAWS = """
INSERT INTO draws (run_id, epoch, seq, nonce, void, source, key, draw_index, body_hash, player_id, chance, granted,
                   day, day_number, version, picked, prize, unit, reason, created_at)
SELECT $1, $2::bigint, n, substr(md5(n::text), 1, 12), false, 'api:past', md5('key ' || n), 0, md5('body'),
       (SELECT min(id) FROM players) + (n - 1) % $4, chance, false,
       to_char(at, 'YYYYMMDD')::integer, 1, $3::bigint, prize, prize, unit, NULL, at
FROM (SELECT n, 1 + (n - 1) / $4 AS chance,
             $6::timestamptz + (1 + (n - 1) / $4) * interval '1 day' AS at,
             CASE WHEN n % 10 = 0 THEN 'gift-' || n / 10 % 4 ELSE 'thanks' END AS prize,
             CASE WHEN n % 10 = 0 THEN (n + 39) / 40 END AS unit
      FROM generate_series(1, $5::bigint) AS n) AS past
"""


async def load_past(sql_url: str, view: RunView, rows: int, now: datetime) -> int:
    """Gives a run that nobody drew from yet `rows` draws; returns how many players, called p1, p2 and so on, made them."""
    players = rows // DRAWS_PER_PLAYER
    connection = await connect(sql_url)
    try:
        await connection.execute(_PLAYERS, CHANNEL, now - STARTED, players)
        indexes = await _take_indexes(connection)
        await connection.execute(_DRAWS, view.run, view.epoch, view.version, players, rows, now - STARTED)
        for index in indexes:
            await connection.execute(index)
        for table in ("players", "draws"):
            await connection.execute(f"VACUUM ANALYZE {table}")
        # What the load left to be written must not be written while samples are taken.
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    return players


async def _take_indexes(connection: Any) -> list[str]:
    """Drops the ledger's indexes, which are made quicker all at once afterwards; returns how."""
    keys = await connection.fetch(
        "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
        "WHERE conrelid = 'draws'::regclass AND contype = 'p'"
    )
    for key in keys:
        await connection.execute(f'ALTER TABLE draws DROP CONSTRAINT "{key["name"]}"')
    indexes = await connection.fetch(
        "SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE tablename = 'draws'"
    )
    for index in indexes:
        await connection.execute(f'DROP INDEX "{index["name"]}"')
    return [f'ALTER TABLE draws ADD CONSTRAINT "{key["name"]}" {key["definition"]}' for key in keys] + [
        index["definition"] for index in indexes
    ]
