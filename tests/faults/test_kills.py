"""kill -9 of real processes, at each step of a draw and at random moments."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

import pytest

from gamekit.draws.calls import Landed
from gamekit.testing.servers import ValkeyServer
from tests.faults.checks import Witness, check
from tests.faults.child import Point, draw_and_die, start
from tests.faults.kills import kill_drawers, kill_relays
from tests.faults.world import App, campaign, recovering


@pytest.mark.parametrize("point", Point)
async def test_a_process_killed_at_a_step(point: Point, sql_url: str, redis_url: str, app: App, other: App) -> None:
    """Chance and units come back within seconds or belong to the draw; the key has one outcome; nothing is drawn twice."""
    await app.start(campaign("step", [{"key": "mug", "stock": 2}], chances={"total": 2}))
    await app.landed("step", "other", "warm")
    process = start(draw_and_die, sql_url, redis_url, point, "step", "p", "k", 1)
    await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL
    ledger = await check(app.sql, "step", Witness())
    committed = [row for row in ledger.rows if row.key == "k"]
    assert len(committed) == (0 if point is Point.AFTER_RESERVE else 1)
    began = time.monotonic()
    async with recovering(app):
        answer = await other.draw("step", "p", "k")
        assert isinstance(answer, Landed)
        if committed:
            assert answer.reservation.nonce == committed[0].nonce
        assert answer.reservation.outcomes[0].unit == 2
        assert isinstance(await other.draw("step", "p", "k2"), Landed)
        assert not isinstance(await other.draw("step", "p", "k3"), Landed)
    assert time.monotonic() - began < 6
    assert len((await check(app.sql, "step", Witness())).rows) == 3


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
async def test_what_a_dead_process_held_comes_back_to_others(sql_url: str, redis_url: str, app: App) -> None:
    """The last unit, held by a process that died before it committed, goes to somebody else within seconds."""
    await app.start(campaign("held", [{"key": "mug", "stock": 3}], chances={"total": 3}))
    process = start(draw_and_die, sql_url, redis_url, Point.AFTER_RESERVE, "held", "p", "k", 3)
    await asyncio.to_thread(process.join)
    sold_out = await app.landed("held", "q", "q")
    async with recovering(app):
        await asyncio.sleep(2.2)
        back = await app.landed("held", "q", "q2", 2)
        mine = await app.landed("held", "p", "k2", 3)
    units = [one.unit for answer in (sold_out, back, mine) for one in answer.reservation.outcomes]
    assert sorted(unit for unit in units if unit) == [1, 2, 3]
    assert sum(unit is None for unit in units) == 3


async def test_drawing_processes_are_killed_at_random(sql_url: str, own_valkey: ValkeyServer) -> None:
    """What any of them told stays true; all chances and units come back; the ledger verifies."""
    own_valkey.command("FLUSHALL")
    counts = Counter[str]()
    await kill_drawers(sql_url, own_valkey.url, "random", 20261122, rounds=2, counts=counts)
    assert counts["verified"]


async def test_relays_are_killed_between_send_and_record(sql_url: str) -> None:
    """Each message arrives once or ends as unknown with a reason, each tag arrives, and the counts reconcile."""
    counts = Counter[str]()
    await kill_relays(sql_url, 20261122, messages=24, counts=counts)
    assert counts["kill: relay"]
    assert counts["delivered"]
