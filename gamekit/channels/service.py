"""Connected channels with their credentials opened, remembered for a few seconds.

A webhook asks for them on every call, signed or not, so an answer is kept for `FRESH_FOR`; a change made by
another process is seen after that long at most.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.channels import repository
from gamekit.clock import Clock
from gamekit.errors import Conflict, InvalidInput, Problem
from gamekit.storage.vault import Vault

FRESH_FOR = timedelta(seconds=5)
MAX_CREDENTIAL = 2_000
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class ConnectedChannel:
    """A Page or account we speak for. Its secrets are kept out of `repr`, and so out of logs."""

    key: str
    platform: str
    account_id: str
    app_secret: str = field(repr=False)
    verify_token: str = field(repr=False)
    access_token: str = field(repr=False)


class Channels:
    """The connected channels."""

    def __init__(self, engine: AsyncEngine, vault: Vault, clock: Clock) -> None:
        self._engine = engine
        self._vault = vault
        self._clock = clock
        self._known: tuple[ConnectedChannel, ...] = ()
        self._read_at: datetime | None = None

    async def connect(self, channel: ConnectedChannel) -> None:
        """Save `channel`, replacing the one with its key.

        Raises `InvalidInput` naming each field at fault, `Conflict` where another channel has the account.
        """
        _check(channel)
        secrets = {name: getattr(channel, name) for name in _SECRETS}
        sealed = self._vault.seal(json.dumps(secrets).encode())
        row = repository.SealedChannel(channel.key, channel.platform, channel.account_id, sealed)
        try:
            await repository.save(self._engine, row, self._clock.now())
        except IntegrityError as error:
            raise Conflict(f"Account {channel.account_id} is already connected under another key.") from error
        self._read_at = None

    async def disconnect(self, key: str) -> bool:
        """Forget the channel; whether there was one."""
        self._read_at = None
        return await repository.remove(self._engine, key)

    async def all(self) -> tuple[ConnectedChannel, ...]:
        """Every connected channel, by key."""
        now = self._clock.now()
        if self._read_at is None or not timedelta() <= now - self._read_at < FRESH_FOR:
            rows = await repository.all_channels(self._engine)
            self._known = tuple(self._opened(row) for row in rows)
            self._read_at = now
        return self._known

    async def of_platform(self, platform: str) -> tuple[ConnectedChannel, ...]:
        """The connected channels of one platform, by key."""
        return tuple(channel for channel in await self.all() if channel.platform == platform)

    async def find(self, key: str) -> ConnectedChannel | None:
        """The channel with this key, if it is connected."""
        return next((channel for channel in await self.all() if channel.key == key), None)

    def _opened(self, row: repository.SealedChannel) -> ConnectedChannel:
        secrets = json.loads(self._vault.unseal(row.credentials))
        return ConnectedChannel(row.key, row.platform, row.account_id, **secrets)


_SECRETS = ("app_secret", "verify_token", "access_token")


def _check(channel: ConnectedChannel) -> None:
    problems = []
    if not _KEY.fullmatch(channel.key):
        problems.append(Problem("key", "must be 1 to 64 of a-z, 0-9, - and _, not starting with - or _"))
    if not _KEY.fullmatch(channel.platform) or len(channel.platform) > 16:
        problems.append(Problem("platform", "must be a platform's name, such as messenger"))
    if not _ACCOUNT.fullmatch(channel.account_id):
        problems.append(Problem("account_id", "must be the platform's id of the account, 1 to 64 letters or digits"))
    for name in _SECRETS:
        value: str = getattr(channel, name)
        if not value or len(value) > MAX_CREDENTIAL or not value.isascii() or not value.isprintable():
            problems.append(Problem(name, f"must be 1 to {MAX_CREDENTIAL:,} printable ASCII characters"))
    if problems:
        raise InvalidInput(problems=tuple(problems))
