from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from gamekit.entropy import SystemEntropy
from gamekit.players.bindings import LinkBindings, LinkBoundElsewhere
from gamekit.players.links import LinkExpired, LinkInvalid, Links
from gamekit.storage.sql import open_database

NOW = datetime(2026, 12, 1, 2, tzinfo=UTC)


@dataclass
class Hands:
    """A clock whose hands a test moves."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


def make(
    clock: Hands, *, key: bytes = b"k" * 32, minutes: int = 60, player: str = "1423587017700273"
) -> tuple[Links, str, datetime]:
    links = Links(key, clock, SystemEntropy(), "https://play.example/")
    ttl = timedelta(minutes=minutes)
    url, ends = links.make("summer-wheel", "live", channel="messenger", external_id=player, ttl=ttl, locale="zh_TW")
    return links, url, ends


def token_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["t"][0]


def test_a_link_says_who_plays_what() -> None:
    """What was put in comes out, with the moment it ends."""
    links, url, ends = make(Hands())
    assert url.startswith("https://play.example/play/summer-wheel?t=")
    assert ends == NOW + timedelta(hours=1)
    link = links.read(token_of(url))
    assert (link.slug, link.kind, link.channel, link.external_id) == (
        "summer-wheel",
        "live",
        "messenger",
        "1423587017700273",
    )
    assert (link.expires_at, link.locale) == (ends, "zh_TW")


def test_a_link_tells_nobody_else() -> None:
    """The player's id is not readable in the address, two links of a player do not look alike, and both stay short."""
    links, url, _ = make(Hands())
    _, other, _ = make(Hands())
    raw = urlsafe_b64decode(token_of(url) + "==")
    assert b"1423587017700273" not in raw
    assert token_of(url) != token_of(other)
    assert links.read(token_of(url)).token_id != links.read(token_of(other)).token_id
    assert len(url) < 300


def test_an_expired_link_still_says_whose_it_was() -> None:
    """It opens nothing, but the page can offer the way back to its chat."""
    clock = Hands()
    links, url, ends = make(clock)
    clock.at = ends
    with pytest.raises(LinkExpired) as told:
        links.read(token_of(url))
    assert told.value.link.channel == "messenger"
    assert told.value.status == 410


def test_no_other_text_is_a_link() -> None:
    """Every changed character, another key, a cut-off or padded token and plain nonsense are refused."""
    links, url, _ = make(Hands())
    token = token_of(url)
    changed = [
        token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :] for place in range(len(token))
    ]
    stranger = token_of(make(Hands(), key=b"x" * 32)[1])
    for wrong in [
        *changed,
        stranger,
        token[:-1],
        token + "=",
        token + "A",
        token + "!",
        "",
        "abc",
        "é" * 40,
        "A" * 5000,
    ]:
        with pytest.raises(LinkInvalid):
            links.read(wrong)


async def test_of_many_browsers_at_once_one_gets_the_link(sql_url: str) -> None:
    """Exactly one binding lands, its browser may come back, every other is refused."""
    sql = open_database(sql_url)
    clock = Hands()
    links, url, ends = make(clock)
    link, bindings = links.read(token_of(url)), LinkBindings(sql, clock)
    results = await asyncio.gather(
        *(bindings.bind(link, f"browser {number}") for number in range(12)), return_exceptions=True
    )
    winners = [number for number, result in enumerate(results) if result is None]
    assert len(winners) == 1
    assert all(isinstance(result, LinkBoundElsewhere) for result in results if result is not None)
    await bindings.bind(link, f"browser {winners[0]}")
    assert await bindings.forget_expired() == 0
    clock.at = ends + timedelta(seconds=1)
    assert await bindings.forget_expired() == 1
    await sql.dispose()
