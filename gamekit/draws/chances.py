"""How many chances a player has left, by the ledger's numbers. `reserve.lua` counts the same way."""

from __future__ import annotations

from datetime import datetime

from gamekit.campaigns.release import next_day_starts
from gamekit.campaigns.views import RunView
from gamekit.draws.gate import PlayerTruth


def chances_left(view: RunView, truth: PlayerTruth) -> int | None:
    """Draws the player may still make now; None without limit. `truth` is for the view's local day."""
    chances = view.document.chances
    bounds = []
    if chances.total is not None:
        bounds.append(chances.total - (truth.used - truth.granted))
    if chances.per_day is not None:
        bounds.append(chances.per_day - (truth.day_high - len(truth.day_free)))
    if not bounds:
        return None
    return max(min(bounds), 0) + truth.grants - truth.granted


def next_chance_at(view: RunView, truth: PlayerTruth, now: datetime) -> datetime | None:
    """When the day's allowance comes back to a player who has none left; None where it never does."""
    document = view.document
    chances = document.chances
    if chances.per_day is None or (chances.total is not None and truth.used - truth.granted >= chances.total):
        return None
    moment = next_day_starts(now, document.timezone, chances.day_starts)
    return None if document.ends_at is not None and moment >= document.ends_at else moment
