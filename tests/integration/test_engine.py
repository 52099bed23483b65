"""Draws as callers see them, on both databases and a real gate, at moments that a test chooses."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.views import Phase
from gamekit.clock import micros
from gamekit.draws.gate import Ask, Reserved, Terms
from gamekit.draws.reservations import Memo
from gamekit.draws.service import Drawn, RefusalCode, Refused
from gamekit.draws.verify import verify
from gamekit.errors import CampaignNotFound, Conflict, InvalidInput, KeyReused, Unavailable
from gamekit.odds.fairness import commit
from gamekit.storage.sql import open_database, reading
from gamekit.testing.engine import CHANNEL, SLUG, Process, SetClock, campaign, process
from gamekit.testing.revision import all_tables
from gamekit.testing.servers import PostgresServer

TAIPEI = ZoneInfo("Asia/Taipei")
NOON = datetime(2026, 12, 1, 12, tzinfo=TAIPEI)
DAY = timedelta(days=1)
MUG: dict[str, Any] = {"key": "mug", "stock": 1000}
POOLED: dict[str, Any] = {"key": "latte", "kind": "coupon", "codes": "pool"}
TEST = RunKind.TEST


@pytest.fixture(scope="module")
def _database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
async def postgres_url(_database: str) -> str:
    """One database for the module, emptied for each test: quicker than a new one, and these tests only fill tables."""
    sql = open_database(_database)
    async with sql.begin() as connection:
        names = ", ".join(table.name for table in all_tables().sorted_tables)
        await connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    await sql.dispose()
    return _database


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOON)


@pytest.fixture
async def one(sql_url: str, redis_url: str, clock: SetClock) -> AsyncIterator[Process]:
    """A process on each database in turn."""
    async with process(sql_url, redis_url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def other(sql_url: str, redis_url: str, clock: SetClock) -> AsyncIterator[Process]:
    """A second process over the same servers."""
    async with process(sql_url, redis_url, clock=clock) as opened:
        yield opened


def prizes(answer: Drawn) -> list[str]:
    return [draw["prize"]["key"] for draw in answer.draws]


def reasons(answer: Drawn) -> list[str | None]:
    return [draw["reason"] for draw in answer.draws]


def codes(answers: Iterable[Drawn]) -> list[str | None]:
    return [draw["coupon"]["code"] if draw["coupon"] else None for answer in answers for draw in answer.draws]


async def rows(one: Process, query: str) -> list[tuple[Any, ...]]:
    async with reading(one.sql) as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def standing(one: Process) -> dict[str, tuple[int | None, int]]:
    """Stock and issued numbers by prize."""
    return {item.prize.key: (item.stock, item.issued) for item in (await one.campaigns.get(SLUG)).prizes}


# Chances -----------------------------------------------------------------------------------------------------------


async def test_a_player_has_so_many_chances_in_the_run(one: Process) -> None:
    """After the last chance the answer is no for good; other players, and the test run, are not touched by it."""
    await one.open(campaign([MUG], chances={"total": 2}))
    assert [(await one.drawn("ann", f"k{n}")).chances_left for n in range(2)] == [1, 0]
    assert await one.refused("ann", "k2") == Refused(RefusalCode.NO_CHANCES_LEFT, None)
    assert (await one.drawn("bob", "b0")).chances_left == 1
    assert (await one.drawn("ann", "t0", kind=TEST)).chances_left == 1
    state = await one.draws.standing(SLUG, RunKind.LIVE, channel=CHANNEL, external_id="ann")
    assert (state.chances_left, state.next_chance_at, state.state) == (0, None, Phase.LIVE)


async def test_without_limits_nothing_is_counted_down(one: Process) -> None:
    """`chances_left` is None, for a draw and for a player nobody has seen."""
    await one.open(campaign([MUG]))
    assert (await one.drawn("ann", "k", 10)).chances_left is None
    state = await one.draws.standing(SLUG, RunKind.LIVE, channel=CHANNEL, external_id="new")
    assert (state.chances_left, state.next_chance_at, list(state.latest)) == (None, None, [])


async def test_a_day_begins_when_the_campaign_says_in_its_zone(one: Process, clock: SetClock) -> None:
    """With days from 06:00 in Taipei, a chance comes back at 06:00 there and not a microsecond sooner."""
    clock.moment = datetime(2026, 12, 2, 5, 30, tzinfo=TAIPEI)
    six = datetime(2026, 12, 2, 6, tzinfo=TAIPEI)
    await one.open(campaign([MUG], chances={"total": 3, "per_day": 1, "day_starts": "06:00"}))
    assert (await one.drawn("ann", "1")).chances_left == 0
    assert await one.refused("ann", "2") == Refused(RefusalCode.NO_CHANCES_LEFT, six)
    clock.moment = six - timedelta(microseconds=1)
    assert (await one.refused("ann", "2")).next_chance_at == six
    clock.moment = six
    assert (await one.drawn("ann", "2")).chances_left == 0
    assert (await one.refused("ann", "3")).next_chance_at == six + DAY
    clock.moment = datetime(2026, 12, 4, 7, tzinfo=TAIPEI)
    assert (await one.drawn("ann", "3")).chances_left == 0
    # The total is used up: no day brings a chance back.
    assert await one.refused("ann", "4") == Refused(RefusalCode.NO_CHANCES_LEFT, None)
    assert await rows(one, "SELECT day, day_number FROM draws ORDER BY chance") == [
        (20261201, 1),
        (20261202, 1),
        (20261204, 1),
    ]


async def test_no_chance_is_promised_after_the_end(one: Process) -> None:
    """Where the campaign ends before the next day begins, nothing is said of a next chance."""
    await one.open(campaign([MUG], chances={"per_day": 1}, ends_at=datetime(2026, 12, 2, 0, 0, tzinfo=TAIPEI)))
    await one.drawn("ann", "1")
    assert (await one.refused("ann", "2")).next_chance_at is None


async def test_grants_come_after_the_days_allowance_and_know_no_day(one: Process, clock: SetClock) -> None:
    """One base chance, then the granted ones on the same day; the next day's base chance is untouched by them."""
    await one.open(campaign([MUG], chances={"total": 2, "per_day": 1}))
    await one.drawn("ann", "1")
    await one.refused("ann", "2")
    await one.grant("ann", 2, "order-1")
    await one.grant("ann", 2, "order-1")
    assert (await one.drawn("ann", "2")).chances_left == 1
    clock.move(DAY)
    # Today's base chance is used before what is left of the grant.
    assert [(await one.drawn("ann", f"{n}")).chances_left for n in (3, 4)] == [1, 0]
    await one.refused("ann", "5")
    drawn = await rows(one, "SELECT granted, day, day_number FROM draws ORDER BY chance")
    assert [(bool(granted), day, number) for granted, day, number in drawn] == [
        (False, 20261201, 1),
        (True, None, None),
        (False, 20261202, 1),
        (True, None, None),
    ]
    assert verify(await one.export()).draws == 4


