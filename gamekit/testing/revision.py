"""Writes a migration from the difference between the models and the newest migration.

    python -m gamekit.testing.revision "what changes"    the next migration
    python -m gamekit.testing.revision --initial         the first one anew, as long as none has been released

Read what it wrote before it is committed: Alembic sees a rename as a drop and an add.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlmodel import SQLModel

import gamekit
from gamekit.storage import migrate
from gamekit.storage.sql import open_database
from gamekit.testing.servers import postgres

_VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"


def all_tables() -> MetaData:
    """The metadata of every `models.py` of gamekit."""
    for package in pkgutil.iter_modules(gamekit.__path__, "gamekit."):
        if package.ispkg and any(
            module.name == "models" for module in pkgutil.iter_modules([str(_folder_of(package.name))])
        ):
            importlib.import_module(f"{package.name}.models")
    return SQLModel.metadata


def _folder_of(package: str) -> Path:
    return Path(gamekit.__path__[0]).joinpath(*package.split(".")[1:])


def write(connection: Connection, message: str, number: str) -> Path:
    """The file of a migration that takes `connection`'s database to the models."""

    def refuse_nothing(_context: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
        if directives[0].upgrade_ops is None or directives[0].upgrade_ops.is_empty():
            raise SystemExit("The models are what the newest migration makes; there is nothing to write.")

    config = migrate.config(connection)
    config.attributes["metadata"] = all_tables()
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    script = command.revision(
        config, message, autogenerate=True, rev_id=number, process_revision_directives=refuse_nothing
    )
    assert script is not None
    assert not isinstance(script, list)
    return Path(script.path)


async def _write_against(url: str, message: str, number: str) -> Path:
    engine = open_database(url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(write, message, number)
    finally:
        await engine.dispose()


def main(message: str, *, initial: bool) -> None:
    """Write it against a scratch PostgreSQL, then format it."""
    if initial:
        for old in _VERSIONS.glob("0001_*.py"):
            old.unlink()
    number = f"{len(list(_VERSIONS.glob('[0-9]*.py'))) + 1:04}"
    with postgres() as server, server.fresh_database(migrated=not initial) as url:
        path = asyncio.run(_write_against(url, message, number))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.lstrip().startswith("# ###")), encoding="utf-8")
    for step in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *step, str(path)], check=True)
    print(path)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--initial"]:
            main("all tables", initial=True)
        case [text] if not text.startswith("-"):
            main(text, initial=False)
        case _:
            raise SystemExit(__doc__)
