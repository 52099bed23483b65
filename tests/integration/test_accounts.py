from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.accounts.models import Role
from gamekit.accounts.repository import users as table
from gamekit.accounts.service import (
    TRIES_PER_ADDRESS,
    TRIES_PER_USER,
    WINDOW_SECONDS,
    Account,
    SignIn,
    SignInRefused,
    Users,
)
from gamekit.clock import SystemClock
from gamekit.errors import Conflict, InvalidInput
from gamekit.storage.redis import open_redis
from gamekit.storage.sql import open_database, reading, writing

PASSWORD = "correct horse battery"


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
async def sql(sql_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(sql_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def users(sql: AsyncEngine) -> Users:
    return Users(sql, SystemClock())


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def few(sqlite_url: str) -> AsyncIterator[Users]:
    """Users of one kind of database: what is counted is counted in Redis, and each try takes its time."""
    engine = open_database(sqlite_url)
    yield Users(engine, SystemClock())
    await engine.dispose()


@pytest.fixture
async def sign_in(few: Users, redis_url: str, clock: Hands) -> AsyncIterator[SignIn]:
    redis = open_redis(redis_url)
    yield SignIn(few, redis, clock)
    await redis.aclose()


async def test_whoever_was_added_may_sign_in(users: Users) -> None:
    """The address is read however it is typed, and the password must be the same."""
    added = await users.add(" Mei@Example.COM ", PASSWORD, Role.MARKETER)
    assert (added.email, added.role) == ("mei@example.com", Role.MARKETER)
    assert await users.authenticate("MEI@example.com", PASSWORD) == added
    assert await users.authenticate("ｍｅｉ＠example.com", PASSWORD) == added
    assert await users.find(added.id) == added
    for wrong in (PASSWORD.upper(), PASSWORD + " ", "", "\ud800" * 12, "x" * 100_000):
        assert await users.authenticate("mei@example.com", wrong) is None
    for nobody in ("lin@example.com", "", "mei@example.com\x00", "@", "a" * 10_000, "\ud800@example.com"):
        assert await users.authenticate(nobody, PASSWORD) is None
    assert await users.find(added.id + 1) is None


async def test_a_password_is_kept_as_argon2id_alone(sql: AsyncEngine, users: Users) -> None:
    """The database holds a salted hash in PHC form, different for the same password of two people."""
    await users.add("one@example.com", PASSWORD, Role.OWNER)
    await users.add("two@example.com", PASSWORD, Role.OWNER)
    async with reading(sql) as connection:
        hashes = (await connection.execute(select(table.c.password_hash))).scalars().all()
    assert len(set(hashes)) == 2
    assert all(text.startswith("$argon2id$v=19$m=65536,") and PASSWORD not in text for text in hashes)


async def test_an_address_has_one_user(users: Users) -> None:
    """A second user of an address is refused, and the first stays as it is."""
    first = await users.add("mei@example.com", PASSWORD, Role.OWNER)
    with pytest.raises(Conflict, match="has a user already"):
        await users.add("Mei@Example.com", "another password", Role.TILL)
    assert await users.authenticate("mei@example.com", PASSWORD) == first


@pytest.mark.parametrize(
    ("email", "password", "field", "message"),
    [
        ("mei", PASSWORD, "email", "must be an e-mail address"),
        ("mei@example.com\n", "eleven char", "password", "must have 12 to 1,000 characters, not 11"),
        ("a" * 250 + "@example.com", PASSWORD, "email", "at most 254 characters"),
        ("mei@exa mple.com", PASSWORD, "email", "such as mei@example.com"),
        ("mei@example.com", "with a line break\n", "password", "without line breaks"),
        ("mei@example.com", "x" * 1_001, "password", "not 1001"),
        ("mei@example.com", "a surrogate \udc80", "password", "one line of text"),
    ],
)
async def test_what_cannot_be_a_user_is_named(
    users: Users, email: str, password: str, field: str, message: str
) -> None:
    """The field is named and the sentence says what would be right."""
    with pytest.raises(InvalidInput, match=field) as caught:
        await users.add(email, password, Role.OWNER)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert message in problem.message


async def test_a_weaker_hash_is_renewed_at_sign_in(sql: AsyncEngine, users: Users) -> None:
    """Whoever signs in with a hash of earlier parameters gets one of today's; sessions of before are over."""
    added = await users.add("mei@example.com", PASSWORD, Role.OWNER)
    weak = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64),)).hash(PASSWORD)
    async with writing(sql) as connection:
        await connection.execute(update(table).values(password_hash=weak))
    renewed = await users.authenticate("mei@example.com", PASSWORD)
    assert renewed is not None
    assert renewed.stamp != added.stamp
    async with reading(sql) as connection:
        assert "m=65536" in str(await connection.scalar(select(table.c.password_hash)))
    assert await users.authenticate("mei@example.com", PASSWORD) == renewed


