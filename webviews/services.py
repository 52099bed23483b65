"""What the player's pages need from the engine, as narrow as they use it; `gamekit.main` hands it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from gamekit.campaigns.document import CampaignDocument
from gamekit.campaigns.models import RunKind
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.http.assets import Assets
from gamekit.players.bindings import LinkBindings
from gamekit.players.links import Links
from gamekit.plugin import Game


class Standing(Protocol):
    """Where a player stands in a run."""

    @property
    def state(self) -> str:
        """draft, scheduled, live, paused or ended, as of now."""
        ...

    @property
    def chances_left(self) -> int | None:
        """None: without limit."""
        ...

    @property
    def next_chance_at(self) -> datetime | None: ...

    @property
    def latest(self) -> Sequence[Mapping[str, Any]]:
        """The draws of the player's last request made from a page, JSON-ready as in the API; empty before the first."""
        ...


class Drawn(Protocol):
    """A request that was decided and committed."""

    @property
    def draws(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def chances_left(self) -> int | None: ...
    @property
    def replayed(self) -> bool: ...


@runtime_checkable
class Refused(Protocol):
    """A request that draws nothing, and used nothing up."""

    @property
    def code(self) -> str: ...
    @property
    def next_chance_at(self) -> datetime | None: ...


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


class Published(Protocol):
    """A frozen odds version."""

    @property
    def version(self) -> int: ...
    @property
    def document(self) -> CampaignDocument: ...


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
