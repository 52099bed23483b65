"""What fault runs share: servers of their own to break, and patience cut short where nobody wants to wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gamekit.testing.servers import ValkeyServer, valkey
from tests.faults.world import App, breakable, running


@pytest.fixture(name="own_valkey", scope="module")
def _own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey that the tests of a module may kill and replace."""
    with valkey() as server:
        yield server


@pytest.fixture
async def app(sql_url: str, redis_url: str) -> AsyncIterator[App]:
    """One process on either database."""
    async with running(sql_url, redis_url) as one:
        yield one


@pytest.fixture
async def other(sql_url: str, redis_url: str) -> AsyncIterator[App]:
    """A second process on the same databases."""
    async with running(sql_url, redis_url) as one:
        yield one


@pytest.fixture
async def fragile(sql_url: str, own_valkey: ValkeyServer) -> AsyncIterator[App]:
    """A process whose connections a test may cut, with a gate that a test may kill."""
    own_valkey.command("FLUSHALL")
    with breakable(sql_url, own_valkey) as options:
        async with running(**options) as one:
            yield one


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is told 503 after half a second instead of twelve."""
    monkeypatch.setattr("gamekit.draws.engine.PATIENCE_SECONDS", 0.5)
