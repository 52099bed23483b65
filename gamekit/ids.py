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


def token(entropy: Entropy, length: int) -> str:
    """`length` random characters of `ALPHABET`, five bits each."""
    return "".join(ALPHABET[byte & 31] for byte in entropy.bytes(length))


def nonces(entropy: Entropy, count: int) -> list[str]:
    """`count` random nonces of 12 hex characters (48 bits), made from one read of the entropy source."""
    digits = entropy.bytes(NONCE_LENGTH // 2 * count).hex()
    return [digits[start : start + NONCE_LENGTH] for start in range(0, len(digits), NONCE_LENGTH)]


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
