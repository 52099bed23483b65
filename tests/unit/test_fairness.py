"""What is published before the first draw, and how a draw is checked after the last."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gamekit.odds.fairness import canonical_odds, commit, odds_hash, read_seed, reveal, verify_pick
from gamekit.odds.table import OddsTable

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "fairness.json").read_text("utf-8"))["tables"]
NAME = {
    "run": "0123456789ab",
    "version": 1,
    "player": "7h2k9q8m1n4p",
    "source": "api:abcd1234",
    "key": "order",
    "index": 0,
}


def _table(vector: dict[str, Any]) -> OddsTable:
    return OddsTable(
        tuple(prize["key"] for prize in vector["prizes"]), tuple(prize["weight"] for prize in vector["prizes"])
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_commitments_are_the_vectors(vector: dict[str, Any]) -> None:
    """Seeds and tables have the published hashes."""
    assert commit(bytes.fromhex(vector["seed"])) == vector["commitment"]
    assert canonical_odds(_table(vector)).decode() == vector["canonical"]
    assert odds_hash(_table(vector)) == vector["odds_hash"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_vectors_follow_the_rule(vector: dict[str, Any]) -> None:
    """Each vector agrees with the rule written out by hand: SHA-256 of the seed, and of the JSON built piece by piece."""
    rows = ",".join(f'{{"key":"{prize["key"]}","weight":{prize["weight"]}}}' for prize in vector["prizes"])
    assert vector["canonical"] == f"[{rows}]"
    assert hashlib.sha256(f"[{rows}]".encode()).hexdigest() == vector["odds_hash"]
    assert hashlib.sha256(bytes.fromhex(vector["seed"])).hexdigest() == vector["commitment"]


def test_a_revealed_seed_is_read_back_only_if_it_was_committed_to() -> None:
    """The right seed is read; another one, a short one and no hexadecimal are refused, each with its reason."""
    seed = bytes(range(32))
    assert read_seed(reveal(seed), commitment=commit(seed)) == seed
    assert read_seed(reveal(seed).upper(), commitment=commit(seed).upper()) == seed
    with pytest.raises(ValueError, match="not the one"):
        read_seed("00" * 32, commitment=commit(seed))
    with pytest.raises(ValueError, match="32 bytes, not 2"):
        read_seed("0001", commitment=commit(seed))
    with pytest.raises(ValueError, match="hexadecimal"):
        read_seed("seed", commitment=commit(seed))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_seeds_of_another_length_are_refused(length: int) -> None:
    """A commitment is always to 32 bytes."""
    with pytest.raises(ValueError, match="32 bytes"):
        commit(bytes(length))


def test_verification_accepts_only_what_was_picked() -> None:
    """The one prize a draw picks verifies; every other one, and another seed's, does not."""
    table = OddsTable(tuple(map(str, range(50))), (1,) * 50)
    seed = bytes(range(32))
    accepted = [key for key in table.keys if verify_pick(seed, table, picked=key, **NAME)]  # type: ignore[arg-type]
    assert len(accepted) == 1
    others = [verify_pick(bytes([n]) * 32, table, picked=accepted[0], **NAME) for n in range(20)]  # type: ignore[arg-type]
    assert sum(others) < 5
