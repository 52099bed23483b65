"""Fixtures for everybody: real servers, one of each for a run, with a fresh database or an empty gate per test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gamekit.storage.migrate import upgrade
from gamekit.storage.sql import open_database
from gamekit.testing.servers import (
    PostgresServer,
    ValkeyCluster,
    ValkeyServer,
    finished,
    postgres,
    valkey,
    valkey_cluster,
)
from tests.demo import Demo


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The run's PostgreSQL."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session", name="valkey_server")
def _valkey_server() -> Iterator[ValkeyServer]:
    """The run's Valkey. A test that kills or freezes one starts its own with `gamekit.testing.servers.valkey`."""
    with valkey() as server:
        yield server


@pytest.fixture(scope="session", name="valkey_cluster")
def _valkey_cluster() -> Iterator[ValkeyCluster]:
    """The run's Cluster."""
    with valkey_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database with all tables, empty, for one test."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """A SQLite database with all tables, empty, for one test."""
    path = tmp_path / "gamekit.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def sql_url(request: pytest.FixtureRequest) -> str:
    """Each of the two databases in turn."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def redis_url(valkey_server: ValkeyServer) -> str:
    """An empty Valkey for one test."""
    valkey_server.command("FLUSHALL")
    return valkey_server.url


@pytest.fixture
def redis_cluster_url(valkey_cluster: ValkeyCluster) -> str:
    """An empty Cluster for one test."""
    valkey_cluster.flush()
    return valkey_cluster.url


@pytest.fixture(scope="session")
def running_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole product as a newcomer starts it. A test that stops or kills one starts its own."""
    demo = Demo(tmp_path_factory.mktemp("demos") / "shared")
    demo.start()
    yield demo
    demo.stop()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"

    async def make() -> None:
        engine = open_database(f"sqlite+aiosqlite:///{path}")
        await upgrade(engine)
        await engine.dispose()

    finished(make())
    return path
