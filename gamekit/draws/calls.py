"""A call to the engine, what it may be answered with, and what answers are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.views import Phase, RunView
from gamekit.draws.book import Name
from gamekit.draws.ledger import Unit
from gamekit.draws.reservations import Reservation
from gamekit.errors import GamekitError
from gamekit.players.resolver import Account


class RefusalCode(StrEnum):
    NO_CHANCES_LEFT = "no_chances_left"
    CAMPAIGN_NOT_STARTED = "campaign_not_started"
    CAMPAIGN_PAUSED = "campaign_paused"
    CAMPAIGN_ENDED = "campaign_ended"
    NOT_ELIGIBLE = "not_eligible"


REFUSED_IN = {
    Phase.DRAFT: RefusalCode.CAMPAIGN_NOT_STARTED,
    Phase.SCHEDULED: RefusalCode.CAMPAIGN_NOT_STARTED,
    Phase.PAUSED: RefusalCode.CAMPAIGN_PAUSED,
    Phase.ENDED: RefusalCode.CAMPAIGN_ENDED,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected no, with when to come back where that is known."""

    code: RefusalCode
    next_chance_at: datetime | None = None


class Landed(NamedTuple):
    """A committed request."""

    view: RunView
    reservation: Reservation
    player: str
    """The player's name in this run."""
    codes: tuple[str | None, ...]
    """Per draw, the code from the prize's pool."""
    replayed: bool
    chances_left: int | None


Answer = Landed | Refusal


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way. `source` None means the player's own web page."""

    name: Name
    account: Account
    source: str | None
    key: str
    count: int
    body_hash: str
    future: asyncio.Future[Answer]
    since: float
    tries: int = 0
    new: bool = False
    player_id: int = 0
    player: str = ""
    own: bool = False
    """A reservation was made for this very call, so that what the ledger has may be its own."""
    doubted: bool = False
    """The gate refused once although the ledger allows it."""

    queued: bool = True
    """It stands in the line, or will again after a pause."""

    def answer(self, answer: Answer) -> None:
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: GamekitError) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    @property
    def request(self) -> tuple[str, str]:
        return self.source or f"web:{self.player}", self.key


class Held(NamedTuple):
    """A call with the reservation that may answer it."""

    call: Call
    view: RunView
    reservation: Reservation
    left: int | None


def alias(view: RunView, player_id: int) -> str:
    """The run's own name for a player: says nothing of the person, nor of the same person in another run."""
    return blake2b(str(player_id).encode(), key=view.alias_key, digest_size=10).hexdigest()


def pooled_units(view: RunView, reservations: Iterable[Reservation]) -> list[Unit]:
    """The units among these draws that carry a code from a pool."""
    with_codes = pooled(view)
    return sorted(
        {
            (view.campaign_id, outcome.prize, outcome.unit)
            for reservation in reservations
            for outcome in reservation.outcomes
            if outcome.unit and outcome.prize in with_codes
        }
    )


def codes_of(view: RunView, reservation: Reservation, codes: dict[Unit, str]) -> tuple[str | None, ...]:
    """The code of each of a request's draws, of those `codes` that were looked up."""
    if not codes:
        return (None,) * len(reservation.outcomes)
    return tuple(
        codes.get((view.campaign_id, outcome.prize, outcome.unit)) if outcome.unit else None
        for outcome in reservation.outcomes
    )


def pooled(view: RunView) -> frozenset[str]:
    return view.pooled if view.kind is RunKind.LIVE else frozenset()
