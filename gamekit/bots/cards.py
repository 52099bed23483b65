"""What a bot says when a player asks to play: a card with the campaign's name and a button to their own play link."""

from __future__ import annotations

from gamekit.campaigns.schemas import CampaignDocument, localized
from gamekit.deliveries.message import Buttons, OpenGame

INVITATION = {"zh-Hant": "點下方按鈕開始玩，祝你好運！", "en": "Tap the button to play. Good luck!"}
PLAY_TITLE = {"zh-Hant": "開始玩", "en": "Play"}
_CHINESE_ZONES = ("Asia/Taipei", "Asia/Hong_Kong", "Asia/Macau")


def card(document: CampaignDocument, *, url: str, locale: str | None) -> Buttons:
    """The invitation of one campaign; `url` is the player's own."""
    words = f"{localized(document.name, locale)}\n{localized(INVITATION, locale)}"
    return Buttons(words, (OpenGame(localized(PLAY_TITLE, locale), url),))


def guess_locale(said: str, document: CampaignDocument) -> str | None:
    """The language to answer in: that of what the player wrote, else that of the campaign's home."""
    if any("\u4e00" <= letter <= "\u9fff" for letter in said):
        return "zh-Hant"
    if any(letter.isalpha() for letter in said):
        return "en"
    return "zh-Hant" if document.timezone in _CHINESE_ZONES else None