async def test_one_request_may_use_base_and_granted_chances(one: Process) -> None:
    """A count that needs both is drawn at once."""
    await one.open(campaign([MUG], chances={"per_day": 2}))
    await one.grant("ann", 3, "friend")
    assert (await one.drawn("ann", "all", 5)).chances_left == 0
    assert [bool(row[0]) for row in await rows(one, "SELECT granted FROM draws ORDER BY chance")] == [False] * 2 + [
        True
    ] * 3


async def test_a_request_is_drawn_whole(one: Process) -> None:
    """A request of any size from 1 to 10 has its draws numbered from 0, and uses that many chances."""
    await one.open(campaign([MUG], chances={"total": 10}))
    for count in range(1, 11):
        answer = await one.drawn(f"p{count}", f"k{count}", count)
        assert answer.chances_left == 10 - count
        assert [draw["proof"]["index"] for draw in answer.draws] == list(range(count))
        assert len({draw["id"] for draw in answer.draws}) == count


async def test_a_request_is_drawn_all_or_nothing(one: Process) -> None:
    """One chance too few refuses the whole request and uses up nothing; the same key may then ask again in vain or not."""
    await one.open(campaign([MUG], chances={"total": 5}))
    await one.refused("ann", "six", 6)
    assert await rows(one, "SELECT * FROM draws") == []
    assert (await one.drawn("ann", "five", 5)).chances_left == 0
    await one.refused("ann", "six", 6)
    await one.grant("ann", 6, "sorry")
    assert (await one.drawn("ann", "six", 6)).chances_left == 0


# Prizes ------------------------------------------------------------------------------------------------------------


async def test_stock_runs_out(one: Process) -> None:
    """Units 1..stock are issued once each; then the fallback comes out, and says that the pick is sold out."""
    await one.open(campaign([{"key": "mug", "stock": 3}]))
    answer = await one.drawn("ann", "k", 5)
    assert prizes(answer) == ["mug"] * 3 + ["thanks"] * 2
    assert reasons(answer) == [None] * 3 + ["sold_out"] * 2
    assert [draw["outcome"] for draw in answer.draws] == ["win"] * 3 + ["lose"] * 2
    assert await rows(one, "SELECT unit FROM draws WHERE unit IS NOT NULL ORDER BY seq") == [(1,), (2,), (3,)]
    assert await standing(one) == {"mug": (3, 3), "thanks": (None, 2)}
    assert verify(await one.export()).draws == 5


