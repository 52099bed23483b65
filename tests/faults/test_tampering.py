"""`verify` over an exported ledger: each field of a line, changed by hand, is found at that line."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from gamekit.campaigns.models import RunKind
from gamekit.draws.calls import Landed
from gamekit.draws.export import export_lines
from gamekit.draws.verify import LedgerFault, verify
from tests.faults.test_gate_faults import lose_one
from tests.faults.world import App, campaign

Line = dict[str, Any]
Change = Callable[[Line], None]


def put(**values: Any) -> Change:
    return lambda line: line.update(values)


def less(name: str) -> Change:
    return lambda line: line.update({name: line[name] - 1})


def more(name: str, by: int = 1) -> Change:
    return lambda line: line.update({name: line[name] + by})


def other_id(line: Line) -> None:
    run, epoch, seq, nonce = line["id"].split("-")
    line["id"] = f"{run}-{epoch}-{int(seq) + 1}-{nonce}"


def other_run(line: Line) -> None:
    line["id"] = "another" + line["id"][7:]


CHANGES: dict[str, Change] = {
    "id": other_id,
    "run in id": other_run,
    "no id": lambda line: line.pop("id"),
    "seq": more("seq"),
    "epoch": less("epoch"),
    "index": more("index"),
    "chance of another draw": put(chance=1),
    "granted": put(granted=True),
    "day": less("day"),
    "no day": put(day=None),
    "day_number": put(day_number=1),
    "day_number above the limit": put(day_number=99),
    "odds_version": more("odds_version"),
    "picked": put(picked="thanks"),
    "prize": put(prize="cup"),
    "prize without a reason": put(prize="thanks", unit=None),
    "unknown prize": put(prize="nonsense", picked="nonsense"),
    "unit of another draw": put(unit=1),
    "unit above the stock": put(unit=7),
    "unit 0": put(unit=0),
    "no unit": put(unit=None),
    "reason": put(reason="sold_out"),
    "sold out that was not": put(reason="sold_out", prize="thanks", unit=None),
    "capped that was not": put(reason="capped", prize="thanks", unit=None),
    "not released that was": put(reason="not_released", prize="thanks", unit=None),
    "win limit that was not": put(reason="win_limit", prize="thanks", unit=None),
    "unknown reason": put(reason="bad luck", prize="thanks", unit=None),
    "created before the opening": put(created_at="2001-01-01T00:00:00+00:00"),
    "created after the end": put(created_at="2101-01-01T00:00:00+00:00"),
    "created on another day": put(created_at="2029-05-05T00:00:00+00:00"),
    "no time": put(created_at="yesterday"),
    "void as text": put(void="no"),
}


@pytest.fixture(name="ledger")
async def _ledger(app: App) -> list[Line]:
    """A finished campaign's export: a void, grants, several draws of one player, and a line to change (`MARKED`)."""
    await app.start(
        campaign(
            "export",
            [{"key": "mug", "stock": 6, "per_player": 4}, {"key": "cup", "weight": 0}],
            chances={"total": 4, "per_day": 4},
            limits={"wins_per_player": 4},
            ends_at="2030-01-01T00:00:00+00:00",
        )
    )
    # A moment after the opening, around which clocks may differ.
    app.clock.offset += timedelta(minutes=1)
    await app.landed("export", "p", "k0")
    lost = await lose_one(app, "export", "q")
    await app.recovery.resolve([lost])
    await app.players.grant(
        "export", RunKind.LIVE, channel="messenger", external_id="q", chances=1, reason_key="because"
    )
    for key in ("k1", "k2"):
        await app.landed("export", "p", key)
    await app.landed("export", "q", "k3", 4)
    assert isinstance(await app.draw("export", "q", "k4"), Landed)
    await app.campaigns.end("export")
    lines = await app.export("export")
    report = verify(lines)
    assert (report.draws, report.voids, report.picks_checked, report.unprovable) == (8, 1, 9, 0)
    return [orjson.loads(line) for line in lines]


MARKED = 4
"""The line that is changed, counted from 1: the player's second or third draw, a mug."""


