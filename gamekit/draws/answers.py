"""A committed draw as callers see it: the JSON of the API and of the player's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gamekit.campaigns.document import Prize, PrizeKind, SharedCode
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.views import RunView
from gamekit.clock import from_micros
from gamekit.draws.calls import Landed
from gamekit.draws.reservations import Outcome
from gamekit.plugin import Game, GameOptions, Layout, reveal_seed
from gamekit.plugin import Outcome as ShownOutcome
from gamekit.registry import get_game, layout_of, options_of

REMEMBERED = 256
"""Odds versions whose layouts are kept."""


@dataclass(frozen=True, slots=True)
class _Show:
    """What all draws of one odds version have in common when they are shown."""

    game: Game
    options: GameOptions
    layout: Layout
    outcomes: Mapping[str, ShownOutcome]
    prizes: Mapping[str, dict[str, Any]]


class Renderer:
    """Turns landed requests into JSON, with the reveal that the campaign's game makes of each draw."""

    def __init__(self, games: Mapping[str, Game]) -> None:
        self._games = games
        self._shows: dict[tuple[str, int], _Show] = {}

    def render(self, landed: Landed) -> list[dict[str, Any]]:
        """One dict per draw of the request, in their order."""
        view, reservation = landed.view, landed.reservation
        memo, show = reservation.memo, self._show(view)
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
            shown_outcome = show.outcomes[outcome.prize]
            drawn.append(
                {
                    "id": draw_id,
                    "campaign": view.slug,
                    "run": view.kind.value,
                    "outcome": "win" if shown_outcome.is_win else "lose",
                    "reason": outcome.reason,
                    "prize": show.prizes[outcome.prize],
                    "coupon": coupon,
                    "reveal": show.game.present(shown_outcome, show.layout, show.options, reveal_seed(draw_id)),
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

    def _show(self, view: RunView) -> _Show:
        show = self._shows.get((view.run, view.version))
        if show is None:
            if len(self._shows) >= REMEMBERED:
                self._shows.clear()
            document = view.document
            show = self._shows[view.run, view.version] = _Show(
                game=get_game(self._games, document),
                options=options_of(get_game(self._games, document), document),
                layout=layout_of(self._games, document),
                outcomes={
                    prize.key: ShownOutcome(prize.key, prize.kind.value, prize.kind != PrizeKind.NOTHING, index)
                    for index, prize in enumerate(document.prizes)
                },
                prizes={prize.key: _prize(prize) for prize in document.prizes},
            )
        return show


def _prize(prize: Prize) -> dict[str, Any]:
    image = prize.image if prize.image and prize.image.startswith("https://") else None
    return {"key": prize.key, "name": prize.name, "kind": prize.kind.value, "image_url": image}


def coupon_code(kind: RunKind, prize: Prize, outcome: Outcome, pooled: str | None) -> str | None:
    """The code a draw carries; a test run's codes are made up and start with TEST-."""
    if prize.kind != PrizeKind.COUPON:
        return None
    if kind is RunKind.TEST:
        return f"TEST-{prize.key.upper()}-{outcome.unit or 0}"
    return prize.codes.shared if isinstance(prize.codes, SharedCode) else pooled
