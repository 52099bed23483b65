"""Migrations make exactly the tables that the models describe, on both databases, and say where they are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.errors import MigrationNeeded
from gamekit.storage.migrate import current_and_head, head, require_head, upgrade
from gamekit.storage.sql import is_postgres, open_database
from gamekit.testing.revision import all_tables
from gamekit.testing.servers import PostgresServer

POSTGRES_CATALOG = (
    """SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable, column_default
       FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'""",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'""",
)
SQLITE_CATALOG = (
    """SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_schema t, pragma_table_info(t.name) c
       WHERE t.type = 'table' AND t.name <> 'alembic_version'""",
    "SELECT tbl_name, name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name <> 'alembic_version'",
    """SELECT t.name, f."table", f."from", f."to", f.on_delete FROM sqlite_schema t, pragma_foreign_key_list(t.name) f
       WHERE t.type = 'table'""",
    """SELECT t.name, i."unique", group_concat(k.name) FROM sqlite_schema t, pragma_index_list(t.name) i,
       pragma_index_info(i.name) k WHERE t.type = 'table' AND t.name <> 'alembic_version' GROUP BY t.name, i.name""",
)


async def catalog(engine: AsyncEngine) -> list[list[tuple[Any, ...]]]:
    """What the database itself says of its tables, columns, collations, defaults, indexes and constraints."""
    async with engine.connect() as connection:
        queries = POSTGRES_CATALOG if is_postgres(connection) else SQLITE_CATALOG
        return [sorted(map(tuple, await connection.execute(text(query))), key=repr) for query in queries]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """A database without any table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    else:
        with postgres_server.fresh_database(migrated=False) as url:
            yield url


async def test_upgrade_makes_what_the_models_say(empty_database: str) -> None:
    """A migrated database and one made from the models have the same catalog, down to collations and index conditions."""
    engine = open_database(empty_database)
    async with engine.begin() as connection:
        await connection.run_sync(all_tables().create_all)
    modelled = await catalog(engine)
    async with engine.begin() as connection:
        await connection.run_sync(all_tables().drop_all)
    await upgrade(engine)
    assert await catalog(engine) == modelled
    await engine.dispose()


async def test_there_is_nothing_left_to_generate(sql_url: str) -> None:
    """Alembic finds no difference between the models and a migrated database."""

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        return list(compare_metadata(context, all_tables()))

    engine = open_database(sql_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_text_is_compared_byte_by_byte(postgres_url: str) -> None:
    """No text column of the ledger or beside it follows the database's language."""
    engine = open_database(postgres_url)
    async with engine.connect() as connection:
        other = await connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
                "AND data_type IN ('character varying', 'text') AND collation_name IS DISTINCT FROM 'C' "
                "AND table_name <> 'alembic_version'"
            )
        )
        assert other.all() == []
    await engine.dispose()


async def test_a_database_without_tables_is_refused(empty_database: str) -> None:
    """Starting against an empty database says what to run."""
    engine = open_database(empty_database)
    assert await current_and_head(engine) == (None, head())
    with pytest.raises(MigrationNeeded, match=r"at migration none .* run `gamekit migrate`"):
        await require_head(engine)
    await upgrade(engine)
    await require_head(engine)
    assert await current_and_head(engine) == (head(), head())
    await engine.dispose()


async def test_a_database_of_a_newer_version_is_refused(sql_url: str) -> None:
    """A database that a newer gamekit migrated is not touched, and `migrate` is not what is suggested."""
    engine = open_database(sql_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(MigrationNeeded, match="9999, which this version of gamekit does not know"):
        await require_head(engine)
    await engine.dispose()


async def test_upgrading_twice_changes_nothing(sql_url: str) -> None:
    """An upgrade of an up-to-date database leaves it as it is."""
    engine = open_database(sql_url)
    before = await catalog(engine)
    await upgrade(engine)
    assert await catalog(engine) == before
    await engine.dispose()


async def test_two_upgrades_at_once_take_turns(empty_database: str) -> None:
    """Two processes that migrate the same empty database both succeed, and the tables are made once."""
    engines = [open_database(empty_database) for _ in range(2)]
    await asyncio.gather(*(upgrade(engine) for engine in engines))
    await require_head(engines[0])
    for engine in engines:
        await engine.dispose()
