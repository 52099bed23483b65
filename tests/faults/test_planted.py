"""The checks bite: with a mistake planted in the gate's scripts, or in the ledger's rows, they fail."""

from __future__ import annotations

import asyncio
from hashlib import sha1
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from gamekit.draws.calls import Landed
from gamekit.draws.gate import Gate
from gamekit.draws.gate.gate import _Script
from gamekit.draws.verify import LedgerFault, verify
from gamekit.errors import Unavailable
from gamekit.storage.redis import RedisClient
from gamekit.storage.sql import writing
from tests.faults.checks import Violation, Witness, check
from tests.faults.test_gate_faults import lose_one
from tests.faults.world import App, campaign, running


class Misled(Gate):
    """A gate with one line of one script changed."""

    script: ClassVar[str]
    right: ClassVar[str]
    wrong: ClassVar[str]

    def __init__(self, redis: RedisClient) -> None:
        super().__init__(redis)
        script: _Script = getattr(self, f"_{self.script}")
        assert script._source.count(self.right) >= 1, f"{self.right!r} is not in {self.script}.lua"
        script._source = script._source.replace(self.right, self.wrong, 1)
        script._digest = sha1(script._source.encode(), usedforsecurity=False).hexdigest()


class NoLimit(Misled):
    script, right, wrong = "reserve", "if left < count then", "if left < 0 then"


class NoCap(Misled):
    script, right, wrong = "reserve", "(player.caps[prize] or 0) >= cap[i]", "false"


class NoWinLimit(Misled):
    script, right, wrong = "reserve", "player.wins >= win_limit", "false"


class NoStock(Misled):
    script, right, wrong = "reserve", "if not taken and unit[1] < open[i] then", "if not taken then"


class NotIncremented(Misled):
    script, right, wrong = "reserve", "    unit[1] = taken\n", ""


class ReleasesTwice(Misled):
    script, right, wrong = "release", "table.insert(units[prize][2], unit)", "units[prize][1] = unit - 2"


class ForgetsKeys(Misled):
    script, right, wrong = "reserve", "local known = known_key(player.seen, keyhash)", "local known = nil"


class SoldOutTooEarly(Misled):
    script, right, wrong = (
        "reserve",
        "if not taken and unit[1] < open[i] then",
        "if not taken and unit[1] < open[i] - 1 then",
    )


LIMITS: dict[type[Gate], dict[str, Any]] = {
    # One limit at a time, or another one hides it.
    NoLimit: {"prizes": [{"key": "mug", "stock": 3}], "chances": {"total": 4}},
    NoStock: {"prizes": [{"key": "mug", "stock": 3}]},
    SoldOutTooEarly: {"prizes": [{"key": "mug", "stock": 3}]},
    NoCap: {"prizes": [{"key": "mug", "stock": 9, "per_player": 2}]},
    NoWinLimit: {"prizes": [{"key": "mug", "stock": 9}], "limits": {"wins_per_player": 2}},
}


async def exercise(app: App, limits: dict[str, Any]) -> Witness:
    """Enough draws to run into every limit: 8 requests of one player at once, then others."""
    witness = Witness()
    await app.start(campaign("planted", **limits))
    first = [app.draw("planted", "p", f"k{n}") for n in range(8)]
    then = [app.draw("planted", f"q{n}", f"q{n}") for n in range(4)]
    for work in (first, then):
        for answer in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(answer, Landed):
                witness.note(answer)
            else:
                assert not isinstance(answer, BaseException) or isinstance(answer, Unavailable), answer
    return witness


async def holds(app: App, witness: Witness) -> None:
    """What the machine asks of a run, in short."""
    await check(app.sql, "planted", witness)
    await app.campaigns.end("planted")
    verify(await app.export("planted"))


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("gate", LIMITS)
async def test_without_the_mistake_everything_holds(app: App, gate: type[Gate]) -> None:
    """The same exercise passes with the scripts as they are."""
    await holds(app, await exercise(app, LIMITS[gate]))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("gate", LIMITS)
async def test_a_limit_that_the_gate_ignores_is_found(sql_url: str, redis_url: str, gate: type[Gate]) -> None:
    """Limits that no unique index proves are found broken by the checks."""
    async with running(sql_url, redis_url, gate_class=gate) as app:
        witness = await exercise(app, LIMITS[gate])
        with pytest.raises((Violation, LedgerFault)):
            await holds(app, witness)


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("gate", [NotIncremented, ForgetsKeys])
async def test_what_an_index_proves_survives_a_mistaken_gate(sql_url: str, redis_url: str, gate: type[Gate]) -> None:
    """A gate that hands out a unit twice, or forgets keys, is stopped by the ledger: calls fail, invariants hold."""
    async with running(sql_url, redis_url, gate_class=gate) as app:
        await app.start(campaign("index", [{"key": "mug", "stock": 9}]))
        work = [app.draw("index", f"p{n}", f"k{n}") for n in range(4)]
        answers = await asyncio.gather(
            *work, *(app.draw("index", "p0", "k0") for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(answer, Landed | Unavailable) for answer in answers), answers
        ledger = await check(app.sql, "index", Witness())
        assert len({row.unit for row in ledger.rows}) == len(ledger.rows)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_unit_that_is_given_back_wrongly_is_healed(sql_url: str, redis_url: str) -> None:
    """A release that rewinds the units makes the gate offer what is taken; the conflict in the ledger brings a re-sync."""
    async with running(sql_url, redis_url, gate_class=ReleasesTwice) as app:
        await app.start(campaign("rewound", [{"key": "mug", "stock": 4}]))
        await app.landed("rewound", "p", "k")
        lost = await lose_one(app, "rewound", "q")
        await app.recovery.resolve([lost])
        epoch = (await app.view("rewound")).epoch
        for number in range(3):
            await app.landed("rewound", f"r{number}", f"r{number}")
        assert (await app.view("rewound")).epoch > epoch
        ledger = await check(app.sql, "rewound", Witness())
        assert sorted(row.unit for row in ledger.rows) == [1, 2, 3, 4]


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "mistake",
    [
        "UPDATE draws SET unit = 9 WHERE unit = 1",
        "UPDATE draws SET prize = 'thanks', unit = NULL WHERE unit = 1",
        "UPDATE draws SET picked = 'thanks' WHERE unit = 1",
        "UPDATE draws SET draw_index = 1 WHERE unit = 1",
        "UPDATE draws SET version = 1 WHERE version = 2",
        "UPDATE draws SET granted = true WHERE unit = 1",
        "DELETE FROM draws WHERE unit = 1",
        "UPDATE draws SET nonce = 'another' WHERE unit = 2",
    ],
)
async def test_a_row_changed_behind_the_back_is_found(app: App, mistake: str) -> None:
    """The checks read the ledger itself, so a wrong row in it is a violation."""
    await app.start(campaign("planted", [{"key": "mug", "stock": 5}], chances={"total": 9}))
    witness = Witness()
    witness.note(await app.landed("planted", "p", "k1"))
    witness.note(await app.landed("planted", "p", "k2"))
    await app.campaigns.apply(campaign("planted", [{"key": "mug", "stock": 5, "weight": 11}], chances={"total": 9}))
    witness.note(await app.landed("planted", "q", "k3"))
    await check(app.sql, "planted", witness)
    async with writing(app.sql) as connection:
        await connection.execute(text(mistake))
    with pytest.raises(Violation):
        await check(app.sql, "planted", witness)
