from __future__ import annotations

from datetime import UTC, datetime

import pytest

from admin import figures
from gamekit.draws.reservations import REASONS
from gamekit.http.i18n import load_catalogues

WORDS = load_catalogues("admin")
MOMENT = datetime(2026, 11, 30, 16, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("weight", "total", "share", "english", "chinese"),
    [
        (500, 10_000, "5\u00a0%", "1 in 20", "20 次中 1 次"),
        (3, 100_000, "0.003\u00a0%", "1 in 33,333.3", "33,333.3 次中 1 次"),
        (1, 3, "33.333333\u00a0%", "1 in 3", "3 次中 1 次"),
        (0, 7, "0\u00a0%", "Never", "不會抽中"),
        (1, 10**12, "<0.000001\u00a0%", "1 in 1,000,000,000,000", "1,000,000,000,000 次中 1 次"),
    ],
)
def test_odds_are_exact_in_both_ways_of_saying(weight: int, total: int, share: str, english: str, chinese: str) -> None:
    """A percentage with as many decimals as it needs, and "1 in N" in the reader's language."""
    assert figures.share(weight, total) == share
    assert figures.one_in(weight, total, WORDS["en"]) == english
    assert figures.one_in(weight, total, WORDS["zh-Hant"]) == chinese


def test_moments_are_shown_in_the_campaigns_zone() -> None:
    """The same moment is another day elsewhere; seconds are shown where there are some."""
    assert figures.minute(MOMENT, "Asia/Taipei", "zh-Hant") == "2026/12/1\u00a000:05"
    assert figures.minute(MOMENT, "America/New_York", "en") == "30 Nov 2026\u00a011:05"
    assert figures.minute(MOMENT.replace(second=59), "Asia/Taipei", "en") == "1 Dec 2026\u00a000:05:59"
    assert figures.day(MOMENT, "Asia/Taipei", "en") == "1 Dec 2026"
    assert figures.second(MOMENT, "Asia/Taipei") == "00:05:00"


@pytest.mark.parametrize(
    ("zone", "english", "chinese"),
    [
        ("Asia/Taipei", "Taiwan Time (Asia/Taipei)", "台北時間（Asia/Taipei）"),
        ("UTC", "UTC", "UTC"),
        ("Etc/GMT-8", "Etc/GMT-8", "Etc/GMT-8"),
    ],
)
def test_a_zone_is_named(zone: str, english: str, chinese: str) -> None:
    """As people call it, with its name in the file; a zone without a place has that name alone."""
    assert figures.zone_name(zone, "en") == english
    assert figures.zone_name(zone, "zh-Hant") == chinese


def test_every_reason_has_words() -> None:
    """Whatever the engine may give as a reason, the page can say in every language."""
    for words in WORDS.values():
        for reason in filter(None, REASONS):
            assert "{picked}" in words[f"reason_{reason}"]
