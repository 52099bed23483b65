"""The ledger's SQL over many rows at once. `{rows}` is the batch; see `gamekit.storage.bulk`."""

from __future__ import annotations

from gamekit.storage.bulk import Statement

SHARED = {"run_id": "text", "epoch": "bigint", "version": "bigint", "created_at": "timestamptz", "void": "boolean"}
"""What the rows of one insert have in common: most batches are one such group."""
ROW = {
    "seq": "bigint",
    "nonce": "text",
    "source": "text",
    "key": "text",
    "draw_index": "smallint",
    "body_hash": "text",
    "player_id": "bigint",
    "chance": "bigint",
    "granted": "boolean",
    "day": "integer",
    "day_number": "integer",
    "picked": "text",
    "prize": "text",
    "unit": "bigint",
    "reason": "text",
}
_NAMES = ", ".join((*SHARED, *ROW))
_GIVEN = ", ".join((*(f"{{{name}}}" for name in SHARED), *(f"given.{name}" for name in ROW)))
_DRAWN = ", ".join(f"draws.{name}" for name in (*SHARED, *ROW))

# The epoch is read in this statement, which begins after the run's lock was taken.
_INSERT_IN_EPOCH = (
    f"INSERT INTO draws ({_NAMES}) SELECT {_GIVEN} FROM {{rows}} "
    "WHERE EXISTS (SELECT 1 FROM runs WHERE runs.id = {run_id} AND runs.epoch = {epoch})"
)
INSERT_DRAWS = Statement(f"{_INSERT_IN_EPOCH} RETURNING seq", ROW, shared=SHARED)
"""Fails as a whole where any number is used already: what nearly never happens is not looked for beforehand."""
INSERT_FREE_DRAWS = Statement(f"{_INSERT_IN_EPOCH} ON CONFLICT DO NOTHING RETURNING seq", ROW, shared=SHARED)
"""Passes over rows of which a number is used already."""
INSERT_VOIDS = Statement(
    f"INSERT INTO draws ({_NAMES}) SELECT {_GIVEN} FROM {{rows}} WHERE true ON CONFLICT DO NOTHING", ROW, shared=SHARED
)
_STAMP = {"run_id": "text", "epoch": "bigint", "seq": "bigint"}
DELETE_DRAWS = Statement(
    "DELETE FROM draws WHERE (run_id, epoch, seq) IN (SELECT run_id, epoch, seq FROM {rows}) AND NOT void", _STAMP
)
STAMPED = Statement(
    "SELECT draws.run_id, draws.epoch, draws.seq, draws.nonce, draws.void FROM {rows} "
    "JOIN draws ON draws.run_id = given.run_id AND draws.epoch = given.epoch AND draws.seq = given.seq",
    _STAMP,
)
_REQUEST = {"run_id": "text", "source": "text", "key": "text"}
_SAME_REQUEST = (
    "JOIN draws ON draws.run_id = given.run_id "
    "AND draws.source = given.source AND draws.key = given.key AND NOT draws.void"
)
TAKEN_KEYS = Statement(f"SELECT DISTINCT draws.run_id, draws.source, draws.key FROM {{rows}} {_SAME_REQUEST}", _REQUEST)
REQUESTS = Statement(
    f"SELECT {_DRAWN} FROM {{rows}} {_SAME_REQUEST} ORDER BY draws.run_id, draws.source, draws.key, draws.draw_index",
    _REQUEST,
)
EPOCHS = Statement("SELECT runs.id, runs.epoch FROM {rows} JOIN runs ON runs.id = given.run_id", {"run_id": "text"})
CODES = Statement(
    "SELECT coupons.campaign_id, coupons.prize, coupons.unit, coupons.code FROM {rows} JOIN coupons "
    "ON coupons.campaign_id = given.campaign_id AND coupons.prize = given.prize AND coupons.unit = given.unit",
    {"campaign_id": "bigint", "prize": "text", "unit": "bigint"},
)
INSERT_DELIVERIES = Statement(
    "INSERT INTO deliveries (channel, player_id, kind, body, created_at, due_at) "
    "SELECT channel, player_id, kind, body, at, at FROM {rows}",
    {"channel": "text", "player_id": "bigint", "kind": "text", "body": "jsonb", "at": "timestamptz"},
)
_PLAYER = {"run_id": "text", "player_id": "bigint"}
_THEIR_DRAWS = "JOIN draws ON draws.run_id = given.run_id AND draws.player_id = given.player_id AND NOT draws.void"
USED = Statement(
    "SELECT draws.player_id, draws.prize, draws.version, count(*), max(draws.chance), "
    "sum(CASE WHEN draws.granted THEN 1 ELSE 0 END), "
    "sum(CASE WHEN draws.day = given.day AND draws.day_number IS NOT NULL THEN 1 ELSE 0 END), "
    "coalesce(max(CASE WHEN draws.day = given.day THEN draws.day_number END), 0) "
    f"FROM {{rows}} {_THEIR_DRAWS} GROUP BY draws.player_id, draws.prize, draws.version",
    _PLAYER | {"day": "integer"},
)
NUMBERS = Statement(
    f"SELECT draws.player_id, draws.chance, draws.day, draws.day_number FROM {{rows}} {_THEIR_DRAWS}", _PLAYER
)
GRANTED = Statement(
    "SELECT grants.player_id, sum(grants.chances) FROM {rows} JOIN grants "
    "ON grants.run_id = given.run_id AND grants.player_id = given.player_id GROUP BY grants.player_id",
    _PLAYER,
)
_UNITS = "SELECT {what} FROM draws WHERE draws.run_id = given.run_id AND draws.prize = given.prize AND NOT draws.void "
UNITS_SINCE = Statement(
    "SELECT given.prize, "
    f"({_UNITS.format(what='max(draws.unit)')} AND draws.unit IS NOT NULL), "
    f"({_UNITS.format(what='count(*)')} AND draws.unit IS NOT NULL AND draws.unit > given.upto) FROM {{rows}}",
    {"run_id": "text", "prize": "text", "upto": "bigint"},
)
_THOSE_UNITS = (
    "JOIN draws ON draws.run_id = given.run_id "
    "AND draws.prize = given.prize AND NOT draws.void AND draws.unit IS NOT NULL"
)
UNITS_AMONG = Statement(
    f"SELECT draws.unit FROM {{rows}} {_THOSE_UNITS} AND draws.unit = given.unit",
    {"run_id": "text", "prize": "text", "unit": "bigint"},
)
UNITS_ABOVE = Statement(
    f"SELECT draws.unit FROM {{rows}} {_THOSE_UNITS} AND draws.unit > given.upto",
    {"run_id": "text", "prize": "text", "upto": "bigint"},
)
SET_MARKS = Statement(
    "INSERT INTO unit_marks (run_id, prize, upto, missing) SELECT run_id, prize, upto, missing FROM {rows} WHERE true "
    "ON CONFLICT (run_id, prize) DO UPDATE SET upto = excluded.upto, missing = excluded.missing "
    "WHERE unit_marks.upto <= excluded.upto",
    {"run_id": "text", "prize": "text", "upto": "bigint", "missing": "jsonb"},
)
