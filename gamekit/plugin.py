"""All that a game may import. A game shows what was decided; it never decides anything.

A game is a package found through the entry-point group `gamekit.games`. Beside its Python it carries
`templates/play.html` (the fragment inside the stage), `static/game.js` (an ES module with `mount`),
`static/game.css` and `locale/<language>.po`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

__all__ = [
    "JSON",
    "CampaignView",
    "Game",
    "GameOptions",
    "Layout",
    "Manifest",
    "Outcome",
    "PrizeView",
    "Reveal",
    "reveal_seed",
]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
Layout: TypeAlias = Mapping[str, JSON]
"""What the page knows before a draw. Public: nothing in it hints at a result."""
Reveal: TypeAlias = dict[str, JSON]
"""How one decided draw is shown: the game's own shape, handed to its `settle(reveal)`."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a game says of itself."""

    key: str
    """Lower-case letters, digits and hyphens; equal to the entry point's name."""
    package: str
    """The importable package that holds `templates`, `static` and `locale`."""
    name: Mapping[str, str]
    description: Mapping[str, str]
    """Both by language tag."""
    min_prizes: int
    max_prizes: int
    """How many prizes, the fallback included, it can show."""
    several: bool
    """Whether one request may ask for several draws at once."""
    static: tuple[str, ...] = ("game.js", "game.css")
    """Files of `static` that the page loads."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One decided draw, as much of it as a game needs to show it."""

    prize: str
    """The awarded prize's key."""
    kind: str
    """coupon, gift, points or nothing."""
    is_win: bool
    index: int
    """The prize's place among the campaign's prizes, from 0."""


class PrizeView(Protocol):
    """What a game may know of a prize; a campaign document's prizes fit."""

    @property
    def key(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> Mapping[str, str]: ...
    @property
    def weight(self) -> int: ...


class CampaignView(Protocol):
    """What a game may know of a campaign; a campaign document fits."""

    @property
    def name(self) -> Mapping[str, str]: ...
    @property
    def prizes(self) -> Sequence[PrizeView]: ...


class GameOptions(BaseModel):
    """What a marketer may set; a game subclasses it. The admin form is made from its JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Game(Protocol):
    """A plugin: an object with these, named by an entry point of the group `gamekit.games`.

    `layout` and `present` are pure: equal arguments give equal results.
    """

    manifest: ClassVar[Manifest]
    Options: ClassVar[type[GameOptions]]

    def layout(self, campaign: CampaignView, options: GameOptions) -> Layout:
        """What the page must know before a draw, as JSON. `options` is an instance of `Options`."""
        ...

    def present(self, outcome: Outcome, layout: Layout, options: GameOptions, seed: bytes) -> Reveal:
        """How `outcome` is shown on `layout`. Whatever is left to chance follows from `seed` alone, uniformly."""
        ...


def reveal_seed(draw_id: str) -> bytes:
    """The 32 bytes a game's `present` gets for a draw: from its id, so they tell nothing of the fairness seed."""
    return sha256(b"gamekit reveal\n" + draw_id.encode()).digest()
