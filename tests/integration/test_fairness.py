"""Fairness seen from outside: through engine, gate and ledger, on both databases, with seeds that a test chooses."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, count
from typing import Any

import pytest
from scipy.stats import power_divergence

from gamekit.campaigns.schemas import CampaignDocument
from gamekit.draws.calls import alias
from gamekit.draws.verify import LedgerFault, verify
from gamekit.odds.fairness import commit
from gamekit.testing.engine import CHANNEL, SLUG, Process, SeededEntropy, SetClock, campaign, process

NOON = datetime(2026, 12, 1, 4, tzinfo=UTC)
SOURCE = "api:1"
SMALL = [(1, 0), (1, 1), (1, 2), (3, 1), (2, 0, 3), (1, 2, 3, 4), (1,) * 12, (5, 0, 1, 1), (0, 7, 0, 6)]
TABLES = [(1, 1, 1, 1, 1), (500, 9500), (1, 2, 4, 8, 16, 32), (333_333, 333_333, 333_334)]
SURE = 1e-9
"""A table of which this would be the chance is not the one that was drawn from."""


@pytest.fixture
async def one(sql_url: str, redis_url: str) -> AsyncIterator[Process]:
    """A process whose seeds are the same at every run."""
    async with process(sql_url, redis_url, clock=SetClock(NOON), entropy=SeededEntropy(7)) as opened:
        yield opened


def document(weights: tuple[int, ...], slug: str = SLUG) -> CampaignDocument:
    """Prizes without stock, so that what is picked is what comes out; the last weight is the fallback's."""
    prizes = [{"key": f"p{place}", "weight": weight} for place, weight in enumerate(weights[:-1])]
    return campaign(prizes, slug=slug, fallback={"key": f"p{len(weights) - 1}", "weight": weights[-1]})


def ticket(seed: bytes, total: int, *parts: object) -> int:
    """The rule as published, read anew: the first 64-bit word below the largest multiple of the total, modulo it."""
    for counter in count():
        digest = hmac.digest(seed, "\n".join(map(str, (*parts, counter))).encode(), "sha256")
        for at in range(0, 32, 8):
            word = int.from_bytes(digest[at : at + 8], "big")
            if word < 2**64 - 2**64 % total:
                return word % total
    raise AssertionError


async def test_every_ticket_of_small_totals_wins_what_it_stands_for(one: Process) -> None:
    """One request per ticket, through the real path: each prize comes out exactly as often as its weight says."""
    for number, weights in enumerate(SMALL):
        slug, total = f"total-{number}", sum(weights)
        await one.open(document(weights, slug))
        view = await one.view(slug=slug)
        found, _ = await one.resolver.resolve([(CHANNEL, "ann")])
        player = alias(view, found[CHANNEL, "ann"])
        keys: dict[int, str] = {}
        for name in map(str, count()):
            keys.setdefault(ticket(view.seed, total, view.run, 1, player, SOURCE, name, 0), name)
            if len(keys) == total:
                break
        answers = await asyncio.gather(*(one.drawn("ann", key, slug=slug) for key in keys.values()))
        ends = list(accumulate(weights))
        expected = [f"p{sum(end <= at for end in ends)}" for at in keys]
        assert [answer.draws[0]["prize"]["key"] for answer in answers] == expected
        assert Counter(expected) == {f"p{place}": weight for place, weight in enumerate(weights) if weight}


@pytest.mark.parametrize("weights", TABLES, ids=str)
async def test_draws_come_out_as_often_as_their_weights_say(
    sqlite_url: str, redis_url: str, weights: tuple[int, ...]
) -> None:
    """A G-test over 6,000 draws of many players accepts the published odds, and refuses odds with one weight doubled."""
    async with process(sqlite_url, redis_url, clock=SetClock(NOON), entropy=SeededEntropy(sum(weights))) as one:
        await one.open(document(weights))
        # The players one after the other, so that they, and with them the picks, are the same at every run.
        for player in range(20):
            await one.resolver.resolve([(CHANNEL, f"p{player}")])
        answers = await asyncio.gather(*(one.drawn(f"p{n % 20}", f"k{n}", 10) for n in range(600)))
    drawn = Counter(draw["prize"]["key"] for answer in answers for draw in answer.draws)
    counts = [drawn[f"p{place}"] for place in range(len(weights))]
    assert sum(counts) == 6000
    assert g_test(counts, weights) > 0.01
    for place in range(len(weights)):
        wrong = [weight * (2 if at == place else 1) for at, weight in enumerate(weights)]
        assert g_test(counts, wrong) < SURE