def lines_of(ledger: list[Line]) -> list[bytes]:
    return [orjson.dumps(line) for line in ledger]


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_changed_field_is_found_at_its_line(ledger: list[Line]) -> None:
    """Whatever field of a draw is changed, the fault names that line, or the next where only that one can tell."""
    assert (ledger[MARKED - 1]["prize"], ledger[MARKED - 1]["void"]) == ("mug", False)
    missed = []
    for name, change in CHANGES.items():
        changed = copy.deepcopy(ledger)
        change(changed[MARKED - 1])
        try:
            verify(lines_of(changed))
        except LedgerFault as fault:
            if fault.line != MARKED:
                missed.append(f"{name}: {fault}")
        else:
            missed.append(f"{name}: nothing was found")
    assert not missed, "\n".join(missed)


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_changed_name_of_a_draw_is_found_by_its_pick(app: App) -> None:
    """Another source, key, index or player picks another prize, once the seed is known: of 20 such changes most are found."""
    prizes = [{"key": f"toy-{number}"} for number in range(20)]
    await app.start(campaign("named", prizes))
    await app.landed("named", "p", "k")
    await app.campaigns.end("named")
    ledger = [orjson.loads(line) for line in await app.export("named")]
    for name in ("source", "key", "player"):
        found = 0
        for number in range(20):
            changed = copy.deepcopy(ledger)
            changed[1][name] += str(number)
            try:
                verify(lines_of(changed))
            except LedgerFault as fault:
                found += fault.line == 2
        assert found >= 12, f"of 20 changes of {name}, {found} were found"


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_lines_that_are_moved_or_doubled_are_found(ledger: list[Line]) -> None:
    """A line twice, two lines changed round, a line that is no draw, and one that is no JSON."""
    head, *draws = lines_of(ledger)
    with pytest.raises(LedgerFault, match="line 3"):
        verify([head, draws[0], draws[0], *draws[1:]])
    with pytest.raises(LedgerFault, match="line 3"):
        verify([head, draws[1], draws[0], *draws[2:]])
    with pytest.raises(LedgerFault, match="line 2"):
        verify([head, b"{}", *draws])
    with pytest.raises(LedgerFault, match="line 4"):
        verify([head, *draws[:2], b"{", *draws[2:]])
    with pytest.raises(LedgerFault, match="line 1"):
        verify([])


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_changed_header_is_found(ledger: list[Line]) -> None:
    """Another seed, commitment, weight, limit, stock level or grant no longer fits the draws."""
    changes: dict[str, Change] = {
        "seed": put(seed="00" * 32),
        "commitment": lambda head: head["versions"][0].update(commitment="0" * 64),
        "weights": lambda head: head["versions"][0]["prizes"][0].update(weight=11),
        "odds hash": lambda head: head["versions"][0].update(odds_hash="0" * 64),
        "stock": lambda head: head.update(stock=[{**level, "stock": 2} for level in head["stock"]]),
        "total": lambda head: head["versions"][0]["chances"].update(total=3),
        "per day": lambda head: head["versions"][0]["chances"].update(per_day=3),
        "cap": lambda head: head["versions"][0]["prizes"][0].update(per_player=2),
        "wins": lambda head: head["versions"][0]["limits"].update(wins_per_player=2),
        "grants": put(grants={}),
        "run": put(run="another"),
        "no versions": put(versions=[]),
        "opening": lambda head: head["versions"][0].update(starts_at="2029-01-01T00:00:00+00:00"),
    }
    missed = []
    for name, change in changes.items():
        changed = copy.deepcopy(ledger)
        change(changed[0])
        try:
            verify(lines_of(changed))
        except LedgerFault:
            continue
        missed.append(name)
    assert not missed


async def test_an_export_while_people_draw_and_change_things(app: App) -> None:
    """What is granted, published and drawn after the export began does not make it look wrong."""
    await app.start(campaign("growing", [{"key": "mug", "stock": 50}], chances={"total": 1}))
    await asyncio.gather(*(app.landed("growing", f"p{n}", f"k{n}") for n in range(5)))
    lines = export_lines(app.sql, app.book, "growing", RunKind.LIVE)
    head = await anext(lines)
    await app.players.grant(
        "growing", RunKind.LIVE, channel="messenger", external_id="p1", chances=2, reason_key="because"
    )
    await app.landed("growing", "p1", "granted", 2)
    verify([head, *b"".join([chunk async for chunk in lines]).splitlines()])


async def test_an_export_across_a_publication(app: App) -> None:
    """Nothing of an odds version that the header does not name is in the export."""
    await app.start(campaign("across", [{"key": "mug", "stock": 50}]))
    lines = export_lines(app.sql, app.book, "across", RunKind.LIVE)
    head = await anext(lines)
    await app.campaigns.apply(campaign("across", [{"key": "mug", "stock": 50, "weight": 11}]))
    await app.landed("across", "p", "k")
    verify([head, *b"".join([chunk async for chunk in lines]).splitlines()])
