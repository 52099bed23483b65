"""Players on both databases: looked up, tagged, granted chances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import parse_document
from gamekit.config import load_settings
from gamekit.errors import CampaignNotFound, Conflict, KeyReused, PlayerNotFound
from gamekit.main import Records, open_records
from gamekit.players.service import Granted
from tests.api import SLUG, campaign


@pytest.fixture
async def records(sql_url: str, tmp_path: Path) -> AsyncIterator[Records]:
    """A published campaign, and no player."""
    opened = open_records(load_settings(secret_key="s" * 32, database_url=sql_url, data_dir=tmp_path))
    await opened.campaigns.apply(parse_document(campaign()))
    await opened.campaigns.publish(SLUG)
    yield opened
    await opened.sql.dispose()


async def test_a_tag_makes_a_player_known(records: Records) -> None:
    """Tags are in order, once each; the same id on another channel is another person."""
    players = records.players
    assert await players.find("messenger", "1") is None
    with pytest.raises(PlayerNotFound):
        await players.get("messenger", "1")
    await players.tag("messenger", "1", "won-latte")
    await players.tag("messenger", "1", "vip")
    tagged = await players.tag("messenger", "1", "vip")
    assert tagged == await players.find("messenger", "1")
    assert (tagged.tags, tagged.locale, tagged.window_expires_at) == (("vip", "won-latte"), None, None)
    assert await players.find("line", "1") is None
    assert (await players.untag("messenger", "1", "vip")).tags == ("won-latte",)
    assert (await players.untag("messenger", "1", "vip")).tags == ("won-latte",)
    with pytest.raises(PlayerNotFound):
        await players.untag("line", "1", "vip")


async def test_twenty_at_once_tag_one_new_player(records: Records) -> None:
    """The player is added once, and no tag is lost."""
    await asyncio.gather(*(records.players.tag("messenger", "1", f"tag-{number:02}") for number in range(20)))
    assert (await records.players.get("messenger", "1")).tags == tuple(f"tag-{number:02}" for number in range(20))


async def test_a_reason_gives_its_chances_once(records: Records) -> None:
    """Per player and run, also when it is asked for many times at once; other numbers under it are refused."""

    async def grant(
        kind: RunKind = RunKind.LIVE, player: str = "1", chances: int = 2, reason: str = "order-1"
    ) -> Granted:
        return await records.players.grant(
            SLUG, kind, channel="messenger", external_id=player, chances=chances, reason_key=reason
        )

    given = await asyncio.gather(*(grant() for _ in range(20)))
    assert sorted(one.added for one in given) == [False] * 19 + [True]
    assert await grant(RunKind.TEST) == await grant(player="2") == await grant(reason="order-2") == Granted(2, True)
    with pytest.raises(KeyReused, match="2 chances"):
        await grant(chances=3)
    async with records.sql.connect() as connection:
        assert await connection.scalar(text("SELECT sum(chances) FROM grants")) == 8


async def test_a_grant_needs_a_campaign_that_goes_on(records: Records) -> None:
    """An unknown or an ended one gives nothing, and no player comes of it."""
    with pytest.raises(CampaignNotFound):
        await records.players.grant("nowhere", RunKind.LIVE, channel="m", external_id="1", chances=1, reason_key="r")
    await records.campaigns.end(SLUG)
    with pytest.raises(Conflict):
        await records.players.grant(SLUG, RunKind.LIVE, channel="m", external_id="1", chances=1, reason_key="r")
    assert await records.players.find("m", "1") is None
