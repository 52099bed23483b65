"""SQL that is slow, lost in the middle of a commit, full, locked or away costs a moment, never a prize or a chance."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from gamekit.campaigns.models import RunKind
from gamekit.draws.calls import Landed
from gamekit.draws.ledger import Entry, Verdict
from gamekit.draws.verify import verify
from gamekit.errors import GamekitError, Unavailable
from gamekit.storage.sql import writing
from gamekit.testing.proxy import Cut
from tests.faults.checks import Witness, check, read
from tests.faults.test_gate_faults import lose_one
from tests.faults.world import App, campaign, recovering

postgres_only = pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
sqlite_only = pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)


@postgres_only
@pytest.mark.parametrize("cut", Cut)
async def test_a_connection_lost_during_commit(fragile: App, cut: Cut) -> None:
    """Committed or not, the call finds out: one outcome per key, no chance or unit used twice, none left behind."""
    await fragile.start(campaign("commit", [{"key": "mug", "stock": 100}], chances={"total": 1}))
    assert fragile.sql_proxy is not None
    await fragile.landed("commit", "first", "first")
    witness = Witness()
    for number in range(8):
        fragile.sql_proxy.cut(b"COMMIT", cut)
        answers = await asyncio.gather(
            *(fragile.landed("commit", f"p{number}-{n}", f"k{number}-{n}") for n in range(5))
        )
        for answer in answers:
            witness.note(answer)
    assert fragile.sql_proxy.fired == 8
    ledger = await check(fragile.sql, "commit", witness)
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 42))


@postgres_only
async def test_a_commit_that_was_lost_is_told_to_another_process(fragile: App, postgres_url: str) -> None:
    """The process that lost the answer dies; the same key asked of another one tells what was committed."""
    await fragile.start(campaign("told", [{"key": "mug", "stock": 5}], chances={"total": 1}))
    assert fragile.sql_proxy is not None
    assert fragile.redis_proxy is not None
    await fragile.landed("told", "first", "first")
    fragile.sql_proxy.cut(b"COMMIT", Cut.AFTER)
    call = asyncio.create_task(fragile.draw("told", "p", "k"))
    while not fragile.sql_proxy.fired:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    call.cancel()
    other = App(fragile.sql_url, fragile.redis_url)
    answer = await other.landed("told", "p", "k")
    assert answer.reservation.outcomes[0].unit == 2
    assert len((await check(other.sql, "told", Witness())).rows) == 2
    await other.close()
    await asyncio.gather(call, return_exceptions=True)


async def test_a_voided_reservation_can_never_land(app: App) -> None:
    """A commit that comes after the void is told so, whether tried once, twice or together with others."""
    await app.start(campaign("void", [{"key": "mug", "stock": 5}], chances={"total": 9}))
    lost = await lose_one(app, "void", "p")
    await app.recovery.resolve([lost])
    view = await app.view("void")
    entry = Entry(lost, view.lock, view.campaign_id, frozenset(), ())
    for _ in range(2):
        assert (await app.ledger.commit([entry], app.clock.now()))[0] == [Verdict.VOIDED]
    answer = await app.landed("void", "p", lost.memo.key)
    assert answer.reservation.nonce != lost.nonce
    assert answer.reservation.outcomes[0].unit == 1
    assert (await app.ledger.commit([entry], app.clock.now()))[0] == [Verdict.KEY_TAKEN]
    await check(app.sql, "void", Witness())


async def test_void_and_commit_race(app: App, other: App) -> None:
    """Exactly one of the two wins, and both sides agree on which."""
    await app.start(campaign("duel", [{"key": "mug", "stock": 100}], chances={"total": 1}))
    view = await app.view("duel")
    for number in range(15):
        lost = await lose_one(app, "duel", f"p{number}")
        entry = Entry(lost, view.lock, view.campaign_id, frozenset(), ())
        (verdicts, _), voided = await asyncio.gather(
            app.ledger.commit([entry], app.clock.now()), other.ledger.void([lost])
        )
        assert voided == [verdicts[0] is Verdict.LANDED]
        assert verdicts[0] in (Verdict.LANDED, Verdict.VOIDED)
        await app.recovery.resolve([lost])
    ledger = await check(app.sql, "duel", Witness())
    assert len(ledger.rows) + len(ledger.voids) == 15


@pytest.mark.parametrize("bad", ["a\x00b", "line\nbreak", "x" * 400, "\ud800"])
async def test_one_bad_key_in_a_batch_of_500_harms_nobody_else(app: App, bad: str) -> None:
    """A key that the database or the pick refuses is refused alone and at once; 499 others are drawn."""
    await app.start(campaign("batch", [{"key": "mug", "stock": 1000}]))
    work = [app.draw("batch", f"p{n}", f"k{n}") for n in range(499)]
    answers = await asyncio.gather(app.draw("batch", "bad", bad), *work, return_exceptions=True)
    assert isinstance(answers[0], GamekitError)
    assert not isinstance(answers[0], Unavailable)
    assert sum(isinstance(answer, Landed) for answer in answers) == 499
    await app.landed("batch", "bad", "good")
    app.clock.offset += timedelta(seconds=3)
    await app.recovery.sweep()
    ledger = await check(app.sql, "batch", Witness())
    assert len(ledger.rows) == 500


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("bad", ["a\x00b", "x" * 400, "\ud800"])
async def test_one_bad_player_in_a_batch_of_500_harms_nobody_else(app: App, bad: str) -> None:
    """The same for a player's id."""
    await app.start(campaign("people", [{"key": "mug", "stock": 1000}]))
    work = [app.draw("people", f"p{n}", f"k{n}") for n in range(499)]
    answers = await asyncio.gather(app.draw("people", bad, "bad"), *work, return_exceptions=True)
    assert isinstance(answers[0], GamekitError)
    assert sum(isinstance(answer, Landed) for answer in answers) == 499


