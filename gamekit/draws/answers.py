"""A committed draw as callers see it: the JSON of the API and of the player's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gamekit.campaigns.document import Prize, PrizeKind, SharedCode
from gamekit.campaigns.models import RunKind
from gamekit.clock import from_micros
from gamekit.draws.calls import Landed
from gamekit.draws.reservations import Outcome
from gamekit.plugin import Game
from gamekit.registry import reveal_of


def render(landed: Landed, games: Mapping[str, Game]) -> list[dict[str, Any]]:
    """One dict per draw of the request, in their order."""
    view, reservation = landed.view, landed.reservation
    memo = reservation.memo
    created = from_micros(memo.created_us)
    drawn: list[dict[str, Any]] = []
    for index, (outcome, code) in enumerate(zip(reservation.outcomes, landed.codes, strict=True)):
        prize = view.rules[outcome.prize]
        draw_id = reservation.draw_id(index)
        shown = coupon_code(view.kind, prize, outcome, code)
        coupon = None
        if shown is not None:
            expires_at = prize.expires_at(created, view.document.timezone)
            coupon = {"code": shown, "expires_at": expires_at.isoformat() if expires_at else None, "url": None}
        drawn.append(
            {
                "id": draw_id,
                "campaign": view.slug,
                "run": view.kind.value,
                "outcome": "lose" if prize.kind == PrizeKind.NOTHING else "win",
                "reason": outcome.reason,
                "prize": {
                    "key": prize.key,
                    "name": prize.name,
                    "kind": prize.kind.value,
                    "image_url": prize.image if prize.image and prize.image.startswith("https://") else None,
                },
                "coupon": coupon,
                "reveal": reveal_of(games, view.document, prize=prize.key, draw_id=draw_id),
                "odds_version": memo.version,
                "proof": {
                    "commitment": view.commitment,
                    "run": view.run,
                    "player": landed.player,
                    "source": memo.source,
                    "key": memo.key,
                    "index": index,
                },
                "created_at": created.isoformat(),
            }
        )
    return drawn


def coupon_code(kind: RunKind, prize: Prize, outcome: Outcome, pooled: str | None) -> str | None:
    """The code a draw carries; a test run's codes are made up and start with TEST-."""
    if prize.kind != PrizeKind.COUPON:
        return None
    if kind is RunKind.TEST:
        return f"TEST-{prize.key.upper()}-{outcome.unit or 0}"
    return prize.codes.shared if isinstance(prize.codes, SharedCode) else pooled
