"""Identifiers people may read out: lower-case Crockford base 32, and a draw's id.

A draw's id says where it stands in the ledger and carries the random nonce of the reservation it came
from: `<run>-<epoch>-<seq>-<nonce>`. It is unguessable, and it is fresh for each reservation, also
when a gate that was rolled back hands out a stamp twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from gamekit.entropy import Entropy

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RUN_ID_LENGTH = 12
NONCE_LENGTH = 12
_PAIRS = tuple(a + b for a in ALPHABET for b in ALPHABET)


def token(entropy: Entropy, length: int) -> str:
    """`length` random characters of `ALPHABET`, five bits each."""
    return "".join(ALPHABET[byte & 31] for byte in entropy.bytes(length))


def nonces(entropy: Entropy, count: int) -> list[str]:
    """`count` random 12-character nonces (60 bits each), made from one read of the entropy source."""
    raw = int.from_bytes(entropy.bytes(8 * count), "big")
    made = []
    for _ in range(count):
        word = raw & 0xFFFF_FFFF_FFFF_FFFF
        raw >>= 64
        made.append(
            _PAIRS[word & 1023]
            + _PAIRS[word >> 10 & 1023]
            + _PAIRS[word >> 20 & 1023]
            + _PAIRS[word >> 30 & 1023]
            + _PAIRS[word >> 40 & 1023]
            + _PAIRS[word >> 50 & 1023]
        )
    return made


@dataclass(frozen=True, slots=True)
class Stamp:
    """A draw's place in the ledger: its run, the run's epoch, and its number within the epoch."""

    run: str
    epoch: int
    seq: int


def draw_id(run: str, epoch: int, seq: int, nonce: str) -> str:
    """The public id of one draw."""
    return f"{run}-{epoch}-{seq}-{nonce}"


def parse_draw_id(text: str) -> tuple[Stamp, str] | None:
    """The stamp and nonce a draw id stands for; None where the text is no draw id."""
    match text.split("-"):
        case [run, epoch, seq, nonce] if (
            epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit() and len(text) < 80
        ):
            if int(epoch) < 2**31 and int(seq) < 2**62 and run and nonce:
                return Stamp(run, int(epoch), int(seq)), nonce
    return None
