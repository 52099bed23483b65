"""The gate's transitions as Python calls: `reserve.lua` is `Gate.reserve`, and so on.

Keys are built here only, and carry the run as a hash tag, so that a run lives in one slot of a Cluster. The gate
asks the server it runs on for its `run_id`: a state that was copied, restored or promoted elsewhere is
not trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha1
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple

import msgpack
from redis.exceptions import NoScriptError, ResponseError

from gamekit.draws.reservations import REASONS, Memo, Outcome, Reservation
from gamekit.storage.redis import RedisClient

_RESERVED, _DECIDED, _SHARED, _REFUSED, _UNKNOWN = range(5)


class Ask(NamedTuple):
    """One request put to the gate. `new` says that the player was never seen before by anyone."""

    nonce: str
    player_id: int
    new: bool
    memo: Memo


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits of a run that hold for one batch; -1 where there is no limit.

    `prizes` maps a key to (units open, units in stock, cap per player).
    """

    epoch: int
    deadline_ms: int
    day: int
    total: int
    per_day: int
    win_limit: int
    prizes: Mapping[str, tuple[int, int, int]]


class Reserved(NamedTuple):
    """The request's draws are reserved for whoever commits them."""

    reservation: Reservation
    chances_left: int | None


@dataclass(frozen=True, slots=True)
class Decided:
    """The key was decided before; the ledger has it."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The key is reserved already, perhaps by another process, and not decided."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class Refused:
    """Too few chances, as far as the gate knows; `waiting` of the player's reservations are undecided."""

    waiting: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """The gate has not seen the player in this epoch."""


Reply = Reserved | Decided | Shared | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Replies:
    """A reply per request; None where the gate must not be trusted (it holds `epoch`, 0 for none)."""

    epoch: int
    replies: list[Reply] | None


@dataclass(frozen=True, slots=True)
class PlayerTruth:
    """What the ledger says a player has used; `free` are chance numbers up to `high` that are not."""

    high: int = 0
    free: tuple[int, ...] = ()
    granted: int = 0
    day: int = 0
    day_high: int = 0
    day_free: tuple[int, ...] = ()
    wins: int = 0
    caps: Mapping[str, int] = field(default_factory=dict)
    grants: int = 0

    @property
    def used(self) -> int:
        return self.high - len(self.free)

    def pack(self) -> bytes:
        """The player as `player.lua` keeps it, with no request seen."""
        lists = (*self.free, *self.day_free)
        counts = len(self.free), len(self.day_free), len(self.caps)
        numbers = self.high, self.granted, self.day, self.day_high, self.wins, self.grants
        caps = b"".join(struct.pack("<IB", won, len(prize)) + prize.encode() for prize, won in self.caps.items())
        return struct.pack(f"<6I3H{len(lists)}I", *numbers, *counts, *lists) + caps


