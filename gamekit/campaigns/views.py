"""A run as the engine sees it: everything that holds for one epoch, read once and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gamekit.campaigns.models import CampaignState, RunKind
from gamekit.campaigns.release import local_day, released
from gamekit.campaigns.schemas import CampaignDocument, Prize
from gamekit.odds.table import OddsTable


class Phase(StrEnum):
    """Where a campaign stands at a moment, as people see it."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"


def phase_at(state: str, starts_at: datetime | None, ends_at: datetime | None, now: datetime) -> Phase:
    """What was decided about a campaign and what time it is, together."""
    if state == CampaignState.DRAFT:
        return Phase.DRAFT
    if state == CampaignState.ENDED or (ends_at is not None and now >= ends_at):
        return Phase.ENDED
    if state == CampaignState.PAUSED:
        return Phase.PAUSED
    if starts_at is not None and now < starts_at:
        return Phase.SCHEDULED
    return Phase.LIVE


@dataclass(frozen=True, slots=True)
class RunView:
    """One run in one epoch. `version` 0 means that nothing was published yet."""

    campaign_id: int
    slug: str
    state: str
    run: str
    kind: RunKind
    epoch: int
    seed: bytes
    commitment: str
    alias_key: bytes
    version: int
    odds_hash: str
    document: CampaignDocument
    starts_at: datetime
    stock: dict[str, int | None]
    """Units in existence per prize; None without limit."""
    lock: int
    table: OddsTable
    fallback: str
    rules: dict[str, Prize] = field(repr=False)
    fallbacks: dict[int, str]
    """The fallback of each odds version of the run so far."""
    pooled: frozenset[str]
    """Prizes whose units carry codes from a pool."""

    def phase(self, now: datetime) -> Phase:
        """A test run may be drawn from at any time until the campaign ends."""
        if self.kind is RunKind.TEST:
            return Phase.ENDED if self.state == CampaignState.ENDED else Phase.LIVE
        return phase_at(self.state, self.document.starts_at, self.document.ends_at, now)

    def released(self, prize: str, now: datetime) -> int:
        """Units of a stocked prize that are open by `now`. A test run sees at least the opening day."""
        rule, stock = self.rules[prize], self.stock[prize]
        if stock is None:
            raise ValueError(f"prize {prize!r} has no stock")
        if rule.release.kind == "all":
            return stock
        if self.kind is RunKind.TEST:
            now = max(now, self.starts_at)
        document = self.document
        return released(
            rule.release,
            stock=stock,
            starts_at=self.starts_at,
            ends_at=document.ends_at,
            timezone=document.timezone,
            day_starts=document.chances.day_starts,
            now=now,
        )

    def day(self, now: datetime) -> int:
        """The campaign's local day as yyyymmdd."""
        return local_day(now, self.document.timezone, self.document.chances.day_starts)
