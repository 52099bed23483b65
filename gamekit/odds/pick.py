"""The pick: from a secret seed and the name of a draw to a prize, with integers only.

Owns the one definition of how a draw is decided. It knows nothing of stock or caps, and the same name
always picks the same prize, so a retry cannot re-roll luck.

Words come from HMAC-SHA256(seed, message), four 64-bit big-endian words each, counter 0, 1, 2, …
The first word below the table's limit, modulo the total, is the ticket; words above are skipped, which
is what keeps every ticket equally likely.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from gamekit.odds.table import OddsTable

if TYPE_CHECKING:
    from hashlib import _Hash

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def message(  # noqa: PLR0917 - the order is the rule's own
    run: str, version: int, player: str, source: str, key: str, index: int, counter: int
) -> bytes:
    """What the HMAC is taken of: the fields in this order, joined by newlines, in UTF-8.

    Raises `ValueError` for a field with a control character: a newline inside one could make two draws share a name.
    """
    return (_name(run, version, player, source, key, index) + str(counter)).encode()


def pick(
    seed: bytes, table: OddsTable, *, run: str, version: int, player: str, source: str, key: str, index: int
) -> str:
    """The key of the prize this draw picks. Raises `ValueError` for a field with a control character."""
    name = _name(run, version, player, source, key, index)
    # Nearly every draw ends with its first word: one in 18 million does not, at worst.
    prize = table.prize_for_word(int.from_bytes(_hmac(seed, f"{name}0".encode())[:8], "big"))
    if prize is None:
        prize = table.prize_at(accepted_word(seed, name, table.limit) % table.total)
    return prize


def accepted_word(seed: bytes, name: str, limit: int) -> int:
    """The first word below `limit` of the draw called `name` (its message up to, without, the counter)."""
    counter = 0
    while True:
        digest = _hmac(seed, f"{name}{counter}".encode())
        for start in (0, 8, 16, 24):
            word = int.from_bytes(digest[start : start + 8], "big")
            if word < limit:
                return word
        counter += 1


def _hmac(seed: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 as in RFC 2104. Copying a hash that has read the key already takes a third of `hmac.digest`'s time."""
    keyed_inner, keyed_outer = _keyed(seed)
    inner, outer = keyed_inner.copy(), keyed_outer.copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=64)
def _keyed(seed: bytes) -> tuple[_Hash, _Hash]:
    key = (sha256(seed).digest() if len(seed) > 64 else seed).ljust(64, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))


def is_fit(field: str) -> bool:
    """Whether a field may be part of a draw's name: no control characters, no unpaired surrogates."""
    # isprintable() is quick and knows no control character; it also rejects some harmless ones, hence the second look.
    return field.isprintable() or _UNFIT.search(field) is None


def _name(  # noqa: PLR0917 - the same order, and keywords cost time on every draw
    run: str, version: int, player: str, source: str, key: str, index: int
) -> str:
    fields = f"{run}{player}{source}{key}"
    if not is_fit(fields):
        raise ValueError("run, player, source and key must not hold control characters or unpaired surrogates")
    return f"{run}\n{version}\n{player}\n{source}\n{key}\n{index}\n"
