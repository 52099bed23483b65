"""Many at once, for one thing, while people change their minds."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from gamekit.campaigns.models import RunKind
from gamekit.draws.calls import Answer, Landed, Refusal, RefusalCode
from gamekit.draws.ledger import Ledger
from gamekit.draws.verify import verify
from gamekit.errors import Conflict, InvalidInput
from tests.faults.checks import Witness, check
from tests.faults.child import draw_and_tell, queue, start
from tests.faults.test_gate_faults import lose_one
from tests.faults.world import App, campaign, running


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
    await app.start(campaign("stock", [{"key": "mug", "stock": 200}]))
    work = [asyncio.create_task((app, other)[n % 2].draw("stock", f"p{n}", f"k{n}")) for n in range(600)]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    for stock in (300, 50, 400, 250, 500):
        with contextlib.suppress(InvalidInput):
            await app.campaigns.apply(campaign("stock", [{"key": "mug", "stock": stock}]))
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
                *(
                    one.draw("mixed", f"{name}{n}", f"{name}-{number}-{n}", kind=tuple(RunKind)[n % 2])
                    for n in range(20)
                )
            )

    work = [asyncio.create_task(keep_drawing(one, name)) for one, name in ((app, "a"), (other, "b"))]
    for stock in range(10_001, 10_016):
        await app.campaigns.apply(campaign("mixed", [{"key": "mug", "stock": stock}]))
    stop.set()
    await asyncio.gather(*work)


class Interrupted(Ledger):
    """A ledger that lets something happen right after it looked for keys."""

    then: Callable[[], Awaitable[object]] | None = None

    async def requests(self, keys: Any) -> Any:
        found = await super().requests(keys)
        then, self.then = self.then, None
        if then is not None:
            await then()
        return found


async def test_a_key_that_lands_while_a_refusal_is_prepared(sql_url: str, redis_url: str, other: App) -> None:
    """The player's last chance went to this very key, in another process, just after the ledger was asked for it."""
    async with running(sql_url, redis_url, ledger_class=Interrupted) as app:
        await app.start(campaign("refusal", [{"key": "mug", "stock": 5}], chances={"total": 1}))
        held = await lose_one(other, "refusal", "p")

        async def lands() -> None:
            await other.recovery.resolve([held])
            await other.landed("refusal", "p", "k")

        assert isinstance(app.ledger, Interrupted)
        app.ledger.then = lands
        answer = await app.landed("refusal", "p", "k")
        assert answer.replayed


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("late", ["pause", "resume", "apply"])
async def test_ended_is_final_for_whoever_came_later(app: App, other: App, late: str) -> None:
    """A change that began before the end and got its turn after it changes nothing: the seed is public by then."""
    document = campaign("final", [{"key": "mug", "stock": 5}])
    await app.start(document)
    if late == "resume":
        await app.campaigns.pause("final")
    lock = (await app.view("final")).lock
    async with app.sql.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
        ending = asyncio.create_task(app.campaigns.end("final"))
        await waiting(other, 1)
        change = campaign("final", [{"key": "mug", "stock": 5, "weight": 11}])
        work = other.campaigns.apply(change) if late == "apply" else getattr(other.campaigns, late)("final")
        changing = asyncio.create_task(work)
        await waiting(other, 2)
    await ending
    with pytest.raises(Conflict):
        await changing
    assert (await app.campaigns.get("final")).phase == "ended"
    assert (await app.campaigns.get("final")).version == 1


async def waiting(app: App, number: int) -> None:
    """Until so many wait for a lock."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with asyncio.timeout(10):
        while True:
            async with app.sql.connect() as connection:
                if (await connection.execute(query)).scalar_one() >= number:
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
async def test_two_wipes_at_once(app: App, other: App) -> None:
    """Both succeed, and there is one new test run."""
    await app.start(campaign("wipes", [{"key": "mug", "stock": 5}]))
    before = await app.view("wipes", RunKind.TEST)
    async with app.sql.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": before.lock})
        work = [asyncio.create_task(one.campaigns.wipe_test("wipes")) for one in (app, other)]
        await waiting(other, 2)
    await asyncio.gather(*work)
    assert (await app.view("wipes", RunKind.TEST)).run != before.run
    assert isinstance(await app.draw("wipes", "p", "k", kind=RunKind.TEST), Landed)


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
async def test_a_change_and_a_mixed_batch_never_wait_in_a_circle(app: App, other: App) -> None:
    """A batch that draws from the test run and the live run takes its locks in the order in which a change does."""
    for number in range(20):
        slug = f"circle-{number}"
        await app.start(campaign(slug, [{"key": "mug", "stock": 5}]))
        live, test = await app.view(slug), await app.view(slug, RunKind.TEST)
        if test.lock < live.lock:
            break
    for kind in RunKind:
        await other.draw(slug, "p", "warm", kind=kind)
    async with app.sql.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": live.lock})
        changing = asyncio.create_task(app.campaigns.apply(campaign(slug, [{"key": "mug", "stock": 6}])))
        await waiting(app, 1)
        drawing = [asyncio.create_task(other.draw(slug, "p", "k", kind=kind)) for kind in RunKind]
        await waiting(app, 2)
        # Longer than PostgreSQL takes to look for circles, so that the one who closes it would be the one to fail.
        await asyncio.sleep(1.2)
    await changing
    assert len(landed(await asyncio.gather(*drawing))) == 2
