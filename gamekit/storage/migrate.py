"""Brings a database to the tables this version of gamekit works with, and says where it is not there yet.

An upgrade is one transaction: it happens wholly or not at all, and two processes that try at once take turns.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.errors import MigrationNeeded

_FOLDER = Path(__file__).with_name("migrations")
_LOCK = 0x67616D656B6974  # "gamekit"
_APPLICATION_ID = 0x67616D65  # "game"; SQLite keeps such a number in a file's header


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made here instead of in a file, so that an installed wheel has all it needs."""
    made = Config()
    made.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


async def upgrade(engine: AsyncEngine) -> None:
    """Run every migration the database has not had."""
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        else:
            # A write, so that SQLite's lock is ours before the version is read.
            await connection.execute(text(f"PRAGMA application_id = {_APPLICATION_ID}"))
        await connection.run_sync(lambda sync: command.upgrade(config(sync), "head"))


async def current_and_head(engine: AsyncEngine) -> tuple[str | None, str]:
    """The migration the database is at (None: none yet), and the newest one known here."""
    async with engine.connect() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    return current, head()


async def require_head(engine: AsyncEngine) -> None:
    """Raises `MigrationNeeded`, saying what to do, where the database is not at the newest migration."""
    current, newest = await current_and_head(engine)
    if current == newest:
        return
    if current is not None and current not in _known():
        raise MigrationNeeded(
            f"The database is at migration {current}, which this version of gamekit does not know (it ends at {newest}): "
            "install the newer version that migrated it"
        )
    raise MigrationNeeded(
        f"The database is at migration {current or 'none'} and this version of gamekit needs {newest}: run `gamekit migrate`"
    )


@cache
def head() -> str:
    """The newest migration known here."""
    newest = ScriptDirectory.from_config(config()).get_current_head()
    assert newest is not None
    return newest


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions())
