"""What the gate reserved and the ledger may commit: the same facts, before and after they are true.

Named tuples rather than dataclasses: thousands are made each second, and a tuple is made in a third of the time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gamekit.ids import draw_id

NAMELESS = "?"
"""In a void, what stands for the source and key of a request whose own the database refused."""


class Reason(StrEnum):
    """Why the prize awarded is not the one picked."""

    SOLD_OUT = "sold_out"
    NOT_RELEASED = "not_released"
    CAPPED = "capped"
    WIN_LIMIT = "win_limit"


REASONS: tuple[str | None, ...] = (None, Reason.SOLD_OUT, Reason.NOT_RELEASED, Reason.CAPPED, Reason.WIN_LIMIT)
"""The gate's numbers for reasons are positions in this tuple."""


class Memo(NamedTuple):
    """What the ledger needs of a request besides what the gate decides; kept with the reservation."""

    source: str
    key: str
    body_hash: str
    version: int
    created_us: int
    """When it was reserved, microseconds since 1970: the draw's time."""
    picks: tuple[str, ...]
    fallback: str


class Outcome(NamedTuple):
    """One draw as the gate decided it."""

    chance: int
    granted: bool
    day: int | None
    day_number: int | None
    unit: int | None
    prize: str
    reason: str | None


class Reservation(NamedTuple):
    """A request's draws, stamped `seq`, `seq` + 1, … in one epoch of a run."""

    run: str
    epoch: int
    nonce: str
    seq: int
    player_id: int
    memo: Memo
    outcomes: tuple[Outcome, ...]

    def draw_id(self, index: int) -> str:
        return draw_id(self.run, self.epoch, self.seq + index, self.nonce)