def g_test(counts: list[int], weights: Sequence[int]) -> float:
    """How likely counts as far off as these are under these weights."""
    total = sum(weights)
    expected = [6000 * weight / total for weight in weights]
    return float(power_divergence(counts, expected, lambda_="log-likelihood").pvalue)


async def test_neither_player_nor_time_nor_repeats_move_the_pick(one: Process) -> None:
    """The pick follows from the names alone: a repeat, another count, or an emptied gate gives the same prize."""
    await one.open(document((1, 1, 1, 1)))
    picks = [draw["prize"]["key"] for draw in (await one.drawn("ann", "k", 10)).draws]
    view = await one.view()
    player = (await one.drawn("ann", "k", 10)).draws[0]["proof"]["player"]
    assert picks == [f"p{ticket(view.seed, 4, view.run, 1, player, SOURCE, 'k', index)}" for index in range(10)]
    await one.redis.flushall()
    assert [draw["prize"]["key"] for draw in (await one.drawn("ann", "k", 10)).draws] == picks
    assert (await one.drawn("bob", "k", 10, source="api:2")).draws[0]["proof"]["player"] != player


async def test_the_ledger_verifies_before_the_end_and_every_pick_after_it(one: Process) -> None:
    """The commitment was there before the first draw; the seed comes with the end, and proves what was exported."""
    prizes = [
        {"key": "mug", "stock": 5, "weight": 3},
        {"key": "pen", "weight": 2, "per_player": 1},
        {"key": "bag", "stock": 8, "weight": 2, "release": {"kind": "per_day", "units": 2}},
    ]
    limits: dict[str, Any] = {"chances": {"total": 6, "per_day": 5}, "limits": {"wins_per_player": 3}}
    await one.open(campaign(prizes, fallback={"weight": 1}, **limits))
    commitment = (await one.campaigns.get(SLUG)).commitment
    await asyncio.gather(*(one.drawn(f"p{n}", f"k{n}", 5) for n in range(8)))
    await one.grant("p0", 2, "friend")
    await one.drawn("p0", "granted", 2)
    await one.campaigns.apply(campaign([{**prizes[0], "weight": 9}, *prizes[1:]], fallback={"weight": 1}, **limits))
    await one.drawn("new", "k", 5)
    before = verify(await one.export())
    assert (before.draws, before.versions, before.seed_known, before.picks_checked) == (47, 2, False, 0)
    open_lines = await one.export()
    await one.campaigns.end(SLUG)
    closed_lines = await one.export()
    assert closed_lines[1:] == open_lines[1:]
    header = json.loads(closed_lines[0])
    assert commit(bytes.fromhex(header["seed"])) == commitment
    after = verify(closed_lines)
    assert (after.draws, after.picks_checked, after.unprovable) == (47, 47, 0)
    reasons = {json.loads(line)["reason"] for line in closed_lines[1:]}
    assert reasons == {None, "sold_out", "not_released", "capped", "win_limit"}


async def test_a_lie_in_the_export_is_found(one: Process) -> None:
    """A prize put into a real ledger's line that its proof does not give is caught at that line."""
    await one.open(document((1, 1, 1)))
    await one.drawn("ann", "k", 10)
    await one.campaigns.end(SLUG)
    lines = await one.export()
    for at in range(1, len(lines)):
        line = json.loads(lines[at])
        line["picked"] = line["prize"] = "p0" if line["prize"] != "p0" else "p1"
        with pytest.raises(LedgerFault) as caught:
            verify([*lines[:at], json.dumps(line).encode(), *lines[at + 1 :]])
        assert caught.value.line == at + 1


async def test_a_test_run_is_as_provable(one: Process) -> None:
    """It has its own seed, and its export verifies in the same way."""
    await one.open(document((1, 1, 1)))
    view = await one.view()
    kind = type(view.kind).TEST
    test = await one.drawn("ann", "k", 10, kind=kind)
    await one.campaigns.end(SLUG)
    report = verify(await one.export(kind))
    assert (report.draws, report.picks_checked) == (10, 10)
    assert test.draws[0]["proof"]["commitment"] != view.commitment
