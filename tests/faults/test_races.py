"""Many at once, for one thing, while people change their minds."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gamekit.campaigns.models import RunKind
from gamekit.draws.engine import Answer, Landed, Refusal, RefusalCode
from gamekit.draws.verify import verify
from gamekit.errors import InvalidInput
from tests.faults.checks import Witness, check
from tests.faults.child import draw_and_tell, queue, start
from tests.faults.world import App, campaign


def landed(answers: list[Answer]) -> list[Landed]:
    return [answer for answer in answers if isinstance(answer, Landed)]


async def test_a_thousand_race_for_the_last_unit(app: App, other: App) -> None:
    """Exactly one of 1,000 players in two processes gets it; the others get the fallback, and it says sold out."""
    await app.start(campaign("last-unit", [{"key": "car", "stock": 1}]))
    answers = await asyncio.gather(*((app, other)[n % 2].draw("last-unit", f"p{n}", f"k{n}") for n in range(1000)))
    found = Counter((one.reservation.outcomes[0].prize, one.reservation.outcomes[0].reason) for one in landed(answers))
    assert found == {("car", None): 1, ("thanks", "sold_out"): 999}
    witness = Witness()
    for answer in landed(answers):
        witness.note(answer)
    await check(app.sql, "last-unit", witness)


async def test_fifty_tasks_of_one_process_with_one_key(app: App) -> None:
    """One outcome, told fifty times, and one of them is not a replay."""
    await app.start(campaign("one-key", [{"key": "mug", "stock": 100}], chances={"total": 3}))
    answers = await asyncio.gather(*(app.draw("one-key", "p", "k", 3) for _ in range(50)))
    assert len(landed(answers)) == 50
    assert len({one.reservation.nonce for one in landed(answers)}) == 1
    assert sum(not one.replayed for one in landed(answers)) == 1
    ledger = await check(app.sql, "one-key", Witness())
    assert [row.unit for row in ledger.rows] == [1, 2, 3]


async def test_several_processes_with_one_key(sql_url: str, redis_url: str, app: App) -> None:
    """Four processes with twelve tasks each: every one is told the same draws."""
    await app.start(campaign("processes", [{"key": "mug", "stock": 100}], chances={"total": 2}))
    said = queue()
    processes = [start(draw_and_tell, sql_url, redis_url, "processes", "p", "k", 12, said) for _ in range(4)]
    told = [await asyncio.to_thread(said.get) for _ in processes]
    for process in processes:
        await asyncio.to_thread(process.join)
    assert len({tuple(ids) for ids in told}) == 1
    assert len(told[0]) == 1
    ledger = await check(app.sql, "processes", Witness())
    assert len(ledger.rows) == 2


async def test_one_key_with_several_bodies_at_once(app: App, other: App) -> None:
    """Whoever comes first decides what the key means; the others are told that it was used."""
    await app.start(campaign("bodies", [{"key": "mug", "stock": 100}]))
    work = [(app, other)[n % 2].draw("bodies", "p", "k", 1 + n % 4) for n in range(40)]
    answers = await asyncio.gather(*work, return_exceptions=True)
    right = [one for one in answers if isinstance(one, Landed)]
    assert len({one.reservation.nonce for one in right}) == 1
    assert len(right) == 10
    assert {type(one).__name__ for one in answers if not isinstance(one, Landed)} == {"KeyReused"}


async def test_a_pause_races_batches_under_way(app: App, other: App) -> None:
    """What was drawn before the pause stands, nothing is drawn after it returned, and nothing is lost."""
    await app.start(campaign("pause", [{"key": "mug", "stock": 1000}], chances={"total": 1}))
    witness = Witness()
    work = [asyncio.create_task((app, other)[n % 2].draw("pause", f"p{n}", f"k{n}")) for n in range(600)]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    await app.campaigns.pause("pause")
    at_pause = len((await check(app.sql, "pause", witness)).rows)
    witness.close((await app.view("pause")).epoch)
    answers = await asyncio.gather(*work)
    assert len((await check(app.sql, "pause", witness)).rows) == at_pause == len(landed(answers))
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {answer.code for answer in refused} <= {RefusalCode.CAMPAIGN_PAUSED}
    await app.campaigns.resume("pause")
    witness.reopen((await app.view("pause")).epoch)
    answers = await asyncio.gather(*(other.draw("pause", f"p{n}", f"k{n}") for n in range(600)))
    assert len(landed(answers)) == 600
    ledger = await check(app.sql, "pause", witness)
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 601))


async def test_stock_edits_race_batches_under_way(app: App, other: App) -> None:
    """While stock goes up and down, no unit is above it, and a stock below what is issued is refused."""

    def document(stock: int) -> object:
        return campaign("stock", [{"key": "mug", "stock": stock}])

    await app.start(campaign("stock", [{"key": "mug", "stock": 200}]))
    work = [asyncio.create_task((app, other)[n % 2].draw("stock", f"p{n}", f"k{n}")) for n in range(600)]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    for stock in (300, 50, 400, 250, 500):
        try:
            await app.campaigns.apply(campaign("stock", [{"key": "mug", "stock": stock}]))
        except InvalidInput as refusal:
            assert refusal.problems[0].field == "prizes[0].stock"
        await asyncio.sleep(0.01)
    answers = await asyncio.gather(*work)
    assert len(landed(answers)) == 600
    await check(app.sql, "stock", Witness())
    await app.campaigns.apply(campaign("stock", [{"key": "mug", "stock": 600}]))
    await asyncio.gather(*(other.draw("stock", f"q{n}", f"q{n}") for n in range(600)))
    ledger = await check(app.sql, "stock", Witness())
    assert sorted(row.unit for row in ledger.rows if row.unit) == list(range(1, 601))
    verify(await app.export("stock"))


async def test_a_test_wipe_races_batches_under_way(app: App, other: App) -> None:
    """Every call gets an answer, what the new run holds is all from after the wipe, and the live run is untouched."""
    await app.start(campaign("wipe", [{"key": "mug", "stock": 100}]))
    live = await app.landed("wipe", "p", "k")
    before = await app.view("wipe", RunKind.TEST)
    draws = [(app, other)[n % 2].draw("wipe", f"p{n}", f"k{n}", kind=RunKind.TEST) for n in range(400)]
    work = [asyncio.create_task(one) for one in draws]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    await app.campaigns.wipe_test("wipe")
    answers = landed(await asyncio.gather(*work))
    assert len(answers) == 400
    after = await app.view("wipe", RunKind.TEST)
    assert after.run != before.run
    ledger = await check(app.sql, "wipe", Witness(), RunKind.TEST)
    assert {row.nonce for row in ledger.rows} == {one.reservation.nonce for one in answers if one.view.run == after.run}
    again = await other.landed("wipe", "p", "k")
    assert again.reservation == live.reservation or again.reservation.nonce == live.reservation.nonce


async def test_two_processes_bump_the_epoch_at_once(app: App, other: App) -> None:
    """Both find the gate empty and re-sync: one epoch is begun, and both draw on in it."""
    await app.start(campaign("bump", [{"key": "mug", "stock": 1000}]))
    await asyncio.gather(app.landed("bump", "p0", "k0"), other.landed("bump", "p1", "k1"))
    before = (await app.view("bump")).epoch
    await app.redis.flushall()
    await asyncio.gather(*((app, other)[n % 2].landed("bump", f"q{n}", f"q{n}") for n in range(50)))
    ledger = await check(app.sql, "bump", Witness())
    assert (await app.view("bump")).epoch == before + 1
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 53))


async def test_both_resync_by_force_at_once(app: App, other: App) -> None:
    """A re-sync from an epoch that has passed changes nothing."""
    await app.start(campaign("force", [{"key": "mug", "stock": 1000}]))
    await app.landed("force", "p", "k")
    view = await app.view("force")
    await asyncio.gather(*(one.recovery.resync(view, above=view.epoch) for one in (app, other) for _ in range(5)))
    assert (await app.view("force")).epoch == view.epoch + 1


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
async def test_an_edit_and_mixed_batches_do_not_deadlock(app: App, other: App) -> None:
    """Batches that draw from the live and the test run at once never make a marketer's change fail."""
    await app.start(campaign("mixed", [{"key": "mug", "stock": 10_000}]))
    stop = asyncio.Event()

    async def keep_drawing(one: App, name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await asyncio.gather(
                *(one.draw("mixed", f"{name}{n}", f"{name}-{number}-{n}", kind=tuple(RunKind)[n % 2]) for n in range(20))
            )

    work = [asyncio.create_task(keep_drawing(one, name)) for one, name in ((app, "a"), (other, "b"))]
    for stock in range(10_001, 10_016):
        await app.campaigns.apply(campaign("mixed", [{"key": "mug", "stock": stock}]))
    stop.set()
    await asyncio.gather(*work)