async def test_a_prize_may_have_no_stock_or_none_left_from_the_start(one: Process) -> None:
    """Without a stock nothing is numbered and nothing runs out; a stock of 0 never comes out."""
    await one.open(campaign([{"key": "points", "kind": "points"}, {"key": "car", "stock": 0}]))
    answer = await one.drawn("ann", "k", 10)
    for draw in answer.draws:
        assert (draw["prize"]["key"], draw["reason"]) in {("points", None), ("thanks", "sold_out")}
    assert await rows(one, "SELECT unit FROM draws WHERE unit IS NOT NULL") == []


async def test_a_prize_is_capped_per_player(one: Process) -> None:
    """A player's second win of it becomes the fallback, with the reason; another player still wins."""
    await one.open(campaign([{"key": "mug", "stock": 10, "per_player": 1}]))
    answer = await one.drawn("ann", "k", 3)
    assert (prizes(answer), reasons(answer)) == (["mug", "thanks", "thanks"], [None, "capped", "capped"])
    assert reasons(await one.drawn("ann", "again")) == ["capped"]
    assert prizes(await one.drawn("bob", "k2")) == ["mug"]
    assert await standing(one) == {"mug": (10, 2), "thanks": (None, 3)}


async def test_a_player_wins_so_often_in_all(one: Process) -> None:
    """`wins_per_player` counts every prize but the fallback, over several requests, whatever the fallback's kind."""
    document = campaign([MUG, {"key": "pen"}], limits={"wins_per_player": 2}, fallback={"kind": "points"})
    await one.open(document)
    answers = [await one.drawn("ann", f"k{n}") for n in range(4)]
    assert [reasons(answer)[0] for answer in answers] == [None, None, "win_limit", "win_limit"]
    assert [answer.draws[0]["outcome"] for answer in answers] == ["win"] * 4
    assert [prizes(answer)[0] for answer in answers[2:]] == ["thanks"] * 2
    assert reasons(await one.drawn("bob", "b")) == [None]


