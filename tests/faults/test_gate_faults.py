"""The gate is a cache: empty, old, wrong or full, it never costs a prize and never decides for good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

import pytest
from redis import Redis

from gamekit.campaigns.models import RunKind
from gamekit.draws.calls import Landed, Refusal, RefusalCode, alias
from gamekit.draws.ledger import Entry
from gamekit.draws.reservations import Reservation
from gamekit.draws.verify import verify
from gamekit.errors import Unavailable
from gamekit.odds.pick import pick
from gamekit.testing.proxy import Cut
from gamekit.testing.servers import ValkeyServer
from tests.faults.checks import Witness, check
from tests.faults.world import SOURCE, App, campaign, recovering, running


def keys_of(run: str) -> tuple[str, str, str]:
    return f"gamekit:{{{run}}}:run", f"gamekit:{{{run}}}:players", f"gamekit:{{{run}}}:pending"


def copy_of(client: Redis, run: str) -> dict[str, bytes | None]:
    return {name: client.dump(name) for name in keys_of(run)}


def put_back(client: Redis, copy: dict[str, bytes | None]) -> None:
    for name, value in copy.items():
        client.delete(name)
        if value is not None:
            client.restore(name, 0, value)


async def grant(app: App, slug: str, player: str, chances: int) -> None:
    await app.players.grant(
        slug, RunKind.LIVE, channel="messenger", external_id=player, chances=chances, reason_key=f"{player}-{chances}"
    )


async def test_a_replay_of_the_last_chance_against_a_wiped_gate(app: App) -> None:
    """The first answer comes back, not a refusal, though the player has no chance left and the gate knows nobody."""
    await app.start(campaign("replay", [{"key": "mug", "stock": 5}], chances={"total": 1}))
    first = await app.landed("replay", "p", "k")
    await app.redis.flushall()
    again = await app.landed("replay", "p", "k")
    assert again.replayed
    assert again.reservation.nonce == first.reservation.nonce
    assert again.chances_left == 0
    refused = await app.draw("replay", "p", "another")
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.NO_CHANCES_LEFT


async def test_a_replay_from_another_process_after_a_wipe(app: App, other: App) -> None:
    """Any process gives the first answer, with its code."""
    document = campaign("codes", [{"key": "latte", "kind": "coupon", "codes": "pool"}], chances={"total": 2})
    await app.start(document, codes={"latte": 5})
    first = await app.landed("codes", "p", "k", 2)
    assert first.codes == ("codes-latte-000000", "codes-latte-000001")
    await app.redis.flushall()
    again = await other.landed("codes", "p", "k", 2)
    assert (again.replayed, again.codes, again.reservation.nonce) == (True, first.codes, first.reservation.nonce)


async def test_no_refusal_is_told_from_an_older_gate(app: App, other: App) -> None:
    """A grant counts at once, also where the gate is as it was before it, or knows nothing."""
    await app.start(campaign("grants", [{"key": "mug"}], chances={"total": 1}))
    await app.landed("grants", "p", "k1")
    copy = copy_of(Redis.from_url(app.redis_url), (await app.view("grants")).run)
    assert isinstance(await app.draw("grants", "p", "k2"), Refusal)
    await grant(app, "grants", "p", 1)
    await app.landed("grants", "p", "k2")
    assert isinstance(await app.draw("grants", "p", "k3"), Refusal)
    await grant(app, "grants", "p", 2)
    with Redis.from_url(app.redis_url) as client:
        put_back(client, copy)
    await other.landed("grants", "p", "k3")
    await app.redis.flushall()
    await app.landed("grants", "p", "k4")
    assert isinstance(await other.draw("grants", "p", "k5"), Refusal)
    await check(app.sql, "grants", Witness())


async def test_an_older_copy_in_the_middle_of_a_campaign(app: App, other: App) -> None:
    """The same server holds an older state, and nothing tells: no unit, chance or key is used twice, none is lost."""
    await app.start(campaign("older", [{"key": "mug", "stock": 60}], chances={"total": 2}))
    run = (await app.view("older")).run
    witness = Witness()

    async def draw(one: App, numbers: range) -> None:
        for answer in await asyncio.gather(*(one.landed("older", f"p{n}", f"k{n}") for n in numbers)):
            witness.note(answer)

    await draw(app, range(10))
    with Redis.from_url(app.redis_url) as client:
        copy = copy_of(client, run)
        await draw(other, range(10, 40))
        put_back(client, copy)
    await draw(app, range(40))
    await draw(other, range(40, 55))
    await check(app.sql, "older", witness)
    answers = await asyncio.gather(*(app.landed("older", f"q{n}", f"q{n}") for n in range(40)))
    assert sum(answer.reservation.outcomes[0].prize == "mug" for answer in answers) == 5
    await app.campaigns.end("older")
    verify(await app.export("older"))


async def test_an_older_copy_does_not_lift_a_cap(app: App, other: App) -> None:
    """No index proves a cap: a gate that went back, and would give a free chance to a capped player, is found out by seq."""
    await app.start(campaign("cap", [{"key": "toy", "per_player": 1}], fallback_weight=10, chances={"total": 5}))
    await app.landed("cap", "someone", "first")
    run = (await app.view("cap")).run
    keys = await keys_by_pick(app, "cap", "p")
    with Redis.from_url(app.redis_url) as client:
        copy = copy_of(client, run)
        # A chance that nobody will ever use, then a win; then the gate knows of neither.
        await lose_one(other, "cap", "p", keys["thanks"][0])
        won = await app.landed("cap", "p", keys["toy"][0])
        assert won.reservation.outcomes[0].prize == "toy"
        put_back(client, copy)
    await app.landed("cap", "p", keys["toy"][1])
    await app.landed("cap", "p", keys["toy"][2])
    await check(app.sql, "cap", Witness())


async def keys_by_pick(app: App, slug: str, player: str) -> dict[str, list[str]]:
    """Keys of a player's requests by the prize that each will pick."""
    view = await app.view(slug)
    found, _ = await app.engine._resolver.resolve([("messenger", player)])
    name = alias(view, found["messenger", player])
    keys: dict[str, list[str]] = {}
    for number in range(100):
        key = f"key-{number}"
        picked = pick(
            view.seed, view.table, run=view.run, version=view.version, player=name, source=SOURCE, key=key, index=0
        )
        keys.setdefault(picked, []).append(key)
    return keys


