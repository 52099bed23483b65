"""What the player's pages need from the engine, as narrow as they use it; `gamekit.main` hands it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.service import Published
from gamekit.clock import Clock
from gamekit.draws.service import Drawn, Refused, Standing
from gamekit.entropy import Entropy
from gamekit.http.assets import Assets
from gamekit.players.bindings import LinkBindings
from gamekit.players.links import Links
from gamekit.plugin import Game


class Draws(Protocol):
    """The draw engine. Raises `CampaignNotFound`, `KeyReused` and `Unavailable`."""

    async def draw(
        self,
        slug: str,
        kind: RunKind,
        *,
        channel: str,
        external_id: str,
        source: str | None,
        key: str,
        count: int,
        body_hash: str,
    ) -> Drawn | Refused: ...

    async def standing(self, slug: str, kind: RunKind, *, channel: str, external_id: str) -> Standing: ...


class Campaigns(Protocol):
    """The campaigns, as far as they are published."""

    async def published(self, slug: str, kind: RunKind, version: int | None = None) -> Published:
        """That odds version of the run, or the one in force. Raises `CampaignNotFound`, also where there is none."""
        ...


class Chats(Protocol):
    """Ways back to the conversation."""

    async def find_chat_url(self, channel: str, ref: str | None) -> str | None:
        """An address that opens the chat of this channel (and brings `ref` to the bot); None where there is none."""
        ...


class Limits(Protocol):
    """Rate limits over all processes."""

    async def admit(self, name: str, limit: int) -> int:
        """0 where the request may pass, else the seconds until the next may."""
        ...


@dataclass(frozen=True, slots=True)
class WebviewServices:
    """Everything the pages are built on."""

    campaigns: Campaigns
    draws: Draws
    chats: Chats
    limits: Limits
    links: Links
    bindings: LinkBindings
    games: Mapping[str, Game]
    assets: Assets
    clock: Clock
    entropy: Entropy
    session_key: bytes
    """32 bytes: `Vault.key("player session")`."""
    public_url: str