@pytest.mark.parametrize(
    ("release", "steps"),
    [
        # (hours after the opening, units open by then)
        ({"kind": "all"}, [(0, 6)]),
        ({"kind": "per_day", "units": 2}, [(0, 2), (11.99, 2), (12, 4), (36, 6), (60, 6)]),
        ({"kind": "evenly"}, [(0, 1), (23.99, 1), (24, 2), (96, 5), (120, 6)]),
        (
            {"kind": "moments", "moments": ["2026-12-02T00:00:00+08:00", "2026-12-05T00:00:00+08:00"]},
            [(0, 0), (11.99, 0), (12, 3), (83.99, 3), (84, 6)],
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
async def test_stock_is_released_over_time(
    one: Process, clock: SetClock, release: dict[str, Any], steps: list[tuple[float, int]]
) -> None:
    """At each moment exactly the units open by then come out; what is left over stays open."""
    ends_at = NOON + timedelta(hours=144)
    await one.open(campaign([{"key": "mug", "stock": 6, "release": release}], starts_at=NOON, ends_at=ends_at))
    issued = 0
    for number, (hours, open_units) in enumerate(steps):
        clock.moment = NOON + timedelta(hours=hours)
        answer = await one.drawn("ann", f"k{number}", 7)
        assert prizes(answer).count("mug") == open_units - issued
        issued = open_units
        assert set(reasons(answer)) - {None} == {"sold_out" if issued == 6 else "not_released"}
    assert verify(await one.export()).unprovable == 0


async def test_stock_is_raised_and_lowered_to_what_is_issued(one: Process) -> None:
    """A raise is in force at the next draw; lowering stops at the issued number; neither makes an odds version."""
    await one.open(campaign([{"key": "mug", "stock": 2}]))
    assert prizes(await one.drawn("ann", "1", 3)) == ["mug", "mug", "thanks"]
    assert (await one.campaigns.apply(campaign([{"key": "mug", "stock": 5}]))).version == 1
    assert prizes(await one.drawn("ann", "2")) == ["mug"]
    with pytest.raises(InvalidInput) as refused:
        await one.campaigns.apply(campaign([{"key": "mug", "stock": 2}]))
    (problem,) = refused.value.problems
    assert (problem.field, "at least 3" in problem.message) == ("prizes[0].stock", True)
    assert await standing(one) == {"mug": (5, 3), "thanks": (None, 1)}
    await one.campaigns.apply(campaign([{"key": "mug", "stock": 3}]))
    assert reasons(await one.drawn("ann", "3", 2)) == ["sold_out"] * 2
    await one.campaigns.apply(campaign([{"key": "mug", "stock": 4}]))
    assert prizes(await one.drawn("ann", "4", 2)) == ["mug", "thanks"]
    assert verify(await one.export()).versions == 1


# Coupons -----------------------------------------------------------------------------------------------------------


async def test_code_n_belongs_to_unit_n(one: Process) -> None:
    """Codes come out in the order of their import, one per unit, and stay with their draws."""
    await one.open(campaign([{**POOLED, "stock": 4, "expires": {"days": 30}}]), codes={"latte": 4})
    answers = [await one.drawn(f"p{n}", f"k{n}") for n in range(2)]
    answers.append(await one.drawn("p9", "k9", 2))
    assert codes(answers) == ["LATTE-1", "LATTE-2", "LATTE-3", "LATTE-4"]
    assert answers[0].draws[0]["coupon"]["expires_at"] == "2026-12-31T23:59:59+08:00"
    assert codes([await one.drawn("p9", "k9", 2)]) == ["LATTE-3", "LATTE-4"]
    found = await one.draws.find(answers[2].draws[1]["id"])
    assert found == answers[2].draws[1]


async def test_a_pool_bounds_its_prize_and_an_import_raises_it(one: Process) -> None:
    """The smaller of stock and pool counts: without a code nothing is won, and new codes open up to the stock."""
    await one.open(campaign([{**POOLED, "stock": 4}]), codes={"latte": 1})
    assert codes([await one.drawn("ann", "1", 2)]) == ["LATTE-1", None]
    await one.add_codes("latte", 2, 3)
    assert await standing(one) == {"latte": (3, 1), "thanks": (None, 1)}
    assert codes([await one.drawn("ann", "2", 3)]) == ["LATTE-2", "LATTE-3", None]
    await one.add_codes("latte", 4, 9)
    assert codes([await one.drawn("ann", "3", 3)]) == ["LATTE-4", None, None]
    assert verify(await one.export()).unprovable == 0


async def test_a_shared_code_is_the_same_for_all(one: Process) -> None:
    """It needs no pool, and may still have a stock."""
    await one.open(campaign([{**POOLED, "codes": {"shared": "SPRING"}, "stock": 2}]))
    assert codes([await one.drawn("ann", "1", 3)]) == ["SPRING", "SPRING", None]


async def test_a_test_run_reads_no_pool_and_leaks_nothing(one: Process) -> None:
    """Its codes are made up, its stock and chances are its own, and its run and seed are others."""
    await one.open(campaign([{**POOLED, "stock": 2}], chances={"total": 3}), codes={"latte": 1})
    test = await one.drawn("ann", "k", 3, kind=TEST)
    assert codes([test]) == ["TEST-LATTE-1", "TEST-LATTE-2", None]
    assert {draw["run"] for draw in test.draws} == {"test"}
    live = await one.drawn("ann", "k", 3)
    assert codes([live]) == ["LATTE-1", None, None]
    assert await standing(one) == {"latte": (1, 1), "thanks": (None, 2)}
    proofs = live.draws[0]["proof"], test.draws[0]["proof"]
    for field in ("commitment", "run", "player"):
        assert proofs[0][field] != proofs[1][field]


async def test_wiping_the_test_run_begins_a_new_one(one: Process, other: Process) -> None:
    """The draws are gone, every process goes on in the new run with full stock, and the live run is untouched."""
    await one.open(campaign([{**POOLED, "stock": 1}], chances={"total": 1}), codes={"latte": 1})
    before = await one.drawn("ann", "k", kind=TEST)
    await other.refused("ann", "k2", kind=TEST)
    live = await one.drawn("ann", "k")
    await one.campaigns.wipe_test(SLUG)
    assert await one.draws.find(before.draws[0]["id"]) is None
    after = await other.drawn("ann", "k", kind=TEST)
    assert codes([after]) == ["TEST-LATTE-1"]
    assert after.draws[0]["proof"]["run"] != before.draws[0]["proof"]["run"]
    assert (await other.drawn("ann", "k")).draws == live.draws


# The same request --------------------------------------------------------------------------------------------------


async def test_a_repeat_is_the_same_draw_with_the_chances_of_now(one: Process, other: Process) -> None:
    """From any process and after an emptied gate: identical draws, told as a replay."""
    await one.open(campaign([{**POOLED, "stock": 3}, MUG], chances={"total": 4}), codes={"latte": 3})
    first = await one.drawn("ann", "k", 2)
    assert (first.replayed, first.chances_left) == (False, 2)
    await one.drawn("ann", "k2")
    again = await one.drawn("ann", "k", 2)
    assert (again.draws, again.replayed, again.chances_left) == (first.draws, True, 1)
    await one.redis.flushall()
    for process_ in (other, one):
        repeated = await process_.drawn("ann", "k", 2)
        assert (repeated.draws, repeated.replayed, repeated.chances_left) == (first.draws, True, 1)
    assert (await other.drawn("ann", "k3")).chances_left == 0


async def test_a_repeat_is_answered_though_nothing_may_be_drawn(one: Process) -> None:
    """Without chances, paused, or ended: what was drawn is told again, and a new request is refused."""
    await one.open(campaign([MUG], chances={"total": 1}))
    first = await one.drawn("ann", "k")
    await one.refused("ann", "k2")
    assert (await one.drawn("ann", "k")).draws == first.draws
    await one.campaigns.pause(SLUG)
    assert (await one.drawn("ann", "k")).draws == first.draws
    await one.campaigns.end(SLUG)
    assert (await one.drawn("ann", "k")).draws == first.draws
    assert (await one.refused("bob", "b")).code == RefusalCode.CAMPAIGN_ENDED


async def test_a_repeat_shows_the_version_it_was_drawn_in(one: Process, other: Process) -> None:
    """New names, a pool that became a shared code, a prize that is gone: an older draw is told as it was."""
    await one.open(campaign([{**POOLED, "stock": 3}, MUG]), codes={"latte": 3})
    first = await one.drawn("ann", "k", 10)
    assert "LATTE-1" in codes([first])
    ids = [draw["id"] for draw in first.draws]
    shared = {**POOLED, "codes": {"shared": "ALL"}, "name": {"en": "Another name"}}
    changes: list[list[dict[str, Any]]] = [[shared, MUG], [MUG], [{"key": "pen"}]]
    for changed in changes:
        await one.campaigns.apply(campaign(changed))
        for asked in (one, other):
            again = await asked.drawn("ann", "k", 10)
            assert (again.draws, again.replayed) == (first.draws, True)
            assert [await asked.draws.find(draw_id) for draw_id in ids] == list(first.draws)
        assert list((await one.draws.history(SLUG, RunKind.LIVE, after=None, limit=10)).draws) == list(first.draws)


async def test_a_key_means_one_body(one: Process) -> None:
    """Another player or count under a used key is an error; another client's key of the same name is another request."""
    await one.open(campaign([MUG]))
    first = await one.drawn("ann", "k")
    for player, count in (("ann", 2), ("bob", 1)):
        with pytest.raises(KeyReused):
            await one.draw(player, "k", count)
    theirs = await one.drawn("ann", "k", source="api:2")
    mine = await one.drawn("ann", "k", source=None)
    yours = await one.drawn("bob", "k", source=None)
    ids = {answer.draws[0]["id"] for answer in (first, theirs, mine, yours)}
    assert len(ids) == 4
    assert mine.draws[0]["proof"]["source"] == f"web:{mine.draws[0]['proof']['player']}"
    state = await one.draws.standing(SLUG, RunKind.LIVE, channel=CHANNEL, external_id="bob")
    assert list(state.latest) == list(yours.draws)


async def test_what_no_proof_can_hold_is_refused(one: Process) -> None:
    """Control characters and lengths beyond the ledger's name the field, before anything is reserved."""
    await one.open(campaign([MUG]))
    for field, (player, key) in {"player.id": ("a\nb", "k"), "key": ("ann", "k" * 201)}.items():
        with pytest.raises(InvalidInput) as refused:
            await one.draw(player, key)
        assert [problem.field for problem in refused.value.problems] == [field]
    with pytest.raises(CampaignNotFound):
        await one.draw("ann", "k", slug="nowhere")
    assert await rows(one, "SELECT * FROM draws") == []


# The campaign's life -----------------------------------------------------------------------------------------------


async def test_opening_times_are_kept_by_the_clock(one: Process, clock: SetClock) -> None:
    """Draft, scheduled, live and ended follow each other without anybody doing anything but publish."""
    opens, closes = NOON + timedelta(hours=1), NOON + timedelta(hours=2)
    document = campaign([MUG], starts_at=opens, ends_at=closes)
    await one.campaigns.apply(document)
    seen: list[tuple[Phase, str]] = []

    async def look() -> None:
        answer = await one.draw("ann", f"k{len(seen)}")
        told = answer.code.value if isinstance(answer, Refused) else "drawn"
        seen.append(((await one.campaigns.get(SLUG)).phase, told))

    await look()
    await one.campaigns.publish(SLUG)
    tick = timedelta(microseconds=1)
    for moment in (NOON, opens - tick, opens, closes - tick, closes):
        clock.moment = moment
        await look()
    assert seen == [
        (Phase.DRAFT, "campaign_not_started"),
        (Phase.SCHEDULED, "campaign_not_started"),
        (Phase.SCHEDULED, "campaign_not_started"),
        (Phase.LIVE, "drawn"),
        (Phase.LIVE, "drawn"),
        (Phase.ENDED, "campaign_ended"),
    ]
    assert list(await one.campaigns.end_overdue()) == [SLUG]
    assert list(await one.campaigns.end_overdue()) == []
    assert (await one.campaigns.get(SLUG)).seed is not None


async def test_a_test_run_is_open_before_and_while_paused(one: Process) -> None:
    """A marketer may try a draft, a scheduled and a paused campaign, but not one that has ended."""
    await one.campaigns.apply(campaign([MUG], starts_at=NOON + DAY))
    await one.drawn("ann", "draft", kind=TEST)
    await one.campaigns.publish(SLUG)
    await one.drawn("ann", "scheduled", kind=TEST)
    await one.campaigns.pause(SLUG)
    await one.drawn("ann", "paused", kind=TEST)
    await one.campaigns.end(SLUG)
    assert (await one.refused("ann", "ended", kind=TEST)).code == RefusalCode.CAMPAIGN_ENDED


async def test_pause_resume_and_end_hold_in_every_process(one: Process, other: Process) -> None:
    """What one process did is in force in the other at its very next draw, and ended is final."""
    await one.open(campaign([MUG]))
    await other.drawn("ann", "1")
    await one.campaigns.pause(SLUG)
    assert (await other.refused("ann", "2")).code == RefusalCode.CAMPAIGN_PAUSED
    await one.campaigns.resume(SLUG)
    await other.drawn("ann", "2")
    assert (await one.campaigns.get(SLUG)).seed is None
    assert b'"seed":null' in (await one.export())[0]
    await one.campaigns.end(SLUG)
    assert (await other.refused("ann", "3")).code == RefusalCode.CAMPAIGN_ENDED
    summary = await other.campaigns.get(SLUG)
    assert summary.seed is not None
    assert commit(bytes.fromhex(summary.seed)) == summary.commitment
    for act in (one.campaigns.publish, one.campaigns.pause, one.campaigns.resume):
        with pytest.raises(Conflict):
            await act(SLUG)
    with pytest.raises(Conflict):
        await one.campaigns.apply(campaign([MUG, {"key": "pen"}]))


async def test_only_what_is_frozen_makes_a_version(one: Process, other: Process) -> None:
    """Saving the same, stock or triggers keeps the odds version; weights, names, limits and looks make the next one."""
    await one.open(campaign([MUG]))
    first = await other.drawn("ann", "1")
    saved = [
        (campaign([MUG]), 1),
        (campaign([{**MUG, "stock": 2000}]), 1),
        (campaign([MUG], triggers={"keywords": ["spring"]}), 1),
        (campaign([{**MUG, "weight": 2}]), 2),
        (campaign([{**MUG, "weight": 2, "name": {"en": "A cup"}}]), 3),
        (campaign([MUG], chances={"total": 9}), 4),
        (campaign([MUG], look={"b1": "#123456"}), 5),
    ]
    for number, (document, version) in enumerate(saved, 2):
        assert (await one.campaigns.apply(document, dry_run=True)).changes or number == 2
        assert (await one.campaigns.apply(document)).version == version
        assert (await other.drawn("ann", f"{number}")).draws[0]["odds_version"] == version
    assert (await other.drawn("ann", "1")).draws == first.draws
    assert verify(await one.export()).versions == 5


async def test_a_dry_run_saves_nothing(one: Process) -> None:
    """It names the changes; the draws go on as they were, and no epoch is lost."""
    await one.open(campaign([MUG]))
    await one.drawn("ann", "1")
    before = await one.view()
    applied = await one.campaigns.apply(campaign([{**MUG, "weight": 7}]), dry_run=True)
    assert [(change.field, change.after) for change in applied.changes] == [("prizes.mug.weight", 7)]
    assert (await one.view()) == before
    assert (await one.campaigns.apply(campaign([MUG], slug="other"), dry_run=True)).created
    with pytest.raises(CampaignNotFound):
        await one.campaigns.get("other")


# Many at once ------------------------------------------------------------------------------------------------------


async def test_two_hundred_players_at_once(one: Process, other: Process) -> None:
    """Through two processes: exact counts of units, chances and codes, and a ledger that verifies."""
    document = campaign([{**POOLED, "stock": 70}, {"key": "mug", "stock": 30}], chances={"total": 2})
    await one.open(document, codes={"latte": 70})
    answers = await asyncio.gather(
        *((one, other)[n % 2].drawn(f"p{n % 200}", f"k{n}") for n in range(400)),
        *((one, other)[n % 2].drawn(f"p{n}", f"k{n}") for n in range(200)),
    )
    ids = {draw["id"]: draw["prize"]["key"] for answer in answers for draw in answer.draws}
    assert Counter(ids.values()) == {"latte": 70, "mug": 30, "thanks": 300}
    assert sum(not answer.replayed for answer in answers) == 400
    handed_out = [code for code in codes(answers[:400]) if code]
    assert sorted(handed_out) == sorted(f"LATTE-{n}" for n in range(1, 71))
    refusals = await asyncio.gather(*((one, other)[n % 2].draw(f"p{n}", f"late-{n}") for n in range(200)))
    assert set(refusals) == {Refused(RefusalCode.NO_CHANCES_LEFT)}
    report = verify(await other.export())
    assert (report.draws, report.voids, report.unprovable) == (400, 0, 0)


async def test_a_closed_process_takes_no_draws_and_loses_none(one: Process) -> None:
    """Closing waits for every draw under way; whoever comes later is told to try elsewhere."""
    await one.open(campaign([MUG]))
    work = [asyncio.create_task(one.drawn(f"p{n}", f"k{n}")) for n in range(50)]
    await asyncio.sleep(0)
    await one.engine.close()
    assert len({(await task).draws[0]["id"] for task in work}) == 50
    with pytest.raises(Unavailable):
        await one.draw("late", "k")
    assert await rows(one, "SELECT count(*) FROM draws") == [(50,)]


async def test_it_all_holds_on_a_cluster(sqlite_url: str, redis_cluster_url: str, clock: SetClock) -> None:
    """Runs live in different slots: draws, replays, limits, changes and a flush work as on one server."""
    slugs = [f"campaign-{n}" for n in range(6)]
    async with process(sqlite_url, redis_cluster_url, clock=clock) as one:
        for slug in slugs:
            await one.open(campaign([{"key": "mug", "stock": 3}], slug=slug, chances={"total": 5}))
        answers = await asyncio.gather(*(one.drawn("ann", "k", 4, slug=slug) for slug in slugs))
        assert [reasons(answer) for answer in answers] == [[None, None, None, "sold_out"]] * 6
        await one.campaigns.apply(campaign([{"key": "mug", "stock": 4}], slug=slugs[0], chances={"total": 5}))
        await one.campaigns.pause(slugs[1])
        assert prizes(await one.drawn("ann", "k2", slug=slugs[0])) == ["mug"]
        assert (await one.refused("ann", "k2", slug=slugs[1])).code == RefusalCode.CAMPAIGN_PAUSED
        await one.redis.flushall(target_nodes="primaries")
        again = await asyncio.gather(*(one.drawn("ann", "k", 4, slug=slug) for slug in slugs))
        assert [answer.draws for answer in again] == [answer.draws for answer in answers]
        assert reasons(await one.drawn("ann", "k2", slug=slugs[2])) == ["sold_out"]
        assert (await one.refused("ann", "k3", slug=slugs[2])).code == RefusalCode.NO_CHANCES_LEFT


# What a draw owes, and where it is found ---------------------------------------------------------------------------


async def owed(one: Process) -> list[tuple[str, str, str, str | None]]:
    """Channel, kind, draw and tag of every delivery, in their order."""
    async with reading(one.sql) as connection:
        found = await connection.execute(text("SELECT channel, kind, body FROM deliveries ORDER BY id"))
        bodies = [
            (row.channel, row.kind, row.body if isinstance(row.body, dict) else json.loads(row.body)) for row in found
        ]
    return [(channel, kind, body["draw"], body.get("tag")) for channel, kind, body in bodies]


async def test_a_win_owes_its_message_and_tags_once(one: Process, other: Process) -> None:
    """Written with the draw, never for a replay, a lost draw, or a player whose channel is not connected."""
    await one.open(campaign([{**POOLED, "stock": 1, "tags": ["won-latte", "vip"]}]), codes={"latte": 1})
    answer = await one.drawn("ann", "k", 2)
    for asked in (one, other):
        await asked.drawn("ann", "k", 2)
    win = answer.draws[0]["id"]
    expected: list[tuple[str, str, str, str | None]] = [
        ("messenger", "message", win, None),
        ("messenger", "tag", win, "won-latte"),
        ("messenger", "tag", win, "vip"),
    ]
    assert await owed(one) == expected
    await one.add_codes("latte", 2, 9)
    await one.campaigns.apply(campaign([{**POOLED, "stock": 9, "tags": ["won-latte", "vip"]}]))
    assert codes([await one.drawn("ann", "elsewhere", channel="line")]) == ["LATTE-2"]
    assert await owed(one) == expected


async def test_a_test_run_tags_nobody(one: Process) -> None:
    """Its win is told, so that texts can be tried; a tag would make a player of the tester."""
    await one.open(campaign([{**MUG, "tags": ["won-mug"]}]))
    answer = await one.drawn("ann", "k", kind=TEST)
    assert await owed(one) == [("messenger", "message", answer.draws[0]["id"], None)]


async def test_paging_through_history_meets_every_draw_once(one: Process) -> None:
    """Whatever the page's size, also across requests of several draws, a change of epoch and a void."""
    await one.open(campaign([{**POOLED, "stock": 50}]), codes={"latte": 50})
    answers = [await one.drawn(f"p{n}", f"k{n}", 1 + n % 3) for n in range(6)]
    await one.campaigns.apply(campaign([{**POOLED, "stock": 50, "name": {"en": "Coffee"}}]))
    answers += [await one.drawn(f"q{n}", f"q{n}", 1 + n % 3) for n in range(4)]
    expected = [draw for answer in answers for draw in answer.draws]
    for limit in (1, 2, 3, 7, 1000):
        assert await pages(one, limit) == expected
    for draw in expected:
        assert await one.draws.find(draw["id"]) == draw
    with pytest.raises(InvalidInput):
        await one.draws.history(SLUG, RunKind.LIVE, after=None, limit=0)
    with pytest.raises(InvalidInput):
        await one.draws.history(SLUG, RunKind.LIVE, after="tomorrow", limit=1)


async def pages(one: Process, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = await one.draws.history(SLUG, RunKind.LIVE, after=after, limit=limit)
        found += page.draws
        if page.next is None:
            return found
        after = page.next


async def test_history_waits_at_a_gap_until_it_is_decided(one: Process, clock: SetClock) -> None:
    """A number of the running epoch that may still land holds readers back; once it is void, they go on."""
    await one.open(campaign([MUG], chances={"total": 5}))
    first = await one.drawn("ann", "first")
    await reserve_and_die(one, clock, "bob")
    later = await one.drawn("eve", "later")
    page = await one.draws.history(SLUG, RunKind.LIVE, after=None, limit=10)
    assert list(page.draws) == list(first.draws)
    assert (await one.draws.history(SLUG, RunKind.LIVE, after=page.next, limit=10)).next is None
    assert len(await one.export()) == 2
    clock.move(timedelta(seconds=9))
    assert await one.recovery.sweep() == 1
    page = await one.draws.history(SLUG, RunKind.LIVE, after=page.next, limit=10)
    assert list(page.draws) == list(later.draws)
    report = verify(await one.export())
    assert (report.draws, report.voids) == (2, 1)


async def test_a_gap_of_an_older_epoch_is_passed(one: Process, clock: SetClock) -> None:
    """What was undecided when an epoch ended can no longer land, so nobody waits for it."""
    await one.open(campaign([MUG], chances={"total": 5}))
    first = await one.drawn("ann", "first")
    await reserve_and_die(one, clock, "bob")
    later = await one.drawn("eve", "later")
    await one.campaigns.pause(SLUG)
    await one.campaigns.resume(SLUG)
    last = await one.drawn("eve", "last")
    for limit in (1, 10):
        assert await pages(one, limit) == [*first.draws, *later.draws, *last.draws]


async def test_a_draw_is_found_by_its_whole_id_only(one: Process) -> None:
    """Another nonce, number, epoch or run, and anything that is no id, finds nothing."""
    await one.open(campaign([MUG]))
    draw = (await one.drawn("ann", "k")).draws[0]
    run, epoch, seq, nonce = draw["id"].split("-")
    assert await one.draws.find(draw["id"]) == draw
    near: Sequence[str] = (
        f"{run}-{epoch}-{seq}-{'0' * 12}",
        f"{run}-{epoch}-{int(seq) + 1}-{nonce}",
        f"{run}-{int(epoch) + 1}-{seq}-{nonce}",
        f"{'0' * 12}-{epoch}-{seq}-{nonce}",
        "",
        "1-2-3",
        f"{run}-{'9' * 30}-{seq}-{nonce}",
        "x" * 10_000,
    )
    for other_id in near:
        assert await one.draws.find(other_id) is None


async def reserve_and_die(one: Process, clock: SetClock, player: str) -> None:
    """Reserves a draw in the gate as a process would that dies before it commits."""
    view = await one.view()
    found, _ = await one.resolver.resolve([(CHANNEL, player)])
    memo = Memo("api:1", f"lost-{player}", "0" * 32, view.version, micros(clock.now()), ("mug",), view.fallback)
    deadline_ms = micros(clock.now()) // 1000 + 8_000
    terms = Terms(view.epoch, deadline_ms, 0, 5, -1, -1, {"mug": (1000, 1000, -1)})
    asked = await one.gate.reserve(view.run, terms, [Ask("0123456789ab", found[CHANNEL, player], False, memo)])
    assert asked.replies is not None
    assert isinstance(asked.replies[0], Reserved)