async def test_an_older_data_file_after_a_crash(fragile: App, own_valkey: ValkeyServer) -> None:
    """A server that comes back with an older file has another run id, and is not believed."""
    await fragile.start(campaign("file", [{"key": "mug", "stock": 30}], chances={"total": 1}))
    await fragile.landed("file", "p0", "k0")
    file = own_valkey.copy_data()
    await asyncio.gather(*(fragile.landed("file", f"p{n}", f"k{n}") for n in range(1, 20)))
    own_valkey.replace_data(file)
    answers = await asyncio.gather(*(fragile.landed("file", f"p{n}", f"k{n}") for n in range(40)))
    assert sum(answer.replayed for answer in answers) == 20
    ledger = await check(fragile.sql, "file", Witness())
    assert sorted(row.unit for row in ledger.rows if row.unit) == list(range(1, 31))


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_killed_gate_is_a_moment_and_no_more(fragile: App, own_valkey: ValkeyServer) -> None:
    """Calls under way while the gate is killed and restarted are all answered, each once."""
    await fragile.start(campaign("killed", [{"key": "mug", "stock": 100}]))
    work = [asyncio.create_task(fragile.landed("killed", f"p{n}", f"k{n}")) for n in range(300)]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(own_valkey.restart)
    await asyncio.gather(*work)
    ledger = await check(fragile.sql, "killed", Witness())
    assert len(ledger.rows) == 300
    assert sorted(row.unit for row in ledger.rows if row.unit) == list(range(1, 101))


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (0, "epoch", "nonsense"),
        (0, "epoch", "0"),
        (0, "epoch", "999"),
        (0, "seq", "0"),
        (0, "seq", "nonsense"),
        (0, "server", "nonsense"),
        (0, "u:mug", "nonsense"),
        (1, "player", "nonsense"),
        (1, "player", ""),
        (2, "nonsense", "nonsense"),
    ],
)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_what_is_written_into_the_gate_by_hand_is_healed(app: App, place: int, name: str, value: str) -> None:
    """Nonsense in any field of the gate costs a re-sync: the same player and others draw on, and sweeps work."""
    await app.start(campaign("hand", [{"key": "mug", "stock": 10}], chances={"total": 5}))
    first = await app.landed("hand", "p", "k")
    field = str(first.reservation.player_id) if name == "player" else name
    await app.redis.hset(keys_of(first.view.run)[place], field, value)
    await app.landed("hand", "p", "k2")
    await app.landed("hand", "q", "k3")
    await app.recovery.sweep()
    ledger = await check(app.sql, "hand", Witness())
    assert [row.unit for row in ledger.rows] == [1, 2, 3]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_key_of_another_type_is_healed(app: App, place: int) -> None:
    """Somebody wrote a plain string where the gate keeps a hash."""
    await app.start(campaign("type", [{"key": "mug", "stock": 10}]))
    first = await app.landed("type", "p", "k")
    await app.redis.set(keys_of(first.view.run)[place], "nonsense")
    await app.landed("type", "p", "k2")
    await app.recovery.sweep()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_key_lost_alone_is_healed(app: App, place: int) -> None:
    """One of the gate's three keys is gone, as when memory is taken back: draws go on without a number used twice."""
    await app.start(campaign("lost", [{"key": "mug", "stock": 10}], chances={"total": 3}))
    first = await app.landed("lost", "p", "k")
    await app.redis.delete(keys_of(first.view.run)[place])
    again = await app.landed("lost", "p", "k")
    assert again.reservation.nonce == first.reservation.nonce
    await asyncio.gather(*(app.landed("lost", "p", f"n{n}") for n in range(2)))
    assert isinstance(await app.draw("lost", "p", "n9"), Refusal)
    await check(app.sql, "lost", Witness())


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("impatient")
async def test_a_gate_out_of_memory(fragile: App, own_valkey: ValkeyServer) -> None:
    """Draws are told 503 and use nothing up; what is in the ledger is still told; with memory back, all is as before."""
    await fragile.start(campaign("memory", [{"key": "mug", "stock": 3}], chances={"total": 1}))
    first = await fragile.landed("memory", "p0", "k0")
    own_valkey.command("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(Unavailable):
            await fragile.draw("memory", "p1", "k1")
    finally:
        own_valkey.command("CONFIG", "SET", "maxmemory", 0)
    await fragile.landed("memory", "p1", "k1")
    await fragile.landed("memory", "p2", "k2")
    again = await fragile.landed("memory", "p0", "k0")
    assert again.reservation.nonce == first.reservation.nonce
    ledger = await check(fragile.sql, "memory", Witness())
    assert sorted(row.unit for row in ledger.rows) == [1, 2, 3]


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("impatient")
async def test_a_gate_away(fragile: App) -> None:
    """503, nothing used up, and back by itself."""
    await fragile.start(campaign("away", [{"key": "mug", "stock": 2}], chances={"total": 1}))
    await fragile.landed("away", "p", "k")
    assert fragile.redis_proxy is not None
    fragile.redis_proxy.shut()
    with pytest.raises(Unavailable) as told:
        await fragile.draw("away", "q", "k2")
    assert told.value.retry_after
    fragile.redis_proxy.open()
    answer = await fragile.landed("away", "q", "k2")
    assert answer.reservation.outcomes[0].unit == 2


@pytest.mark.parametrize("cut", Cut)
async def test_a_connection_lost_while_the_gate_decides(fragile: App, cut: Cut) -> None:
    """Whether it had reserved is not known; the call is answered once all the same, and nothing stays behind."""
    await fragile.start(campaign("cut", [{"key": "mug", "stock": 20}], chances={"total": 1}))
    assert fragile.redis_proxy is not None
    for number in range(10):
        fragile.redis_proxy.cut(b"EVALSHA", cut)
        await fragile.landed("cut", f"p{number}", f"k{number}")
    fragile.redis_proxy.open()
    await asyncio.sleep(0.05)
    await fragile.landed("cut", "last", "last")
    ledger = await check(fragile.sql, "cut", Witness())
    assert sorted(row.unit for row in ledger.rows) == list(range(1, 12))


async def test_a_unit_freed_twice_comes_back_once(app: App) -> None:
    """Releasing the same reservation again does nothing; neither does releasing it in a later epoch."""
    await app.start(campaign("twice", [{"key": "mug", "stock": 2}], chances={"total": 1}))
    first = await app.landed("twice", "p", "k")
    lost = await lose_one(app, "twice", "q")
    assert await app.gate.release(lost.run, lost.epoch, [lost.nonce]) == 1
    assert await app.gate.release(lost.run, lost.epoch, [lost.nonce]) == 0
    assert await app.gate.release(lost.run, lost.epoch, [lost.nonce, first.reservation.nonce]) == 0
    answers = await asyncio.gather(*(app.landed("twice", f"r{n}", f"r{n}") for n in range(5)))
    assert sorted(one.reservation.outcomes[0].unit or 0 for one in answers) == [0, 0, 0, 0, 2]
    await app.recovery.resync(first.view, above=first.view.epoch)
    assert await app.gate.release(lost.run, lost.epoch, [lost.nonce]) == 0


async def lose_one(app: App, slug: str, player: str, key: str | None = None) -> Reservation:
    """A reservation that nobody commits: the call's process loses SQL, and then forgets about it."""
    seen: list[Entry] = []
    commit = app.ledger.commit

    async def lose(entries: Sequence[Entry], now: datetime) -> NoReturn:
        seen.extend(entries)
        raise OSError("lost")

    app.ledger.commit = lose  # type: ignore[method-assign]
    call = asyncio.create_task(app.draw(slug, player, key or f"lost-{player}"))
    while not seen:
        await asyncio.sleep(0.001)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    # A retry may be under way; only then is it sure that nobody will commit it.
    while app.engine._waiting or not app.engine._line.idle:
        await asyncio.sleep(0.001)
    app.ledger.commit = commit  # type: ignore[method-assign]
    return seen[0].reservation


@pytest.mark.parametrize("sql_url", ["sqlite"], indirect=True)
async def test_a_sweep_gives_back_what_nobody_decides(app: App) -> None:
    """Within seconds, by itself."""
    await app.start(campaign("sweep", [{"key": "mug", "stock": 1}], chances={"total": 1}))
    await lose_one(app, "sweep", "p")
    began = time.monotonic()
    async with recovering(app):
        answer = await app.landed("sweep", "p", "again")
    assert time.monotonic() - began < 5
    assert answer.reservation.outcomes[0].unit == 1


@pytest.mark.parametrize("sql_url", ["postgres"], indirect=True)
async def test_a_plain_run_of_draws_on_a_cluster(sql_url: str, redis_cluster_url: str) -> None:
    """A run lives in one slot; several campaigns live in several; a flush heals."""
    async with running(sql_url, redis_cluster_url) as app:
        for number in range(4):
            await app.start(campaign(f"cluster-{number}", [{"key": "mug", "stock": 20}], chances={"total": 2}))
        for _ in range(2):
            await asyncio.gather(*(app.landed(f"cluster-{n % 4}", f"p{n}", f"k{n}", 1 + n % 2) for n in range(80)))
            for node in redis_cluster_url.removeprefix("redis+cluster://").split(","):
                with Redis.from_url(f"redis://{node}") as client:
                    client.flushall()
        for number in range(4):
            answers = [await app.draw(f"cluster-{number}", f"last{n}", f"last{n}") for n in range(3)]
            assert all(isinstance(answer, Landed) for answer in answers)
            ledger = await check(app.sql, f"cluster-{number}", Witness())
            assert len({row.unit for row in ledger.rows if row.unit}) == 20
        await app.recovery.sweep()
