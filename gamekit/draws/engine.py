"""The engine: takes calls in micro-batches through the gate and the ledger until each has one answer.

It owns the order of steps and what to do when a step fails. Only a committed draw is ever an answer; a refusal is told
only after the ledger was asked; nothing uncertain is released before it is void.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import monotonic

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gamekit.campaigns.views import Phase, RunView
from gamekit.clock import Clock, micros
from gamekit.draws import metrics
from gamekit.draws.batcher import Batcher
from gamekit.draws.book import Book, Name
from gamekit.draws.calls import (
    REFUSED_IN,
    Answer,
    Call,
    Held,
    Landed,
    Refusal,
    RefusalCode,
    alias,
    codes_of,
    pooled,
    pooled_units,
)
from gamekit.draws.chances import chances_left, next_chance_at
from gamekit.draws.gate import Ask, Decided, Gate, PlayerTruth, Refused, Reply, Reserved, Shared, Terms, Unknown
from gamekit.draws.ledger import Entry, Ledger, Owed, UncertainCommit, Unit, Verdict
from gamekit.draws.recovery import Recovery
from gamekit.draws.reservations import Memo, Reservation
from gamekit.entropy import Entropy
from gamekit.errors import CampaignNotFound, InvalidInput, KeyReused, Problem, Unavailable
from gamekit.ids import nonces
from gamekit.odds.pick import is_fit, pick
from gamekit.players.resolver import Account, Resolver
from gamekit.storage.redis import RedisError

log = structlog.get_logger(__name__)

BATCH = 512
IN_FLIGHT = 2
PATIENCE_SECONDS = 5.0
"""How long a call may be tried before it is told 503."""
ATTEMPT_SECONDS = 4.0
"""How long a batch may take before its calls are tried again: SQL or Redis may be hanging."""
PAUSES = (0.0, 0.0, 0.002, 0.01, 0.03, 0.1, 0.2, 0.4)
"""Seconds before a call's next try, by how often it was tried."""


_LOOSE = (Verdict.REJECTED, Verdict.KEY_TAKEN, Verdict.VOIDED)
"""Verdicts that leave a reservation which still holds what it reserved."""


