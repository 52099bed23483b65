"""Passwords: what is accepted, and Argon2id (RFC 9106) run beside the event loop.

A hash takes about 100 ms and 64 MiB, so only a few run at a time, and only so many may wait for their turn.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from gamekit.errors import RateLimited

SHORTEST = 12
LONGEST = 1_000
AT_ONCE = 2
MOST_WAITING = 40
"""Beyond these the last in line would wait longer than a person does."""

Result = TypeVar("Result")


def normal_password(text: str) -> str:
    """The form that is hashed: NFKC, so that a keyboard's full-width letters are the same password (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", text)


def find_fault(password: str) -> str | None:
    """What would be right, where this may not become someone's password."""
    length = len(normal_password(password))
    if not SHORTEST <= length <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST:,} characters, not {length}"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        return "must be one line of text, without line breaks, tabs or other control characters"
    return None


class Hashing:
    """Hashes and checks passwords, a few at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHash((Argon2Hasher(),))
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._decoy: asyncio.Task[str] | None = None

    async def hash(self, password: str) -> str:
        """Raises `RateLimited` where too many wait already."""
        return await self._run(lambda: self._hasher.hash(normal_password(password)))

    async def check(self, password: str, known: str | None) -> tuple[bool, str | None]:
        """Whether `password` belongs to the hash `known`, and a new hash where its parameters are out of date.

        Without a hash a decoy is checked, which takes as long, so that time does not tell whether a user exists.
        Raises `RateLimited` where too many wait already.
        """
        if self._decoy is None:
            # Made before any check, not by the first that needs it: that one would take twice as long.
            self._decoy = asyncio.get_running_loop().create_task(
                asyncio.to_thread(self._hasher.hash, "nobody's password")
            )
        decoy = await asyncio.shield(self._decoy)
        text = normal_password(password)
        try:
            text.encode()
        except UnicodeEncodeError:
            known, text = None, ""
        matches, renewed = await self._run(lambda: self._hasher.verify_and_update(text, known or decoy))
        return (matches, renewed) if known else (False, None)

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MOST_WAITING:
            raise RateLimited(retry_after=5)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