async def test_an_unknown_address_takes_as_long_as_a_wrong_password(users: Users) -> None:
    """Where there is no such user a hash is checked all the same: without one the answer comes a hundred times sooner."""
    await users.add("mei@example.com", PASSWORD, Role.OWNER)

    async def quickest(email: str) -> float:
        taken = []
        for _ in range(5):
            began = perf_counter()
            assert await users.authenticate(email, "not the password") is None
            taken.append(perf_counter() - began)
        return min(taken)

    # A busy machine alone makes one of two equal times twice the other.
    known = await quickest("mei@example.com")
    assert await quickest("nobody@example.com") > known / 5
    assert await quickest("no address at all") > known / 5


async def test_tries_of_one_user_are_counted(few: Users, sign_in: SignIn, clock: Hands) -> None:
    """After ten tries even the right password waits until the quarter of an hour is over; others are not held up."""
    mei = await few.add("mei@example.com", PASSWORD, Role.OWNER)
    lin = await few.add("lin@example.com", PASSWORD, Role.SUPPORT)
    for number in range(TRIES_PER_USER):
        email = "mei@example.com" if number % 2 else "MEI@example.com"
        assert await sign_in.attempt(email, "wrong", address="203.0.113.7") == SignInRefused()
    assert await sign_in.attempt("mei@example.com", PASSWORD, address="203.0.113.9") == SignInRefused(WINDOW_SECONDS)
    assert await sign_in.attempt("lin@example.com", PASSWORD, address="203.0.113.7") == lin
    clock.moment += timedelta(seconds=WINDOW_SECONDS)
    assert await sign_in.attempt("mei@example.com", PASSWORD, address="203.0.113.7") == mei


async def test_an_unknown_address_is_counted_alike(sign_in: SignIn) -> None:
    """That tries run out does not tell that an address is known."""
    for _ in range(TRIES_PER_USER):
        assert await sign_in.attempt("nobody@example.com", "wrong", address="203.0.113.7") == SignInRefused()
    refused = await sign_in.attempt("nobody@example.com", "wrong", address="203.0.113.7")
    assert refused == SignInRefused(WINDOW_SECONDS)


async def test_tries_of_one_network_are_counted(few: Users, sign_in: SignIn) -> None:
    """Guessing one password for many users from one network ends too; the halves of IPv6 that a household has count as one."""
    await few.add("mei@example.com", PASSWORD, Role.OWNER)
    for _ in range(TRIES_PER_ADDRESS):
        # The count alone is wanted here, not sixty hashes.
        await sign_in._limits.admit("sign-in:from:2001:db8:0:1::", TRIES_PER_ADDRESS)
    refused = await sign_in.attempt("mei@example.com", PASSWORD, address="2001:db8:0:1:ffff::5")
    assert isinstance(refused, SignInRefused)
    assert refused.wait > 0
    assert isinstance(await sign_in.attempt("mei@example.com", PASSWORD, address="2001:db8:0:2::5"), Account)
