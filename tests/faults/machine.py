"""A machine that draws, breaks things and changes its mind, while I1 to I7 are read off the ledger after every step."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar, TypeVar

from asyncpg import InterfaceError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.draws import engine as engine_module
from gamekit.draws.calls import Answer, Landed, RefusalCode
from gamekit.draws.verify import verify
from gamekit.errors import InvalidInput, KeyReused, Unavailable
from gamekit.storage.sql import open_database
from gamekit.testing.proxy import Cut
from gamekit.testing.servers import ValkeyServer
from tests.faults.checks import Witness, chances_of, check, must, read
from tests.faults.world import SOURCE, App, ShiftedClock, breakable, campaign

T = TypeVar("T")
LIVE, TEST = RunKind.LIVE, RunKind.TEST
BACKWARD, FORWARD = -30, 30
_numbers = count(1)

apps = st.integers(0, 1)
players = st.integers(0, 3)
keys = st.integers(0, 7)
sizes = st.sampled_from([1, 1, 1, 2, 3, 10])
kinds = st.sampled_from([LIVE, LIVE, LIVE, TEST])


@dataclass(slots=True)
class Arena:
    """The servers of a run of the machine, and what happened on them."""

    sql_url: str
    valkey: ValkeyServer
    counts: Counter[str] = field(default_factory=Counter)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """How long the engine tries before it says 503: nobody wants to wait for what is known to be away."""
    before = engine_module.PATIENCE_SECONDS
    engine_module.PATIENCE_SECONDS = seconds
    try:
        yield
    finally:
        engine_module.PATIENCE_SECONDS = before


class DrawMachine(RuleBasedStateMachine):
    """Two processes over one database and one gate, and everything that may happen to them."""

    arena: ClassVar[Arena]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.clock = ShiftedClock()
        self.observer = open_database(self.arena.sql_url, pool_size=2)
        # Whoever manages the campaign sits in a third process, whose connections nobody cuts.
        self.office = App(self.arena.sql_url, self.arena.valkey.url, clock=self.clock)
        self.apps = [self.new_app(), self.new_app()]
        self.retired: list[App] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.witness = {LIVE: Witness(), TEST: Witness()}
        self.slug = ""
        self.document: CampaignDocument
        self.paused = False
        self.copies: list[dict[bytes, bytes]] = []
        self.files: list[bytes] = []
        self.grants = count()
        self.turn = 0
        self.codes = 0

    def new_app(self) -> App:
        options = self.stack.enter_context(breakable(self.arena.sql_url, self.arena.valkey))
        return App(clock=self.clock, **options)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def note(self, what: str, number: int = 1) -> None:
        self.arena.counts[what] += number

    # What players do ---------------------------------------------------------------------------------------------

    @initialize(
        total=st.sampled_from([None, 3, 5]),
        per_day=st.sampled_from([None, 2]),
        wins=st.sampled_from([None, 2]),
        cap=st.sampled_from([None, 1, 2]),
        stock=st.integers(1, 4),
    )
    def begin(self, total: int | None, per_day: int | None, wins: int | None, cap: int | None, stock: int) -> None:
        """A campaign with a pool, a daily release, and a prize without stock."""
        self.slug = f"machine-{time.time_ns():x}-{next(_numbers)}"
        self.codes = stock
        limit = {} if cap is None else {"per_player": cap}
        self.document = campaign(
            self.slug,
            [
                {"key": "latte", "kind": "coupon", "codes": "pool", "weight": 40, **limit},
                {"key": "mug", "stock": stock + 2, "weight": 30, "release": {"kind": "per_day", "units": 2}},
                {"key": "toy", "weight": 10, **limit},
            ],
            fallback_weight=20,
            chances={name: value for name, value in (("total", total), ("per_day", per_day)) if value is not None},
            limits={} if wins is None else {"wins_per_player": wins},
            ends_at=datetime.now(UTC) + timedelta(days=400),
        )
        self.run(self.office.start(self.document, codes={"latte": stock}))

    async def ask(self, app: App, kind: RunKind, player: int, key: int, size: int, *, calm: bool) -> None:
        """One request, and what the answer must be. `calm`: nothing is broken, so 503 would be wrong."""
        body = f"{player}/{size}"
        name = f"{player}-{key}"
        witness = self.witness[kind]
        try:
            answer = await app.draw(self.slug, f"player-{player}", name, size, kind=kind, body=body)
        except KeyReused:
            said = witness.told.get((SOURCE, name))
            rows = [row for row in (await read(self.observer, self.slug, kind)).rows if row.key == name]
            must(rows and rows[0].body_hash != body, "I2", f"{name} was called reused, and is {said}")
            return
        except Unavailable:
            self.note("unavailable")
            must(not calm, "I5", "503 while everything works")
            return
        if witness is self.witness[kind]:
            # Otherwise the test run was wiped in the meantime, with all that was drawn in it.
            await self.judge(answer, witness, kind, player, size, body)

    async def judge(self, answer: Answer, witness: Witness, kind: RunKind, player: int, size: int, body: str) -> None:
        if isinstance(answer, Landed):
            self.note("replays" if answer.replayed else "draws", size)
            must(answer.reservation.memo.body_hash == body, "I2", "an answer to another body")
            if answer.view.run == (await read(self.observer, self.slug, kind)).run:
                witness.note(answer)
            return
        self.note(f"refused: {answer.code}")
        if answer.code is RefusalCode.NO_CHANCES_LEFT:
            left = await self.chances(kind, player)
            must(left is not None and left < size, "I3", f"player {player} was refused {size} with {left} left")

    async def chances(self, kind: RunKind, player: int) -> int | None:
        return await chances_of(self.observer, self.slug, kind, f"player-{player}", self.clock.now())

    def begin_tasks(self, work: list[Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
        started = [asyncio.get_running_loop().create_task(one) for one in work]
        self.tasks |= set(started)
        return started

    def harvest(self) -> None:
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            if not task.cancelled():
                task.result()

    @rule(app=apps, kind=kinds, player=players, key=keys, size=sizes)
    def draw(self, app: int, kind: RunKind, player: int, key: int, size: int) -> None:
        self.run(self.together([(app, kind, player, key, size)]))

    @rule(player=players, key=keys, size=sizes, tasks=st.integers(2, 12), kind=kinds)
    def draw_one_key_at_once(self, player: int, key: int, size: int, tasks: int, kind: RunKind) -> None:
        """Several callers in both processes with one key."""
        self.run(self.together([(place % 2, kind, player, key, size) for place in range(tasks)]))

    @rule(wanted=st.lists(st.tuples(apps, kinds, players, keys, sizes), min_size=2, max_size=20))
    def draw_at_once(self, wanted: list[tuple[int, RunKind, int, int, int]]) -> None:
        """Many requests race for chances and units."""
        self.run(self.together(wanted))

    async def together(self, wanted: list[tuple[int, RunKind, int, int, int]]) -> None:
        calm = self.calm
        await self.attend(self.begin_tasks([self.ask(self.apps[one[0]], *one[1:], calm=calm) for one in wanted]))

    async def attend(self, tasks: list[asyncio.Task[None]]) -> None:
        """Waits for these. Where they wait for what a dead process reserved, its deadline passes and a sweep comes by."""
        left = set(tasks)
        while left:
            _, left = await asyncio.wait(left, timeout=0.5)
            if left:
                self.note("waited for a sweep")
                self.clock.offset += timedelta(seconds=2)
                await self.sweep(self.office)
        await asyncio.gather(*tasks)
        self.tasks -= set(tasks)

    @property
    def calm(self) -> bool:
        """Nothing is set to break, and nobody holds reservations that a player would have to wait for."""
        return not self.tasks

    @rule(
        wanted=st.lists(st.tuples(kinds, players, keys, sizes), min_size=1, max_size=8),
        app=apps,
        pause=st.integers(0, 30),
    )
    def stall(self, wanted: list[tuple[RunKind, int, int, int]], app: int, pause: int) -> None:
        """A process stops in the middle of its work, and goes on whenever the loop turns again."""
        self.note("fault: stalled")
        self.run(self.half_way([self.ask(self.apps[app], *one, calm=False) for one in wanted], pause / 1000))

    def somebody(self) -> tuple[int, RunKind, int, int, int]:
        """Who plays between the steps: everybody in turn, with new keys and old ones."""
        self.turn += 1
        return self.turn % 2, TEST if self.turn % 7 == 0 else LIVE, self.turn % 5 % 4, self.turn % 23, 1 + self.turn % 3

    async def half_way(self, work: list[Coroutine[Any, Any, None]], seconds: float) -> None:
        self.begin_tasks(work)
        await asyncio.sleep(seconds)

    # What breaks -------------------------------------------------------------------------------------------------

    @rule(
        wanted=st.lists(st.tuples(kinds, players, keys, sizes), min_size=1, max_size=8),
        app=apps,
        pause=st.integers(0, 30),
    )
    def die(self, wanted: list[tuple[RunKind, int, int, int]], app: int, pause: int) -> None:
        """A process loses all its connections for good in the middle of its work; a new one takes its place."""
        self.note("fault: died")
        old = self.apps[app]
        self.run(self.half_way([self.ask(old, *one, calm=False) for one in wanted], pause / 1000))
        self.shut(old)
        self.retired.append(old)
        self.apps[app] = self.new_app()

    def shut(self, app: App) -> None:
        for proxy in (app.redis_proxy, app.sql_proxy):
            if proxy is not None:
                proxy.shut()

    @rule(app=apps)
    def restart(self, app: int) -> None:
        """A new process, with an empty memory, beside the old one's connections."""
        self.retired.append(self.apps[app])
        self.apps[app] = self.new_app()

    @rule(
        app=apps,
        cut=st.sampled_from(Cut),
        times=st.integers(1, 3),
        what=st.sampled_from([b"COMMIT", b"INSERT", b"lock"]),
    )
    @precondition(lambda self: self.apps[0].sql_proxy is not None)
    def break_sql(self, app: int, cut: Cut, times: int, what: bytes) -> None:
        """The connection is lost in the middle of a statement, done or not."""
        self.note(f"fault: sql lost {cut} {what.decode()}")
        proxy = self.apps[app].sql_proxy
        assert proxy is not None
        proxy.cut(what, cut, times=times)
        self.shaken(self.apps[app])
        proxy.open()

    @rule(app=apps, cut=st.sampled_from(Cut), times=st.integers(1, 3))
    def break_redis(self, app: int, cut: Cut, times: int) -> None:
        self.note(f"fault: redis lost {cut}")
        proxy = self.apps[app].redis_proxy
        assert proxy is not None
        proxy.cut(b"EVALSHA", cut, times=times)
        self.shaken(self.apps[app])
        proxy.open()

    def shaken(self, app: App) -> None:
        """Draws while something is about to break: they may wait, and in the end they answer."""
        place = self.apps.index(app)
        wanted = [(place, LIVE, player, 20 + next(_numbers) % 3, 1) for player in range(4)]
        tasks_before = set(self.tasks)
        self.run(self.together_shaken(wanted))
        must(self.tasks <= tasks_before, "I5", "a call never ended")

    async def together_shaken(self, wanted: list[tuple[int, RunKind, int, int, int]]) -> None:
        await self.attend(self.begin_tasks([self.ask(self.apps[one[0]], *one[1:], calm=False) for one in wanted]))

    @rule(away=st.sampled_from(["sql", "redis"]))
    def outage(self, away: str) -> None:
        """A server is away for all: nothing is decided, everything is answered."""
        proxies = [app.sql_proxy if away == "sql" else app.redis_proxy for app in self.apps]
        if None in proxies:
            return
        self.note(f"fault: {away} away")
        for proxy in proxies:
            assert proxy is not None
            proxy.shut()
        with patience(0.05):
            self.shaken(self.apps[0])
        for proxy in proxies:
            assert proxy is not None
            proxy.open()

    @rule(seconds=st.sampled_from([0.02, 0.2]))
    @precondition(lambda self: self.arena.sql_url.startswith("sqlite"))
    def lock_sqlite(self, seconds: float) -> None:
        """Another program holds the database file for a while."""
        self.note("fault: sqlite locked")
        path = make_url(self.arena.sql_url).database
        assert path is not None
        held = threading.Event()

        def hold() -> None:
            connection = sqlite3.connect(path, isolation_level=None, timeout=5)
            connection.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(seconds)
            connection.execute("ROLLBACK")
            connection.close()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        self.shaken(self.apps[0])
        thread.join()

    @rule()
    def flush_redis(self) -> None:
        self.note("fault: flushed")
        self.arena.valkey.command("FLUSHALL")

    @rule()
    def kill_redis(self) -> None:
        self.note("fault: redis killed")
        self.arena.valkey.restart()

    @rule()
    def copy_redis(self) -> None:
        with self.arena.valkey.client() as client:
            names = [key for key in client.keys("*") if isinstance(key, bytes)]
            self.copies.append({name: client.dump(name) for name in names})

    @rule(place=st.integers(0, 5))
    @precondition(lambda self: self.copies)
    def restore_redis(self, place: int) -> None:
        """The very server holds an older state again, and nothing tells."""
        self.note("fault: older state restored")
        copy = self.copies[place % len(self.copies)]
        with self.arena.valkey.client() as client:
            client.flushall()
            for name, value in copy.items():
                client.restore(name, 0, value, replace=True)

    @rule()
    def copy_file(self) -> None:
        self.files.append(self.arena.valkey.copy_data())

    @rule(place=st.integers(0, 5))
    @precondition(lambda self: self.files)
    def replace_file(self, place: int) -> None:
        """The server dies, and another starts with an older data file."""
        self.note("fault: older file")
        self.arena.valkey.replace_data(self.files[place % len(self.files)])

    @rule(hours=st.integers(BACKWARD, FORWARD))
    def jump(self, hours: int) -> None:
        self.note("fault: clock jumped")
        if hours < 0 and self.document.chances.per_day is not None:
            # A player's day never goes back; a draw whose time lies in the day before would rightly be found by `verify`.
            return
        # Never to before the opening: a machine that far off is not ready.
        self.clock.offset = max(self.clock.offset + timedelta(hours=hours), timedelta(seconds=5))

    @rule(app=apps)
    def recover(self, app: int) -> None:
        """Deadlines pass, and a sweep resolves what nobody decided."""
        self.clock.offset += timedelta(seconds=2)
        self.run(self.sweep(self.apps[app]))

    async def sweep(self, app: App) -> None:
        # A sweep over a connection that was lost meanwhile is simply made again.
        with contextlib.suppress(OSError, RedisError, SQLAlchemyError, InterfaceError):
            self.note("swept", await app.recovery.sweep())
            await app.recovery.advance_marks()

    # What people change ------------------------------------------------------------------------------------------

    @rule(weight=st.integers(1, 60), total=st.sampled_from([None, 2, 6]))
    def publish(self, weight: int, total: int | None) -> None:
        """A new odds version, with other chances."""
        data = self.document.to_json()
        data["prizes"][0]["weight"] = weight
        data["chances"] = {**data.get("chances", {}), "total": total}
        if total is None:
            data["chances"].pop("total")
        self.change(data)

    @rule(more=st.integers(-3, 3))
    def edit_stock(self, more: int) -> None:
        data = self.document.to_json()
        data["prizes"][1]["stock"] = max(0, data["prizes"][1]["stock"] + more)
        self.change(data)

    def change(self, data: dict[str, Any]) -> None:
        document = parse_document(data)
        # Below what is issued it is refused, and nothing changes.
        with contextlib.suppress(InvalidInput):
            self.run(self.office.campaigns.apply(document))
            self.document = document
            self.note("changes")

    @rule(more=st.integers(1, 2))
    def import_codes(self, more: int) -> None:
        self.run(self.office.add_codes(self.slug, "latte", self.codes, more))
        self.codes += more

    @rule()
    @precondition(lambda self: not self.paused)
    def pause(self) -> None:
        self.run(self.office.campaigns.pause(self.slug))
        self.witness[LIVE].close(self.run(self.office.view(self.slug)).epoch)
        self.paused = True

    @rule()
    @precondition(lambda self: self.paused)
    def resume(self) -> None:
        self.run(self.office.campaigns.resume(self.slug))
        self.witness[LIVE].reopen(self.run(self.office.view(self.slug)).epoch)
        self.paused = False

    @rule(player=players, chances=st.integers(1, 3), kind=kinds)
    def grant(self, player: int, chances: int, kind: RunKind) -> None:
        reason = f"reason-{next(self.grants)}"
        self.run(
            self.office.players.grant(
                self.slug, kind, channel="messenger", external_id=f"player-{player}", chances=chances, reason_key=reason
            )
        )

    @rule()
    def wipe_test(self) -> None:
        self.note("wiped")
        self.witness[TEST] = Witness()
        self.run(self.office.campaigns.wipe_test(self.slug))
        self.witness[TEST] = Witness()

    # What must hold ----------------------------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: self.slug)
    def everything_holds(self) -> None:
        # Whatever happened, people go on playing.
        self.run(self.together([self.somebody() for _ in range(4)]))
        self.harvest()
        for kind in (LIVE, TEST):
            self.run(check(self.observer, self.slug, self.witness[kind], kind))
            self.note("checks")

    def teardown(self) -> None:
        try:
            if self.slug:
                self.run(self.finish())
        finally:
            with patience(0.0):
                self.run(self.close())
            self.stack.close()

    async def finish(self) -> None:
        """All faults end: everybody gets exactly what is due, the run ends, and its ledger verifies."""
        with patience(0.0):
            await asyncio.gather(*self.tasks)
        self.harvest()
        self.clock.offset += timedelta(seconds=3)
        app = self.office
        await app.recovery.sweep()
        if self.paused:
            await app.campaigns.resume(self.slug)
            self.witness[LIVE].reopen((await app.view(self.slug)).epoch)
        await self.use_up_chances(app)
        await self.use_up_units(app)
        await app.campaigns.end(self.slug)
        self.witness[LIVE].close((await app.view(self.slug)).epoch)
        late = await self.apps[1].draw(self.slug, "late", "late")
        must(not isinstance(late, Landed) and late.code is RefusalCode.CAMPAIGN_ENDED, "I7", f"after the end: {late}")
        await check(self.observer, self.slug, self.witness[LIVE])
        report = verify(await app.export(self.slug))
        self.note("verified", report.draws)
        self.note("voids", report.voids)
        self.note("not provable", report.unprovable)

    async def use_up_chances(self, app: App) -> None:
        for player in range(4):
            left = await self.chances(LIVE, player)
            for key in range(min(left or 0, 12)):
                answer = await app.draw(self.slug, f"player-{player}", f"{player}-last-{key}", body=f"{player}/1")
                must(isinstance(answer, Landed), "I5", f"player {player} has {left} chances and was told {answer}")

    async def use_up_units(self, app: App) -> None:
        answers = await asyncio.gather(*(app.draw(self.slug, f"new-{number}", f"new-{number}") for number in range(60)))
        reasons = {
            outcome.reason: 1 for one in answers if isinstance(one, Landed) for outcome in one.reservation.outcomes
        }
        lost = Counter(
            picked
            for one in answers
            if isinstance(one, Landed)
            for picked, outcome in zip(one.reservation.memo.picks, one.reservation.outcomes, strict=True)
            if outcome.reason in ("sold_out", "not_released")
        )
        must(len(answers) == 60 and reasons, "I5", "nothing was drawn at the end")
        view = await app.view(self.slug)
        ledger = await check(self.observer, self.slug, self.witness[LIVE])
        for prize in lost:
            units = {row.unit for row in ledger.rows if row.prize == prize}
            open_units = view.released(prize, self.clock.now())
            missing = set(range(1, open_units + 1)) - units
            must(not missing, "I5", f"units {missing} of {prize} never came back")

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for app in (*self.retired, *self.apps, self.office):
            await app.close()
        await self.observer.dispose()
