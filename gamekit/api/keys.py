"""API keys: made once, shown once, kept as SHA-256, found without a query.

Each process holds every valid key in memory, by digest, and reads the table anew at most every half second while requests
come; the reading happens beside them. A revoked key is refused at once by the process that revoked it, and by every other
within `MAX_AGE_SECONDS`. A key that a process does not know makes it look once more before it says no, so a new key works
everywhere at once; the same wrong key over and over is looked for once a reading.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from time import monotonic

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.api import repository
from gamekit.api.models import ApiKey
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.errors import InvalidInput, NotFound, Problem
from gamekit.ids import token
from gamekit.storage.sql import reading, writing

PREFIX = "gk_"
SECRET_LENGTH = 32
"""Characters of five bits each: 160 random bits, which need no salt."""
ID_LENGTH = 10
DEFAULT_RATE = 60_000
MOST_RATE = 100_000_000
FRESH_SECONDS = 0.5
MAX_AGE_SECONDS = 1.0
MOST_UNKNOWN = 10_000

_log = structlog.get_logger(__name__)


class Scope(StrEnum):
    """What a key may do."""

    DRAW = "draw"
    READ = "read"
    MANAGE = "manage"
    REDEEM = "redeem"


@dataclass(frozen=True, slots=True)
class Key:
    """A valid key, as the hot path needs it."""

    id: str
    name: str
    scopes: frozenset[str]
    rate_per_minute: int
    source: str
    """Names the client in the ledger."""


@dataclass(frozen=True, slots=True)
class KeySummary:
    """A key as it is listed: everything but the secret, which nobody has."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    rate_per_minute: int
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; `secret` is told this once."""

    id: str
    secret: str


class Keys:
    """Makes, finds, lists and revokes API keys."""

    def __init__(self, sql: AsyncEngine, clock: Clock, entropy: Entropy) -> None:
        self._sql = sql
        self._clock = clock
        self._entropy = entropy
        self._valid: dict[bytes, Key] = {}
        self._unknown: set[bytes] = set()
        self._read_at = float("-inf")
        """When the last reading that is in began, on the process's own monotonic clock: it measures age, it dates nothing."""
        self._reading: asyncio.Task[None] | None = None
        self._generation = 0

    async def create(self, name: str, scopes: Iterable[str], *, rate_per_minute: int = DEFAULT_RATE) -> NewKey:
        """A new key. Raises `InvalidInput`."""
        wanted = _checked(name, list(scopes), rate_per_minute)
        made = NewKey(token(self._entropy, ID_LENGTH), PREFIX + token(self._entropy, SECRET_LENGTH))
        key = ApiKey(
            id=made.id,
            name=name,
            digest=hashlib.sha256(made.secret.encode()).hexdigest(),
            scopes=",".join(wanted),
            rate_per_minute=rate_per_minute,
            created_at=self._clock.now(),
        )
        async with writing(self._sql) as connection:
            await repository.add_key(connection, key)
        self._forget()
        return made

    async def revoke(self, key_id: str) -> None:
        """Ends a key for ever; a key already revoked stays so. Raises `NotFound`."""
        async with writing(self._sql) as connection:
            if not await repository.revoke_key(connection, key_id, self._clock.now()):
                raise NotFound("There is no API key with this id.")
        self._forget()

    async def list(self) -> tuple[KeySummary, ...]:
        """Every key ever made, oldest first."""
        async with reading(self._sql) as connection:
            rows = await repository.list_keys(connection)
        return tuple(
            KeySummary(
                row.id,
                row.name,
                tuple(Scope(scope) for scope in row.scopes.split(",")),
                row.rate_per_minute,
                row.created_at,
                row.revoked_at,
            )
            for row in rows
        )

    async def find(self, secret: bytes) -> Key | None:
        """The valid key with this secret."""
        age = monotonic() - self._read_at
        if age > FRESH_SECONDS:
            if age > MAX_AGE_SECONDS:
                await self._read()
            else:
                self._reading = self._begin_reading()
        digest = hashlib.sha256(secret).digest()
        found = self._valid.get(digest)
        if found is None and secret.startswith(b"gk_") and digest not in self._unknown:
            await self._read()
            found = self._valid.get(digest)
            if found is None and len(self._unknown) < MOST_UNKNOWN:
                self._unknown.add(digest)
        return found

    async def close(self) -> None:
        """Waits for a reading that is under way."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    def _forget(self) -> None:
        self._read_at = float("-inf")
        self._generation += 1

    async def _read(self) -> None:
        """Returns once a reading that began after this call is in."""
        wanted = monotonic()
        while self._read_at < wanted:
            await asyncio.shield(self._begin_reading())

    def _begin_reading(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._load())
            self._reading.add_done_callback(_note_failure)
        return self._reading

    async def _load(self) -> None:
        began, generation = monotonic(), self._generation
        async with reading(self._sql) as connection:
            rows = await repository.valid_keys(connection)
        if generation != self._generation:
            # A key was made or revoked meanwhile; what was read may be from before.
            return
        self._valid = {
            bytes.fromhex(row.digest): Key(
                row.id, row.name, frozenset(row.scopes.split(",")), row.rate_per_minute, f"api:{row.id}"
            )
            for row in rows
        }
        self._unknown.clear()
        self._read_at = began


def _note_failure(reading: asyncio.Task[None]) -> None:
    # Whoever waits sees the error too; a reading beside the requests would otherwise fail in silence.
    if not reading.cancelled() and (error := reading.exception()) is not None:
        _log.warning("api_keys.not_read", error=type(error).__name__)


def _checked(name: str, scopes: list[str], rate_per_minute: int) -> list[str]:
    problems = []
    if not (0 < len(name) <= 100 and name.isprintable()):
        problems.append(Problem("name", "must have 1 to 100 printable characters"))
    known = [scope.value for scope in Scope]
    if not scopes or any(scope not in known for scope in scopes):
        problems.append(Problem("scopes", f"must be one or more of {', '.join(known)}"))
    if not 1 <= rate_per_minute <= MOST_RATE:
        problems.append(Problem("rate_per_minute", f"must be from 1 to {MOST_RATE}"))
    if problems:
        raise InvalidInput("; ".join(f"{one.field} {one.message}" for one in problems), problems=tuple(problems))
    return [scope for scope in known if scope in scopes]
