"""The embedded Valkey: shared by all who use a data folder, found again after a crash, stopped by the last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gamekit.errors import Unavailable
from gamekit.storage.embedded import EmbeddedValkey
from gamekit.storage.redis import open_redis

HOLDER = """
import sys, time
from pathlib import Path
from gamekit.storage.embedded import EmbeddedValkey
valkey = EmbeddedValkey(Path(sys.argv[1]))
print(valkey.start(), valkey.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder with a space and a quote in its name, whose server is gone afterwards whatever a test did."""
    path = tmp_path / "it's my data"
    yield path
    valkey = EmbeddedValkey(path)
    valkey.start()
    valkey.stop()


def holder(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that uses the same folder, and the server's pid as it saw it."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[-1])
    process.stdout.close()
    return process, pid


async def said(url: str, *command: str) -> object:
    client = open_redis(url)
    try:
        return await client.execute_command(*command)
    finally:
        await client.aclose()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


async def test_keeps_what_was_written_over_a_restart(folder: Path) -> None:
    """A clean stop and a new start give back every key."""
    valkey = EmbeddedValkey(folder)
    await said(valkey.start(), "SET", "kept", "yes")
    valkey.stop()
    assert valkey.pid is None
    assert await said(valkey.start(), "GET", "kept") == b"yes"
    valkey.stop()


async def test_never_evicts_and_keeps_an_append_only_file(folder: Path) -> None:
    """The settings that doctor asks of a production Redis hold for the embedded one."""
    valkey = EmbeddedValkey(folder)
    url = valkey.start()
    assert await said(url, "CONFIG", "GET", "maxmemory-policy") == {b"maxmemory-policy": b"noeviction"}
    assert await said(url, "CONFIG", "GET", "appendonly") == {b"appendonly": b"yes"}
    valkey.stop()


def test_processes_share_one_server_and_the_last_stops_it(folder: Path) -> None:
    """A second process finds the first one's server; the first may leave while the second stays."""
    valkey = EmbeddedValkey(folder)
    valkey.start()
    pid = valkey.pid
    other, seen = holder(folder)
    assert seen == pid
    valkey.stop()
    assert alive(seen)
    other.terminate()
    other.wait()
    last = EmbeddedValkey(folder)
    last.start()
    assert last.pid == seen
    last.stop()
    assert not alive(seen)


def test_a_server_left_by_a_killed_process_is_found_again(folder: Path) -> None:
    """kill -9 of the process that started it leaves the server running; the next process uses it, then stops it."""
    other, pid = holder(folder)
    other.kill()
    other.wait()
    assert alive(pid)
    valkey = EmbeddedValkey(folder)
    valkey.start()
    assert valkey.pid == pid
    valkey.stop()
    assert not alive(pid)


def test_a_server_that_does_not_answer_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs is ended by force, and a new one takes its place."""
    monkeypatch.setattr("gamekit.storage.detached.STOP_SECONDS", 0.3)
    other, pid = holder(folder)
    other.kill()
    other.wait()
    os.kill(pid, signal.SIGSTOP)
    valkey = EmbeddedValkey(folder)
    valkey.start()
    assert valkey.pid not in (None, pid)
    assert not alive(pid)
    valkey.stop()


async def test_starting_again_brings_back_a_server_that_died(folder: Path) -> None:
    """`start` on a running instance is harmless, and after the server was killed it is the repair."""
    valkey = EmbeddedValkey(folder)
    url = valkey.start()
    await said(url, "SET", "kept", "yes")
    assert await said(url, "CONFIG", "SET", "appendfsync", "always") == b"OK"
    first = valkey.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    while alive(first):
        time.sleep(0.01)
    assert valkey.start() == url
    assert valkey.pid not in (None, first)
    assert await said(url, "GET", "kept") == b"yes"
    valkey.stop()


def test_a_foreign_process_named_by_a_stale_pid_file_is_left_alone(folder: Path) -> None:
    """A pid file that names some other program's process neither ends it nor keeps the server from starting."""
    bystander = subprocess.Popen(["/bin/sleep", "60"])
    folder.mkdir(parents=True)
    (folder / "valkey.pid").write_text(str(bystander.pid))
    valkey = EmbeddedValkey(folder)
    valkey.start()
    assert bystander.poll() is None
    valkey.stop()
    bystander.kill()
    bystander.wait()


async def test_an_unreadable_file_is_set_aside(folder: Path) -> None:
    """A damaged append-only file costs the cache, not the start: the ledger fills the gate again."""
    valkey = EmbeddedValkey(folder)
    await said(valkey.start(), "SET", "kept", "yes")
    valkey.stop()
    (data,) = (folder / "appendonlydir").glob("*.incr.aof")
    data.write_bytes(b"*3\r\nnot a command at all" + data.read_bytes())
    assert await said(valkey.start(), "GET", "kept") is None
    assert (folder / "appendonlydir.unreadable" / data.name).exists()
    valkey.stop()


async def test_a_folder_with_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    """A path longer than a socket's may be works all the same, with the socket in a folder only this user can enter."""
    valkey = EmbeddedValkey(tmp_path / ("long-" * 30))
    url = valkey.start()
    assert await said(url, "PING") in (True, b"PONG")
    socket = Path(url.removeprefix("unix://"))
    assert tmp_path not in socket.parents
    assert socket.parent.stat().st_mode & 0o077 == 0
    valkey.stop()
    assert not socket.parent.exists()


def test_a_start_that_fails_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server logged is in the error."""
    monkeypatch.setattr("gamekit.storage.embedded._LONGEST_SOCKET_PATH", 1000)
    deep = folder / ("long-" * 30)
    with pytest.raises(Unavailable, match=r"(?s)did not start:.*path too long"):
        EmbeddedValkey(deep).start()
