"""Which campaign an event asks for: by a link's ref, a keyword, a button, or Get Started. Pure.

Keywords match as a whole, without regard to case, full and half width, or spaces around them. What matches nothing is
left to people: a brand's own staff answer in the same thread.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Protocol

from gamekit.bots.events import Inbound, LinkOpened, Tapped, TextSent
from gamekit.campaigns.schemas import CampaignDocument

PLAY = "play:"
"""A button's payload `play:<slug>` asks for that campaign."""
GET_STARTED = "getstarted"


class LiveCampaign(Protocol):
    """A campaign that can be played now."""

    @property
    def slug(self) -> str: ...

    @property
    def document(self) -> CampaignDocument: ...


class CampaignBook(Protocol):
    """Knows what is live."""

    async def live_campaigns(self) -> Sequence[LiveCampaign]:
        """The campaigns whose live run can be drawn from now, the latest published first."""
        ...


def folded(text: str) -> str:
    """`text` in the form keywords are compared in (NFKC makes full-width letters and digits ordinary ones)."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def campaign_for(event: Inbound, live: Sequence[LiveCampaign]) -> LiveCampaign | None:
    """The campaign `event` asks for; of several, the latest published."""
    match event.what:
        case TextSent(text, payload, ref):
            found = _by_ref(ref, live) or _by_payload(payload, live)
            # A quick reply's text is its label; an unknown payload belongs to another bot of the Page.
            return found or (_by_keyword(text, live) if payload is None else None)
        case Tapped(payload, _, ref):
            # Get Started always finds a campaign: the platform does not promise to pass the link's ref on.
            started = "".join(letter for letter in payload.casefold() if letter.isalnum()) == GET_STARTED
            return _by_ref(ref, live) or _by_payload(payload, live) or (live[0] if started and live else None)
        case LinkOpened(ref):
            return _by_ref(ref, live)
    return None


def _by_ref(ref: str | None, live: Sequence[LiveCampaign]) -> LiveCampaign | None:
    return next((one for one in live if ref in one.document.triggers.refs), None)


def _by_payload(payload: str | None, live: Sequence[LiveCampaign]) -> LiveCampaign | None:
    if payload is None:
        return None
    slug = payload.removeprefix(PLAY) if payload.startswith(PLAY) else None
    return next((one for one in live if one.slug == slug), None) or _by_keyword(payload, live)


def _by_keyword(text: str, live: Sequence[LiveCampaign]) -> LiveCampaign | None:
    wanted = folded(text)
    if not wanted:
        return None
    return next((one for one in live if wanted in map(folded, one.document.triggers.keywords)), None)
