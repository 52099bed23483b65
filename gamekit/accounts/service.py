"""Who may sign in, and whether it is them.

An address is kept in lower case and a password only as its hash. Whoever asks learns neither from the answer nor from the
time it took whether an address is known.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Any

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.accounts import repository
from gamekit.accounts.models import Role
from gamekit.accounts.passwords import Hashing, find_fault
from gamekit.clock import Clock
from gamekit.errors import Conflict, InvalidInput, Problem
from gamekit.http.limits import RateLimiter
from gamekit.storage.redis import RedisClient
from gamekit.storage.sql import reading, writing

LONGEST_EMAIL = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
WINDOW_SECONDS = 15 * 60
TRIES_PER_USER = 10
TRIES_PER_ADDRESS = 60
"""Several people of one office share an address."""

# What browsers accept in `<input type="email">` (WHATWG HTML, 4.10.5.1.5, "valid email address").
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may sign in."""

    id: int
    email: str
    role: Role
    stamp: str
    """Changes with the password; a session that names another one is over."""


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """Nobody was signed in. `wait` 0: the address or the password is wrong; else the seconds until the next try counts."""

    wait: int = 0


class Users:
    """The people of one database who may sign in."""

    def __init__(self, sql: AsyncEngine, clock: Clock) -> None:
        self._sql = sql
        self._clock = clock
        self._hashing = Hashing()

    async def add(self, email: str, password: str, role: Role) -> Account:
        """A new user. Raises `InvalidInput` naming what is wrong, or `Conflict` where the address has a user already."""
        address, fault = find_email(email), find_fault(password)
        problems = []
        if address is None:
            right = f"must be an e-mail address of at most {LONGEST_EMAIL} characters, such as mei@example.com"
            problems.append(Problem("email", right))
        if fault is not None:
            problems.append(Problem("password", fault))
        if address is None or problems:
            sentence = "; ".join(f"{problem.field} {problem.message}" for problem in problems)
            raise InvalidInput(f"The user is not valid: {sentence}.", problems=tuple(problems))
        password_hash = await self._hashing.hash(password)
        async with writing(self._sql) as connection:
            if not await repository.add_user(
                connection, email=address, password_hash=password_hash, role=role, now=self._clock.now()
            ):
                raise Conflict(f"{address} has a user already.")
            row = await repository.find_user_by_email(connection, address)
        assert row is not None
        return _account(row)

    async def find(self, user_id: int) -> Account | None:
        async with reading(self._sql) as connection:
            row = await repository.find_user(connection, user_id)
        return _account(row) if row else None

    async def authenticate(self, email: str, password: str) -> Account | None:
        """The user of that address, if the password is theirs; takes as long if not. Counts no tries: that is `SignIn`.

        Raises `RateLimited` where too many passwords are waiting to be checked.
        """
        address = find_email(email)
        row = None
        if address is not None:
            async with reading(self._sql) as connection:
                row = await repository.find_user_by_email(connection, address)
        matches, renewed = await self._hashing.check(password, row.password_hash if row else None)
        if row is None or not matches:
            return None
        if renewed is None:
            return _account(row)
        async with writing(self._sql) as connection:
            await repository.change_password_hash(connection, row.id, before=row.password_hash, after=renewed)
            row = await repository.find_user(connection, row.id)
        return _account(row) if row else None


class SignIn:
    """Checks passwords, but only so many per user and per network address in a quarter of an hour, over all processes."""

    def __init__(self, users: Users, redis: RedisClient, clock: Clock) -> None:
        self._users = users
        self._limits = RateLimiter(redis, clock, window_seconds=WINDOW_SECONDS)

    async def attempt(self, email: str, password: str, *, address: str) -> Account | SignInRefused:
        """`address` is the caller's IP address. Every try counts, right or wrong, known address or not.

        Raises `RateLimited` where too many passwords are waiting to be checked.
        """
        # By digest: what people type here is no text for Redis, and may be of any length.
        user = sha256((find_email(email) or email).encode("utf-8", "replace")).hexdigest()[:32]
        wait = await self._limits.admit(f"sign-in:from:{_network(address)}", TRIES_PER_ADDRESS)
        wait = wait or await self._limits.admit(f"sign-in:user:{user}", TRIES_PER_USER)
        if wait:
            _log.warning("accounts.sign_in_refused", reason="too_many", wait=wait)
            return SignInRefused(wait)
        account = await self._users.authenticate(email, password)
        if account is None:
            _log.warning("accounts.sign_in_refused", reason="wrong")
            return SignInRefused()
        _log.info("accounts.signed_in", user=account.id, role=account.role.value)
        return account


def find_email(text: str) -> str | None:
    """The address as it is kept; None where it is none. Full-width letters, as Chinese keyboards type them, are read."""
    address = unicodedata.normalize("NFKC", text[: 4 * LONGEST_EMAIL]).strip().lower()
    return address if len(address) <= LONGEST_EMAIL and _EMAIL.fullmatch(address) else None


def _network(address: str) -> str:
    """What one household or office has: an IPv4 address, or the first half of an IPv6 address (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.email, Role(row.role), sha256(row.password_hash.encode()).hexdigest()[:16])