@postgres_only
@pytest.mark.parametrize("rule", ["void OR key <> 'k250'", "key <> 'k250'"])
async def test_a_row_that_the_database_refuses_is_released(app: App, rule: str) -> None:
    """A rule of the database itself refuses one row of 500, or its void too: it alone fails, and all it held comes back."""
    await app.start(campaign("refused", [{"key": "mug", "stock": 500}], chances={"total": 1}))
    async with writing(app.sql) as connection:
        await connection.execute(text("ALTER TABLE draws ADD CONSTRAINT odd CHECK (" + rule + ")"))
    answers = await asyncio.gather(*(app.draw("refused", f"p{n}", f"k{n}") for n in range(500)), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Landed)] == [250]
    answer = await app.landed("refused", "p250", "another")
    ledger = await check(app.sql, "refused", Witness())
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 501))
    assert answer.reservation.outcomes[0].chance == 1
    await app.campaigns.end("refused")
    verify(await app.export("refused"))


@postgres_only
@pytest.mark.usefixtures("impatient")
async def test_a_poisoned_reservation_does_not_stop_the_sweep(app: App, other: App) -> None:
    """One reservation that not even a void can be written for leaves the others of its run, and other runs, swept."""
    for slug in ("poison-a", "poison-b"):
        await app.start(campaign(slug, [{"key": "mug", "stock": 1}], chances={"total": 2}))
    async with writing(app.sql) as connection:
        await connection.execute(text("ALTER TABLE draws ADD CONSTRAINT odd CHECK (key <> 'lost-bad')"))
    await lose_one(app, "poison-a", "bad")
    await lose_one(app, "poison-a", "p")
    await lose_one(app, "poison-b", "p")
    async with recovering(app):
        await asyncio.sleep(2.5)
        answer = await other.landed("poison-b", "p", "again")
        assert answer.reservation.outcomes[0].unit == 1
        assert (await other.landed("poison-a", "p", "again")).reservation.memo.key == "again"


@pytest.mark.usefixtures("impatient")
@postgres_only
async def test_sql_away(fragile: App) -> None:
    """503 with when to come back, nothing used up; afterwards the same keys draw, as if nothing had been."""
    await fragile.start(campaign("away", [{"key": "mug", "stock": 20}], chances={"total": 1}))
    await fragile.landed("away", "known", "known")
    assert fragile.sql_proxy is not None
    fragile.sql_proxy.shut()
    answers = await asyncio.gather(*(fragile.draw("away", f"p{n}", f"k{n}") for n in range(10)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) and answer.retry_after for answer in answers)
    fragile.sql_proxy.open()
    await asyncio.gather(*(fragile.landed("away", f"p{n}", f"k{n}") for n in range(10)))
    ledger = await check(fragile.sql, "away", Witness())
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 12))


