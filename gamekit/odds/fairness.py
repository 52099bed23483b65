"""Provable fairness: what is published before the first draw, and how anyone checks a draw after the last one."""

from __future__ import annotations

import hashlib
import json

from gamekit.odds.pick import pick
from gamekit.odds.table import OddsTable

SEED_LENGTH = 32


def commit(seed: bytes) -> str:
    """The commitment published before the first draw: SHA-256 of the seed, hex. Raises `ValueError` unless 32 bytes."""
    if len(seed) != SEED_LENGTH:
        raise ValueError(f"a seed has {SEED_LENGTH} bytes, not {len(seed)}")
    return hashlib.sha256(seed).hexdigest()


def reveal(seed: bytes) -> str:
    """The seed as it is published after the end: hex."""
    return seed.hex()


def read_seed(revealed: str, *, commitment: str) -> bytes:
    """The seed that was revealed. Raises `ValueError` where it is not the one committed to."""
    try:
        seed = bytes.fromhex(revealed)
    except ValueError:
        raise ValueError("the revealed seed must be 64 hexadecimal digits") from None
    if commit(seed) != commitment.lower():
        raise ValueError("the revealed seed is not the one whose SHA-256 was published")
    return seed


def canonical_odds(table: OddsTable) -> bytes:
    """The table as canonical JSON: `[{"key":"latte","weight":500},…]` in table order, no spaces, UTF-8 unescaped."""
    rows = [{"key": key, "weight": weight} for key, weight in zip(table.keys, table.weights, strict=True)]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def odds_hash(table: OddsTable) -> str:
    """SHA-256 of the canonical JSON of keys and weights, hex."""
    return hashlib.sha256(canonical_odds(table)).hexdigest()


def verify_pick(
    seed: bytes,
    table: OddsTable,
    *,
    run: str,
    version: int,
    player: str,
    source: str,
    key: str,
    index: int,
    picked: str,
) -> bool:
    """Whether the draw of that name really picks the prize `picked`. Raises `ValueError` for a name no draw can have."""
    return picked == pick(seed, table, run=run, version=version, player=player, source=source, key=key, index=index)