class Gate:
    """The gate of every run, in one Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._reserve = _Script("player", "reserve")
        self._confirm = _Script("confirm", frees=True)
        self._release = _Script("player", "release", frees=True)
        self._install = _Script("install")
        self._learn = _Script("player", "learn")
        self._overdue = _Script("overdue")

    async def reserve(self, run: str, terms: Terms, asks: Sequence[Ask]) -> Replies:
        """Decides `asks` (at most about 1,000), each atomically."""
        prizes = list(terms.prizes)
        place = {prize: position for position, prize in enumerate(prizes, 1)}
        limits = list(terms.prizes.values())
        head = (
            terms.epoch,
            terms.deadline_ms,
            terms.day,
            terms.total,
            terms.per_day,
            terms.win_limit,
            prizes,
            [limit[0] for limit in limits],
            [limit[1] for limit in limits],
            [limit[2] for limit in limits],
        )
        body: list[Any] = []
        for ask in asks:
            memo = ask.memo
            body += (
                ask.nonce,
                str(ask.player_id),
                _key_hash(memo.source, memo.key),
                ask.new,
                _pack(memo),
                len(memo.picks),
            )
            body += [place.get(pick, 0) for pick in memo.picks]
        try:
            raw = await self._reserve.run(self._redis, run, _pack(head), _pack(body))
        except ResponseError as error:
            if "user_script" not in str(error):
                raise
            # The script stumbled over what it found, before it wrote anything: somebody else wrote into the gate.
            return Replies(0, None)
        trusted, epoch, *said = msgpack.unpackb(raw, raw=True)
        if not trusted:
            return Replies(epoch, None)
        words = iter(said)
        return Replies(epoch, [_reply(run, epoch, ask, words) for ask in asks])

    async def confirm(self, run: str, epoch: int, nonces: Sequence[str]) -> int:
        """Forgets reservations that are in the ledger; returns how many were still pending."""
        return int(await self._confirm.run(self._redis, run, epoch, *nonces))

    async def release(self, run: str, epoch: int, nonces: Sequence[str]) -> int:
        """Gives back what voided reservations held; returns how many this call released."""
        return int(await self._release.run(self._redis, run, epoch, *nonces))

    async def install(
        self, run: str, epoch: int, *, fresh: bool, units: Mapping[str, tuple[int, Sequence[int]]]
    ) -> bool:
        """Replaces the run's state by a snapshot: per prize the highest unit issued and the free ones below it.

        False where the gate already holds this epoch or a later one.
        """
        arguments: list[Any] = [epoch, "1" if fresh else "0"]
        for prize, (high, free) in units.items():
            arguments += (prize, _pack((high, list(free))))
        return bool(await self._install.run(self._redis, run, *arguments))

    async def learn(self, run: str, epoch: int, players: Mapping[int, PlayerTruth]) -> bool:
        """Tells the gate of players it does not know, and of grants. False where it holds another epoch."""
        arguments: list[Any] = [epoch]
        for player_id, truth in players.items():
            arguments += (player_id, truth.pack())
        return int(await self._learn.run(self._redis, run, *arguments)) >= 0

    async def overdue(self, run: str, epoch: int, *, now_ms: int, limit: int = 200) -> tuple[int, list[Reservation]]:
        """How many reservations are pending, and those whose deadline has passed; -1 for another epoch."""
        pending, *found = await self._overdue.run(self._redis, run, epoch, now_ms, limit)
        return int(pending), [_reservation(run, epoch, packed) for packed in found]

    async def forget(self, runs: Iterable[str]) -> None:
        """Removes all that is kept of runs that are over."""
        for run in runs:
            await self._redis.unlink(*_keys(run))


class _Script:
    """A script made of Lua files, called by its digest, sent whole where a server does not have it yet."""

    def __init__(self, *names: str, frees: bool = False) -> None:
        """`frees`: it makes room, so a server that is out of memory must run it."""
        folder = files(__package__) / "lua"
        # With this first line a server that is out of memory refuses a script before it starts, not half-way.
        first = "#!lua flags=allow-oom\n" if frees else "#!lua\n"
        self._source = first + "".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)
        self._digest = sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: RedisClient, run: str, *arguments: Any) -> Any:
        keys = _keys(run)
        try:
            return await redis.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(self._source, len(keys), *keys, *arguments)


def _keys(run: str) -> tuple[str, str, str]:
    return f"gamekit:{{{run}}}:run", f"gamekit:{{{run}}}:players", f"gamekit:{{{run}}}:pending"


def _key_hash(source: str, key: str) -> bytes:
    return blake2b(f"{source}\n{key}".encode(), digest_size=8).digest()


def _pack(value: Any) -> bytes:
    # Lua knows one kind of string; the old format has no bin type to confuse it with.
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def _reply(run: str, epoch: int, ask: Ask, words: Iterator[Any]) -> Reply:
    """Reads the reply to one request off the flat list."""
    status = next(words)
    if status == _RESERVED:
        memo = ask.memo
        seq, left = next(words), next(words)
        outcomes = tuple([_outcome(words, pick, memo.fallback) for pick in memo.picks])
        return Reserved(
            Reservation(run, epoch, ask.nonce, seq, ask.player_id, memo, outcomes), None if left < 0 else int(left)
        )
    if status == _DECIDED:
        return Decided()
    if status == _SHARED:
        return Shared(_reservation(run, epoch, next(words)))
    if status == _REFUSED:
        return Refused(next(words))
    return Unknown()


def _outcome(words: Iterator[Any], pick: str, fallback: str) -> Outcome:
    chance, granted, day, number, unit, reason = islice(words, 6)
    prize = fallback if reason else pick
    return Outcome(chance, granted == 1, day or None, number or None, unit or None, prize, REASONS[reason])


def _reservation(run: str, epoch: int, packed: bytes) -> Reservation:
    nonce, _, seq, player, _, memo, *draws = msgpack.unpackb(packed, raw=True)
    source, key, body_hash, version, created_us, picks, fallback = msgpack.unpackb(memo, raw=False)
    kept = Memo(source, key, body_hash, version, created_us, tuple(picks), fallback)
    outcomes = []
    for place, pick in enumerate(picks):
        words = draws[7 * place : 7 * place + 6]
        outcomes.append(_outcome(iter(words), pick, fallback))
    return Reservation(run, epoch, nonce.decode(), seq, int(player), kept, tuple(outcomes))