@pytest.mark.usefixtures("impatient")
@postgres_only
async def test_sql_goes_away_after_reserve(fragile: App) -> None:
    """What was reserved and could not be committed comes back within seconds of SQL's return."""
    await fragile.start(campaign("later", [{"key": "mug", "stock": 3}], chances={"total": 1}))
    assert fragile.sql_proxy is not None
    await asyncio.gather(*(fragile.engine._resolver.resolve([("messenger", f"p{n}")]) for n in range(3)))
    await fragile.view("later")
    fragile.sql_proxy.cut(b"INSERT INTO draws", Cut.BEFORE, times=100)
    answers = await asyncio.gather(*(fragile.draw("later", f"p{n}", f"k{n}") for n in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    fragile.sql_proxy.open()
    async with recovering(fragile):
        await asyncio.sleep(2.2)
        back = await asyncio.gather(*(fragile.landed("later", f"q{n}", f"q{n}") for n in range(4)))
    assert sorted(one.reservation.outcomes[0].unit or 0 for one in back) == [0, 1, 2, 3]


@postgres_only
async def test_slow_sql_is_only_slow(fragile: App) -> None:
    """A commit that outlives its reservation's deadline is either voided or lands, never both."""
    await fragile.start(campaign("slow", [{"key": "mug", "stock": 50}], chances={"total": 1}))
    assert fragile.sql_proxy is not None
    await fragile.landed("slow", "first", "first")
    fragile.sql_proxy.delay(0.1)
    async with recovering(fragile):
        await asyncio.gather(*(fragile.landed("slow", f"p{n}", f"k{n}") for n in range(10)))
    fragile.sql_proxy.open()
    ledger = await check(fragile.sql, "slow", Witness())
    assert len(ledger.rows) == 11


@sqlite_only
@pytest.mark.usefixtures("impatient")
async def test_a_full_disk(app: App) -> None:
    """SQLite that can grow no more: 503 and nothing used up; with room again, everything is drawn."""
    await app.start(campaign("full", [{"key": "mug", "stock": 2000}], chances={"total": 1}))
    await app.landed("full", "first", "first")
    async with app.sql.connect() as connection:
        pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
    await app.sql.dispose()
    set_limit(app, pages + 4)
    answers = await asyncio.gather(*(app.draw("full", f"p{n}", f"k{n}") for n in range(1000)), return_exceptions=True)
    assert any(isinstance(answer, Unavailable) for answer in answers)
    assert {type(answer) for answer in answers} <= {Unavailable, Landed}
    app.sql.sync_engine.dispose()
    set_limit(app, 1 << 30)
    async with recovering(app):
        await asyncio.sleep(2.2)
        await asyncio.gather(*(app.landed("full", f"p{n}", f"k{n}") for n in range(1000)))
    ledger = await check(app.sql, "full", Witness())
    assert len(ledger.rows) == 1001
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 1002))


def set_limit(app: App, pages: int) -> None:
    """How many pages the database may have, for every connection opened from now on."""

    def limit(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        cursor.close()

    event.listen(app.sql.sync_engine, "connect", limit)


@sqlite_only
async def test_a_database_file_held_by_another_program(app: App) -> None:
    """Draws wait for it, and none is lost."""
    await app.start(campaign("held", [{"key": "mug", "stock": 50}], chances={"total": 1}))
    path = make_url(app.sql_url).database
    assert path is not None
    held = threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        held.set()
        time.sleep(1)
        connection.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    await asyncio.gather(*(app.landed("held", f"p{n}", f"k{n}") for n in range(50)))
    thread.join()
    ledger = await check(app.sql, "held", Witness())
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 51))


@postgres_only
async def test_a_void_that_cannot_name_its_request_verifies(app: App) -> None:
    """What the database refuses stands in the ledger as a void without its key; the exported ledger verifies all the same."""
    await app.start(campaign("nameless", [{"key": f"toy-{number}"} for number in range(20)], chances={"total": 1}))
    async with writing(app.sql) as connection:
        await connection.execute(text("ALTER TABLE draws ADD CONSTRAINT odd CHECK (key NOT LIKE 'bad%')"))
    for number in range(5):
        with pytest.raises(GamekitError):
            await app.draw("nameless", f"p{number}", f"bad{number}")
    await app.landed("nameless", "p0", "good")
    await app.campaigns.end("nameless")
    assert len((await read(app.sql, "nameless", RunKind.LIVE)).voids) == 5
    assert verify(await app.export("nameless")).voids == 5


@postgres_only
@pytest.mark.usefixtures("impatient")
async def test_a_void_that_the_database_always_refuses(app: App) -> None:
    """The call ends all the same, and so does a sweep."""
    await app.start(campaign("never", [{"key": "mug", "stock": 5}]))
    async with writing(app.sql) as connection:
        await connection.execute(text("ALTER TABLE draws ADD CONSTRAINT odd CHECK (prize <> 'mug')"))
    async with asyncio.timeout(8):
        with pytest.raises(GamekitError):
            await app.draw("never", "p", "k")
