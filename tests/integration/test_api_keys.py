"""API keys on both databases: made, found, revoked, and never kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.api import keys as keys_module
from gamekit.api.keys import Keys, Scope
from gamekit.clock import SystemClock
from gamekit.entropy import SystemEntropy
from gamekit.errors import InvalidInput, NotFound
from gamekit.storage.sql import open_database

Process = Callable[[], Keys]


@pytest.fixture
async def sql(sql_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(sql_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def process(sql: AsyncEngine) -> AsyncIterator[Process]:
    """Makes the keys as one more process of the same database holds them."""
    made: list[Keys] = []

    def make() -> Keys:
        made.append(Keys(sql, SystemClock(), SystemEntropy()))
        return made[-1]

    yield make
    for keys in made:
        await keys.close()


def statements(sql: AsyncEngine) -> list[str]:
    """Grows with every statement sent from now on."""
    sent: list[str] = []
    event.listen(sql.sync_engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    return sent


async def test_a_key_is_shown_once_and_kept_as_a_digest(sql: AsyncEngine, process: Process) -> None:
    """The secret has 160 random bits; the table, read whole, does not hold it."""
    keys = process()
    made = await keys.create("crm", [Scope.DRAW, Scope.READ], rate_per_minute=600)
    assert made.secret.startswith("gk_")
    assert len(made.secret) == 35
    async with sql.connect() as connection:
        (row,) = (await connection.execute(text("SELECT * FROM api_keys"))).all()
    assert made.secret not in repr(row)
    assert made.secret[3:] not in repr(row)
    (listed,) = await keys.list()
    assert (listed.id, listed.name, listed.scopes, listed.revoked_at) == (
        made.id,
        "crm",
        (Scope.DRAW, Scope.READ),
        None,
    )
    found = await keys.find(made.secret.encode())
    assert found is not None
    assert (found.id, found.scopes, found.rate_per_minute) == (made.id, frozenset({"draw", "read"}), 600)
    assert found.source == f"api:{made.id}"
    assert (await keys.create("crm", ["draw"])).secret != made.secret


async def test_a_new_key_works_in_every_process_at_once(sql: AsyncEngine, process: Process) -> None:
    """A process that does not know a key looks once more before it says no."""
    here, there = process(), process()
    assert await there.find(b"gk_unknown") is None
    made = await here.create("crm", ["draw"])
    assert await there.find(made.secret.encode()) is not None


async def test_a_revoked_key_ends_here_at_once_and_elsewhere_within_a_second(
    sql: AsyncEngine, process: Process
) -> None:
    """Also under steady requests, which are answered from memory meanwhile; and for ever."""
    here, there = process(), process()
    made = await here.create("crm", ["draw"])
    secret = made.secret.encode()
    assert await here.find(secret)
    assert await there.find(secret)
    await here.revoke(made.id)
    assert await here.find(secret) is None
    loop = asyncio.get_running_loop()
    revoked = loop.time()
    while await there.find(secret) is not None:
        assert loop.time() - revoked < keys_module.MAX_AGE_SECONDS + 0.5
        await asyncio.sleep(0.01)
    await here.revoke(made.id)
    assert (await here.list())[0].revoked_at is not None
    assert await there.find(secret) is None


async def test_after_a_quiet_hour_a_revoked_key_is_not_let_in_once_more(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered counts only for a second, however long nobody asked."""
    here, there = process(), process()
    made = await here.create("crm", ["draw"])
    assert await there.find(made.secret.encode())
    await here.revoke(made.id)
    now = monotonic()
    monkeypatch.setattr(keys_module, "monotonic", lambda: now + 3600)
    assert await there.find(made.secret.encode()) is None


async def test_a_known_key_is_found_without_a_query(sql: AsyncEngine, process: Process) -> None:
    """A thousand requests at once cost at most the one reading that is due, ten thousand with a wrong key a handful."""
    keys = process()
    made = await keys.create("crm", ["draw"])
    assert await keys.find(made.secret.encode())
    sent = statements(sql)
    assert all(await asyncio.gather(*(keys.find(made.secret.encode()) for _ in range(1000))))
    assert len([one for one in sent if "SELECT" in one]) <= 1
    assert not any(await asyncio.gather(*(keys.find(b"gk_wrong") for _ in range(10_000))))
    assert not any([await keys.find(b"no key at all") for _ in range(100)])
    assert len([one for one in sent if "SELECT" in one]) < 5


@pytest.mark.parametrize(
    ("name", "scopes", "rate", "field"),
    [
        ("", ["draw"], 1, "name"),
        ("a\nb", ["draw"], 1, "name"),
        ("x" * 101, ["draw"], 1, "name"),
        ("crm", [], 1, "scopes"),
        ("crm", ["drow"], 1, "scopes"),
        ("crm", ["draw"], 0, "rate_per_minute"),
    ],
)
async def test_a_key_that_cannot_be_is_not_made(
    process: Process, name: str, scopes: list[str], rate: int, field: str
) -> None:
    """The fault is named, and no key is left behind."""
    keys = process()
    with pytest.raises(InvalidInput) as raised:
        await keys.create(name, scopes, rate_per_minute=rate)
    assert [problem.field for problem in raised.value.problems] == [field]
    assert await keys.list() == ()
    with pytest.raises(NotFound):
        await keys.revoke("nothing")
