from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gamekit.bots.cards import card, guess_locale
from gamekit.bots.events import (
    Commented,
    Followed,
    Inbound,
    LinkOpened,
    MediaSent,
    Tapped,
    TextSent,
    What,
    inbound_from_json,
)
from gamekit.bots.triggers import campaign_for
from gamekit.deliveries.message import OpenGame
from tests.chat import live

NEW = live("new-wheel", keywords=["輪盤", "Wheel２"], refs=["new"])
OLD = live("old-wheel", keywords=["抽獎", "輪盤"], refs=["summer", "new"])


def event(what: What) -> Inbound:
    return Inbound("messenger", "1", datetime(2026, 11, 22, tzinfo=UTC), "mid:1", what)


@pytest.mark.parametrize(
    ("what", "slug"),
    [
        (TextSent("抽獎"), "old-wheel"),
        (TextSent("  抽獎 \n"), "old-wheel"),
        (TextSent("WHEEL2"), "new-wheel"),
        (TextSent("wheel２"), "new-wheel"),
        (TextSent("輪盤"), "new-wheel"),
        (TextSent("我要抽獎"), None),
        (TextSent(""), None),
        (TextSent("Red", payload="PICK_RED"), None),
        (TextSent("抽獎", payload="PICK_RED"), None),
        (TextSent("Play", payload="play:old-wheel"), "old-wheel"),
        (TextSent("hi", ref="summer"), "old-wheel"),
        (Tapped("GET_STARTED"), "new-wheel"),
        (Tapped("__GET_STARTED__", ref="summer"), "old-wheel"),
        (Tapped("__GET_STARTED__", ref="aaaa"), "new-wheel"),
        (Tapped("get-started"), "new-wheel"),
        (Tapped("play:old-wheel"), "old-wheel"),
        (Tapped("play:gone"), None),
        (Tapped("抽獎"), "old-wheel"),
        (Tapped("USER_DEFINED_PAYLOAD"), None),
        (LinkOpened("summer"), "old-wheel"),
        (LinkOpened("new"), "new-wheel"),
        (LinkOpened("SUMMER"), None),
        (MediaSent(), None),
        (Followed(), None),
        (Commented("1_2", text="抽獎"), None),
    ],
)
def test_an_event_finds_its_campaign(what: What, slug: str | None) -> None:
    """Keywords, refs, buttons and Get Started lead to the right campaign, and everything else to none."""
    found = campaign_for(event(what), [NEW, OLD])
    assert (found and found.slug) == slug


def test_nothing_is_found_where_nothing_is_live() -> None:
    """Get Started has no campaign to default to when none is live."""
    assert campaign_for(event(Tapped("GET_STARTED")), []) is None


@pytest.mark.parametrize(
    "what",
    [
        TextSent("抽獎", "p", "r"),
        TextSent("hi"),
        Tapped("p", "t", "r"),
        LinkOpened("r"),
        MediaSent(),
        Commented("1_2", "1", "hello"),
        Followed(),
    ],
)
def test_an_event_comes_back_from_its_json(what: What) -> None:
    """An event survives the way through the inbox."""
    before = event(what)
    assert inbound_from_json(before.to_json(), channel="messenger", dedupe_key="mid:1") == before


def test_the_card_speaks_the_players_language() -> None:
    """Chinese is answered in Chinese, English in English, and a tap in the language of the campaign's home."""
    for said, words, title in (
        ("抽獎", "夏日輪盤", "開始玩"),
        ("wheel", "Summer wheel", "Play"),
        ("", "夏日輪盤", "開始玩"),
    ):
        shown = card(NEW.document, url="https://x.example", locale=guess_locale(said, NEW.document))
        assert shown.text.startswith(words)
        assert shown.buttons == (OpenGame(title, "https://x.example"),)