class Engine:
    """Draws, for every campaign of one database, in this process."""

    def __init__(
        self,
        *,
        book: Book,
        gate: Gate,
        ledger: Ledger,
        recovery: Recovery,
        resolver: Resolver,
        clock: Clock,
        entropy: Entropy,
        owed: Callable[[RunView, Reservation, Account], tuple[Owed, ...]],
        reservation_seconds: int,
    ) -> None:
        self._book = book
        self._gate = gate
        self._ledger = ledger
        self._recovery = recovery
        self._resolver = resolver
        self._clock = clock
        self._entropy = entropy
        self._owed = owed
        self._reservation_seconds = reservation_seconds
        self.delivered: Callable[[], None] = lambda: None
        """Called after deliveries were written, so that a relay in this process need not wait for its next look."""
        self._line: Batcher[Call] = Batcher(self._process, size=BATCH, in_flight=IN_FLIGHT)
        self._confirmed: Batcher[Reservation] = Batcher(self._confirm, size=4 * BATCH, in_flight=1)
        self._asked: dict[tuple[Name, str | Account, str], Call] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._closing = False
        self._latest: dict[str, tuple[int, int]] = {}
        """Per run, the epoch and the highest number in it that this process knows to be taken."""

    async def draw(
        self, name: Name, account: Account, *, source: str | None, key: str, count: int, body_hash: str
    ) -> Answer:
        """Decides one request of `count` draws, all or none, exactly once for its (run, source, key).

        Raises `CampaignNotFound`, `KeyReused`, or `Unavailable` (nothing is used up then, or the same key finds it).
        """
        if self._closing:
            raise Unavailable
        _check(account, source or "web", key)
        asked = (name, source or account, key)
        while (leader := self._asked.get(asked)) is not None and not leader.future.done():
            # The same request is on its way in this process: one of the two goes, both tell what it found.
            await asyncio.wait([leader.future])
            if leader.future.cancelled() or leader.future.exception() is not None:
                continue
            answer = leader.future.result()
            if isinstance(answer, Landed):
                if leader.body_hash != body_hash:
                    raise KeyReused
                return answer._replace(replayed=True)
            if leader.body_hash == body_hash:
                return answer
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        call = Call(name, account, source, key, count, body_hash, future, monotonic())
        self._asked[asked] = call
        self._line.submit(call)
        try:
            return await future
        finally:
            if self._asked.get(asked) is call:
                del self._asked[asked]

    async def close(self) -> None:
        """Takes no new calls, and returns when every call under way has its answer."""
        self._closing = True
        while self._waiting or not self._line.idle or not self._confirmed.idle:
            if self._waiting:
                await asyncio.wait(self._waiting)
            await self._line.drained()
            await self._confirmed.drained()

    # One batch -------------------------------------------------------------------------------------------------

    async def _process(self, calls: list[Call]) -> None:
        metrics.BATCH_SIZE.observe(len(calls))
        for call in calls:
            call.queued = False
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._attempt(calls)
        except (OSError, RedisError, UncertainCommit, SQLAlchemyError) as error:
            log.warning("draw_batch_postponed", error=type(error).__name__, calls=len(calls))
            self._again(calls)
        except Exception as error:
            log.warning("draw_batch_postponed", calls=len(calls), exc_info=error)
            self._again(calls)

    async def _attempt(self, calls: list[Call]) -> None:
        groups: dict[Name, list[Call]] = defaultdict(list)
        for call in calls:
            groups[call.name].append(call)
        await self._resolve(calls)
        reserved: list[Held] = []
        for name, group in groups.items():
            view = await self._open(name, group)
            waiting = [call for call in group if not call.future.done()]
            if view is not None and waiting:
                reserved += await self._reserve(view, waiting)
        if reserved:
            await self._commit(reserved)

    async def _resolve(self, calls: list[Call]) -> None:
        unknown = []
        for call in calls:
            if not call.player_id:
                known = self._resolver.known(call.account)
                if known is None:
                    unknown.append(call)
                else:
                    call.player_id = known
        if unknown:
            found, added = await self._resolver.resolve([call.account for call in unknown])
            for call in unknown:
                call.player_id = found[call.account]
                call.new = call.account in added

    async def _open(self, name: Name, group: list[Call]) -> RunView | None:
        """The run to draw from, or None after every call of the group was answered."""
        try:
            view = await self._book.view(name)
            phase = view.phase(self._clock.now())
            if phase is not Phase.LIVE:
                # What is remembered may be old: a refusal is told from what holds now.
                view = await self._book.reload(name)
                phase = view.phase(self._clock.now())
        except CampaignNotFound as error:
            for call in group:
                call.fail(error)
            return None
        for call in group:
            call.player = alias(view, call.player_id)
        if phase is Phase.LIVE and view.version:
            return view
        code = REFUSED_IN.get(phase, RefusalCode.CAMPAIGN_NOT_STARTED)
        for call in await self._replay(view, group):
            call.answer(Refusal(code))
        return None

    async def _reserve(self, view: RunView, calls: list[Call]) -> list[Held]:
        now = self._clock.now()
        asks = self._asks(view, calls, now)
        taken = await self._taken(view)
        try:
            replies = await self._gate.reserve(view.run, self._terms(view, asks, now), asks)
        except BaseException:
            # Lost or given up: the gate may have done it all the same, and the next try then finds the reservation.
            for call in calls:
                call.own = True
            raise
        if replies.replies is None:
            await self._recovery.resync(view, above=replies.epoch)
            self._again(calls)
            return []
        numbers = [reply.reservation.seq for reply in replies.replies if isinstance(reply, Reserved)]
        if numbers and min(numbers) <= taken:
            # It counts from where it was before: an older state was put back, and no index proves caps and wins.
            log.warning("gate_went_back", run=view.run, epoch=view.epoch, taken=taken)
            await self._recovery.resync(view, above=view.epoch)
            self._again(calls)
            return []
        if numbers:
            self._latest[view.run] = max(self._latest[view.run], (view.epoch, max(numbers)))
        reserved: list[Held] = []
        others: defaultdict[type[Reply], list[Call]] = defaultdict(list)
        waiting: dict[int, int] = {}
        for call, reply in zip(calls, replies.replies, strict=True):
            if isinstance(reply, Reserved):
                call.own = True
                reserved.append(Held(call, view, reply.reservation, reply.chances_left))
            elif isinstance(reply, Shared):
                reserved.append(Held(call, view, reply.reservation, None))
            else:
                others[type(reply)].append(call)
                if isinstance(reply, Refused):
                    waiting[id(call)] = reply.waiting
        if others:
            await self._ask_the_ledger(view, others, waiting, now)
        return reserved

    async def _taken(self, view: RunView) -> int:
        """A number of this epoch below which the gate will not count, if it never went back."""
        epoch, number = self._latest.get(view.run, (0, 0))
        if epoch < view.epoch:
            epoch, number = view.epoch, await self._ledger.last_number(view.run, view.epoch)
            self._latest[view.run] = max(self._latest.get(view.run, (0, 0)), (epoch, number))
        return number if epoch == view.epoch else 0

    def _asks(self, view: RunView, calls: list[Call], now: datetime) -> list[Ask]:
        now_us = micros(now)
        asks = []
        for call, nonce in zip(calls, nonces(self._entropy, len(calls)), strict=True):
            source, key = call.request
            picks = tuple(
                [
                    pick(
                        view.seed,
                        view.table,
                        run=view.run,
                        version=view.version,
                        player=call.player,
                        source=source,
                        key=key,
                        index=index,
                    )
                    for index in range(call.count)
                ]
            )
            memo = Memo(source, key, call.body_hash, view.version, now_us, picks, view.fallback)
            asks.append(Ask(nonce, call.player_id, call.new, memo))
        return asks

    def _terms(self, view: RunView, asks: Sequence[Ask], now: datetime) -> Terms:
        limits: dict[str, tuple[int, int, int]] = {}
        for prize in {picked for ask in asks for picked in ask.memo.picks}:
            if prize != view.fallback:
                stock, cap = view.stock[prize], view.rules[prize].per_player
                open_units = -1 if stock is None else view.released(prize, now)
                limits[prize] = (open_units, _or_none(stock), _or_none(cap))
        document = view.document
        return Terms(
            epoch=view.epoch,
            deadline_ms=micros(now) // 1000 + self._reservation_seconds * 1000,
            day=view.day(now) if document.chances.per_day is not None else 0,
            total=_or_none(document.chances.total),
            per_day=_or_none(document.chances.per_day),
            win_limit=_or_none(document.limits.wins_per_player),
            prizes=limits,
        )

    # Where the gate cannot decide alone --------------------------------------------------------------------------

    async def _replay(self, view: RunView, calls: Iterable[Call]) -> list[Call]:
        """Answers what the ledger has decided already; returns the other calls."""
        asked = list(calls)
        keys = [(view.run, *call.request) for call in asked]
        found = await self._ledger.requests(sorted(set(keys)))
        rest, hits = [], []
        for call, key in zip(asked, keys, strict=True):
            (hits.append((call, found[key])) if key in found else rest.append(call))
        if hits:
            codes = await self._codes(view, [reservation for _, reservation in hits])
            left = await self._left(view, {call.player_id for call, _ in hits})
            for call, reservation in hits:
                self._tell(call, view, reservation, codes, left.get(call.player_id))
        return rest

    async def _ask_the_ledger(
        self, view: RunView, others: dict[type[Reply], list[Call]], waiting: dict[int, int], now: datetime
    ) -> None:
        """Where the gate could not decide alone: unknown players, refusals, and keys it says were decided."""
        asked = [call for calls in others.values() for call in calls]
        ids = sorted({call.player_id for call in (*others.get(Unknown, ()), *others.get(Refused, ()))})
        truths: dict[int, PlayerTruth] = {}
        if ids:
            # Before the keys are looked up: else a key that lands in between could be what a refusal is told for.
            truths = await self._ledger.truths(view.run, ids, day=view.day(now), fallbacks=view.fallbacks)
        open_ones = set(map(id, await self._replay(view, asked)))
        unknown = [call for call in others.get(Unknown, ()) if id(call) in open_ones]
        refused = [call for call in others.get(Refused, ()) if id(call) in open_ones]
        if unknown:
            await self._gate.learn(view.run, view.epoch, {call.player_id: truths[call.player_id] for call in unknown})
            self._again(unknown)
        if refused:
            await self._second_opinion(view, refused, truths, waiting, now)
        lost = [call for call in others.get(Decided, ()) if id(call) in open_ones]
        if lost:
            await self._recovery.resync(view, above=view.epoch)
            self._again(lost)

    async def _second_opinion(
        self,
        view: RunView,
        refused: list[Call],
        truths: dict[int, PlayerTruth],
        waiting: dict[int, int],
        now: datetime,
    ) -> None:
        """The gate says that there are too few chances: the ledger has the last word.

        Where the ledger disagrees, the chances may be held by reservations that are undecided: those are waited for.
        Else the gate is told of grants it may have missed, and if that does not help, it is not to be trusted.
        """
        if (await self._book.reload((view.slug, view.kind))).epoch != view.epoch:
            # Perhaps the campaign was paused or changed: what is refused must be refused by what holds now.
            self._again(refused)
            return
        retry, doubts = [], []
        for call in refused:
            truth = truths[call.player_id]
            left = chances_left(view, truth)
            if left is not None and left < call.count:
                call.answer(Refusal(RefusalCode.NO_CHANCES_LEFT, next_chance_at(view, truth, now)))
                continue
            retry.append(call)
            if not waiting[id(call)]:
                doubts.append(call)
        if any(call.doubted for call in doubts):
            await self._recovery.resync(view, above=view.epoch)
        elif doubts:
            await self._gate.learn(view.run, view.epoch, {call.player_id: truths[call.player_id] for call in doubts})
        for call in doubts:
            call.doubted = not call.doubted
        self._again(retry)

    # Making it true ----------------------------------------------------------------------------------------------

    async def _commit(self, held: list[Held]) -> None:
        first: dict[str, Held] = {}
        for item in held:
            # Two calls of one request share a reservation: one commits it, the other asks again.
            if first.setdefault(item.reservation.nonce, item) is not item:
                self._again([item.call])
        held = list(first.values())
        entries = [
            Entry(
                item.reservation,
                item.view.lock,
                item.view.campaign_id,
                pooled(item.view),
                self._owed(item.view, item.reservation, item.call.account),
            )
            for item in held
        ]
        verdicts, codes = await self._ledger.commit(entries, self._clock.now())
        failed: list[tuple[Held, Verdict]] = []
        shared: list[Held] = []
        for item, verdict in zip(held, verdicts, strict=True):
            if verdict is not Verdict.LANDED:
                failed.append((item, verdict))
                continue
            self._confirmed.submit(item.reservation)
            if item.call.own:
                self._tell(item.call, item.view, item.reservation, codes, item.left)
            else:
                shared.append(item)
        for item in shared:
            left = await self._left(item.view, [item.call.player_id])
            self._tell(item.call, item.view, item.reservation, codes, left[item.call.player_id])
        if any(entry.owed for entry in entries):
            self.delivered()
        if failed:
            await self._mend(failed)

    async def _mend(self, failed: list[tuple[Held, Verdict]]) -> None:
        """After reservations did not land: gives back what they held, and puts their calls in the line again."""
        for item, verdict in failed:
            if verdict is Verdict.REJECTED:
                item.call.fail(InvalidInput("The database refused this request's data; nothing was used up."))
        loose = [item.reservation for item, verdict in failed if verdict in _LOOSE]
        if loose:
            await self._recovery.resolve(loose)
        for item, verdict in failed:
            call, view = item.call, item.view
            match verdict:
                case Verdict.KEY_TAKEN:
                    call.own = False
                    self._again(await self._replay(view, [call]))
                case Verdict.STALE:
                    await self._book.reload((view.slug, view.kind), unlike=view)
                    self._again([call])
                case Verdict.MISTRUSTED:
                    await self._recovery.resync(view, above=view.epoch)
                    self._again([call])
                case _:
                    self._again([call])

    def _tell(
        self,
        call: Call,
        view: RunView,
        reservation: Reservation,
        codes: dict[Unit, str],
        left: int | None,
    ) -> None:
        if reservation.memo.body_hash != call.body_hash:
            call.fail(KeyReused())
            return
        mine = codes_of(view, reservation, codes)
        call.answer(Landed(view, reservation, call.player, mine, not call.own, left))

    async def _codes(self, view: RunView, reservations: Iterable[Reservation]) -> dict[Unit, str]:
        units = pooled_units(view, reservations)
        return await self._ledger.codes(units) if units else {}

    async def _left(self, view: RunView, player_ids: Iterable[int]) -> dict[int, int | None]:
        day = view.day(self._clock.now())
        truths = await self._ledger.truths(view.run, sorted(player_ids), day=day, fallbacks=view.fallbacks)
        return {player_id: chances_left(view, truth) for player_id, truth in truths.items()}

    async def _confirm(self, landed: list[Reservation]) -> None:
        groups: dict[tuple[str, int], list[str]] = defaultdict(list)
        for reservation in landed:
            groups[reservation.run, reservation.epoch].append(reservation.nonce)
        for (run, epoch), group in groups.items():
            try:
                await self._gate.confirm(run, epoch, group)
            except (OSError, RedisError) as error:
                # They stay pending in the gate until their deadline; recovery then finds them in the ledger.
                log.warning("confirm_postponed", error=type(error).__name__, draws=len(group))

    # Trying again ------------------------------------------------------------------------------------------------

    def _again(self, calls: Iterable[Call]) -> None:
        """Puts calls back in the line, a little later the more often they were tried."""
        by_pause: dict[float, list[Call]] = defaultdict(list)
        for call in calls:
            if call.future.done() or call.queued:
                continue
            if monotonic() - call.since > PATIENCE_SECONDS:
                call.fail(Unavailable())
                continue
            by_pause[PAUSES[min(call.tries, len(PAUSES) - 1)]].append(call)
            call.tries += 1
            call.new = False
            call.queued = True
        for pause, group in by_pause.items():
            task = asyncio.get_running_loop().create_task(self._later(pause, group))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _later(self, pause: float, calls: list[Call]) -> None:
        await asyncio.sleep(pause)
        for call in calls:
            self._line.submit(call)


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit


def _check(account: Account, source: str, key: str) -> None:
    """Raises `InvalidInput` for what neither the ledger nor a proof may hold."""
    fields = (
        ("player.channel", account[0], 64),
        ("player.id", account[1], 200),
        ("source", source, 64),
        ("key", key, 200),
    )
    problems = tuple(
        Problem(name, f"must be 1 to {most} characters without control characters")
        for name, value, most in fields
        if not 0 < len(value) <= most or not is_fit(value)
    )
    if problems:
        raise InvalidInput("The request cannot be drawn.", problems=problems)
