"""What the admin pages need from the engine; `gamekit.main` hands it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gamekit.accounts.service import SignIn, Users
from gamekit.campaigns.service import Campaigns
from gamekit.clock import Clock
from gamekit.draws.recent import RecentDraw
from gamekit.entropy import Entropy
from gamekit.http.assets import Assets


class LatestDraws(Protocol):
    """The latest draws of a campaign's live run, newest first. Raises `CampaignNotFound`."""

    async def __call__(self, slug: str, limit: int) -> Sequence[RecentDraw]: ...


@dataclass(frozen=True, slots=True)
class AdminServices:
    """Everything the admin pages are built on."""

    users: Users
    sign_in: SignIn
    campaigns: Campaigns
    recent_draws: LatestDraws
    assets: Assets
    """Holds the bundle "admin", and somebody else's route serves it."""
    clock: Clock
    entropy: Entropy
    session_key: bytes
    """32 bytes: `Vault.key("admin session")`."""
    public_url: str
