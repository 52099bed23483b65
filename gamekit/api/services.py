"""What the API calls: one service per folder below, handed in by main."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Protocol

from gamekit.api.keys import Key
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import CampaignDocument
from gamekit.campaigns.service import Applied, CampaignSummary
from gamekit.coupons.service import ImportReport
from gamekit.draws.service import Drawn, Page, Refused
from gamekit.players.service import Granted, PlayerView


class DrawCalls(Protocol):
    """`gamekit.draws.service.Draws`."""

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

    async def find(self, draw_id: str) -> Mapping[str, Any] | None: ...

    async def history(self, slug: str, kind: RunKind, *, after: str | None, limit: int) -> Page: ...

    def export(self, slug: str, kind: RunKind) -> AsyncIterator[bytes]: ...


class CampaignCalls(Protocol):
    """`gamekit.campaigns.service.Campaigns`."""

    async def list(self) -> list[CampaignSummary]: ...

    async def get(self, slug: str) -> CampaignSummary: ...

    async def apply(self, document: CampaignDocument, *, dry_run: bool) -> Applied: ...

    async def publish(self, slug: str) -> CampaignSummary: ...

    async def pause(self, slug: str) -> CampaignSummary: ...

    async def resume(self, slug: str) -> CampaignSummary: ...

    async def end(self, slug: str) -> CampaignSummary: ...

    async def wipe_test(self, slug: str) -> None: ...


class LinkCalls(Protocol):
    """`gamekit.players.links.Links`."""

    def make(
        self, slug: str, kind: str, *, channel: str, external_id: str, ttl: timedelta, locale: str | None = None
    ) -> tuple[str, datetime]: ...


class PlayerCalls(Protocol):
    """`gamekit.players.service.Players`."""

    async def get(self, channel: str, external_id: str) -> PlayerView: ...

    async def tag(self, channel: str, external_id: str, tag: str) -> PlayerView: ...

    async def untag(self, channel: str, external_id: str, tag: str) -> PlayerView: ...

    async def grant(
        self, slug: str, kind: RunKind, *, channel: str, external_id: str, chances: int, reason_key: str
    ) -> Granted: ...


class CouponCalls(Protocol):
    """`gamekit.coupons.service.Coupons`."""

    async def import_codes(self, slug: str, prize: str, file: BinaryIO) -> ImportReport: ...


class KeyCalls(Protocol):
    """`gamekit.api.keys.Keys`."""

    async def find(self, secret: bytes) -> Key | None: ...


class Limits(Protocol):
    """`gamekit.http.limits.RateLimiter`."""

    async def admit(self, name: str, limit: int) -> int: ...


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Everything the routes of API v1 need."""

    keys: KeyCalls
    limits: Limits
    draws: DrawCalls
    campaigns: CampaignCalls
    players: PlayerCalls
    coupons: CouponCalls
    links: LinkCalls
