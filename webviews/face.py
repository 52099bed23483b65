"""What the page knows of one odds version before a draw: the game's layout and texts, and the prizes by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from gamekit.campaigns.document import CampaignDocument, localized
from gamekit.campaigns.service import Published
from gamekit.http.i18n import accepted_languages, choose_language, load_catalogues
from gamekit.odds.percent import one_in_text, percent_text
from gamekit.plugin import Game
from gamekit.registry import get_game, layout_of, options_of


@dataclass(frozen=True, slots=True)
class OddsLine:
    """One prize in the table of odds."""

    name: str
    share: str
    """A percentage."""
    one_in: str
    """N of "1 in N"; a dash for a prize that is never picked."""


class Reader(Protocol):
    """Whoever reads the page, as far as we know their language."""

    @property
    def locale(self) -> str | None: ...


class Faces:
    """What a page shows, in the reader's language."""

    def __init__(self, games: Mapping[str, Game]) -> None:
        self._games = games
        self.words = load_catalogues("webviews")
        """The page's own texts by language."""
        self._game_words = {key: load_catalogues(game.manifest.package) for key, game in games.items()}

    def language(self, request: Request, reader: Reader | None, document: CampaignDocument | None) -> str:
        """The player's, else the browser's, else the campaign's; always one that the page has texts for."""
        wanted = [reader.locale if reader else None, *accepted_languages(request.headers.get("accept-language", ""))]
        available = tuple(self.words)
        own = choose_language(document.locales if document else (), available)
        return choose_language(wanted, available, default=own)

    def face(self, published: Published, language: str) -> dict[str, Any]:
        """JSON for the page's `mount`: version, layout, options, text, and each prize's name and kind."""
        document = published.document
        catalogues = self._game_words[document.game]
        words = catalogues[choose_language([language], tuple(catalogues))] if catalogues else {}
        return {
            "version": published.version,
            "layout": layout_of(self._games, document),
            "options": options_of(get_game(self._games, document), document).model_dump(mode="json"),
            "text": dict(words),
            "prizes": {
                prize.key: {"name": localized(prize.name, language), "kind": prize.kind} for prize in document.prizes
            },
        }


def odds_lines(document: CampaignDocument, language: str) -> tuple[OddsLine, ...]:
    """Every prize's odds by weight, in the document's order."""
    total = sum(prize.weight for prize in document.prizes)
    return tuple(
        OddsLine(localized(prize.name, language), percent_text(prize.weight, total), _one_in(prize.weight, total))
        for prize in document.prizes
    )


def _one_in(weight: int, total: int) -> str:
    return one_in_text(weight, total).removeprefix("1 in ") if weight else "—"
