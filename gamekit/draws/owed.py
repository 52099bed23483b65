"""What a draw owes its player: a message about the win, and tags. Pure; the rows are written in the draw's own transaction."""

from __future__ import annotations

from collections.abc import Container

from gamekit.campaigns.document import PrizeKind
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.views import RunView
from gamekit.deliveries.models import DeliveryKind
from gamekit.draws.ledger import Owed
from gamekit.draws.reservations import Reservation
from gamekit.players.resolver import Account


class Debts:
    """Knows which channels are connected; a player on any other is answered by whoever called."""

    def __init__(self, channels: Container[str]) -> None:
        self._channels = channels

    def owed(self, view: RunView, reservation: Reservation, account: Account) -> tuple[Owed, ...]:
        """A message for each win; its tags too, but not from a test run, whose wins are not wins."""
        channel = account[0]
        if channel not in self._channels:
            return ()
        debts = []
        for index, outcome in enumerate(reservation.outcomes):
            prize = view.rules[outcome.prize]
            if prize.kind == PrizeKind.NOTHING:
                continue
            draw = reservation.draw_id(index)
            debts.append(Owed(channel, DeliveryKind.MESSAGE, {"draw": draw}))
            if view.kind is RunKind.LIVE:
                debts += (Owed(channel, DeliveryKind.TAG, {"tag": tag, "draw": draw}) for tag in prize.tags)
        return tuple(debts)
